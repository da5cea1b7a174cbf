"""What each model is trained with unless the command line says otherwise."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Defaults of a training run; every field is a flag of `train.py`.

    Attributes:
        epochs: most passes over the training samples.
        batch_size: images per step, over all devices.
        learning_rate: Adam's, at the start.
        beta_1: Adam's first decay.
        clipvalue: limit of each gradient component; 0 for none.
        monitor: validation value that picks the best checkpoint.
        plateau_factor, plateau_patience, min_learning_rate: the learning rate is
            multiplied by the factor when the validation loss has not improved for
            so many epochs, down to the minimum.
        early_stop_patience: epochs without a better monitored value; 0: never.
        augmentation: name in `data.augment.AUGMENTATIONS`.
        bn_recalibrate: training images over which batch normalisation statistics are
            re-estimated before each validation; 0 keeps the moving averages.
        seed: of order, augmentation, split and initial weights.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    beta_1: float
    clipvalue: float
    monitor: str
    plateau_factor: float
    plateau_patience: int
    min_learning_rate: float
    early_stop_patience: int
    augmentation: str
    bn_recalibrate: int
    seed: int


RECIPES = {
    # LGPS's released training script. Not published: the seed; augmentation on the
    # fly (published: once, at preprocessing); re-estimated statistics (published: 0).
    "lgps": Recipe(
        epochs=200,
        batch_size=16,
        learning_rate=3e-4,
        beta_1=0.5,
        clipvalue=1.0,
        monitor="val_loss",
        plateau_factor=0.5,
        plateau_patience=3,
        min_learning_rate=1e-6,
        early_stop_patience=0,
        augmentation="lgps",
        bn_recalibrate=256,
        seed=42,
    ),
    # PVTSeg's released training script.
    "pvtseg": Recipe(
        epochs=500,
        batch_size=16,
        learning_rate=1e-4,
        beta_1=0.9,
        clipvalue=0.0,
        monitor="val_dice",
        plateau_factor=0.1,
        plateau_patience=5,
        min_learning_rate=0.0,
        early_stop_patience=50,
        augmentation="pvtseg",
        bn_recalibrate=0,
        seed=42,
    ),
}

# For the drawn frames of `--demo`: minutes on two CPU cores, from random weights. The
# discriminator is left out: at weight 0 it takes half the time and changes nothing.
DEMO_CHANGES = {
    "epochs": 25,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "bn_recalibrate": 96,
    "no_discriminator": True,
}
