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
        schedule: of the learning rate, `plateau` or `cosine`.
        plateau_factor, plateau_patience: under `plateau`, the learning rate is
            multiplied by the factor when the validation loss has not improved for
            so many epochs.
        warmup_epochs: under `cosine`, epochs over which it first rises from 0.
        restart_epochs: under `cosine`, the epochs after which it goes down from the
            top once more (SGDR, Loshchilov and Hutter, 2017).
        min_learning_rate: where it ends, under either.
        encoder_lr_factor: the encoder's learning rate as a share of the rest's.
        ema: decay per step of the moving average of the weights, which is what is
            validated and saved; 0: the weights themselves.
        loss: `lgps`, `pvtseg` or `structure` (PraNet's).
        monitor: validation value that picks the best checkpoint; `last`: the last
            epoch is the best.
        early_stop_patience: epochs without a better monitored value; 0: never.
        augmentation: name in `data.augment.AUGMENTATIONS`.
        bn_momentum: of every batch normalisation; 0: as the layers are built.
        freeze_encoder_bn: keep the encoder's batch normalisations as loaded.
        bn_recalibrate: training images over which batch normalisation statistics are
            re-estimated before each validation; 0 keeps the moving averages.
        seed: of order, augmentation, split and initial weights.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    beta_1: float
    clipvalue: float
    schedule: str
    plateau_factor: float
    plateau_patience: int
    warmup_epochs: int
    restart_epochs: list[int]
    min_learning_rate: float
    encoder_lr_factor: float
    ema: float
    loss: str
    monitor: str
    early_stop_patience: int
    augmentation: str
    bn_momentum: float
    freeze_encoder_bn: bool
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
        schedule="plateau",
        plateau_factor=0.5,
        plateau_patience=3,
        warmup_epochs=0,
        restart_epochs=[],
        min_learning_rate=1e-6,
        encoder_lr_factor=1.0,
        ema=0.0,
        loss="lgps",
        monitor="val_loss",
        early_stop_patience=0,
        augmentation="lgps",
        bn_momentum=0.0,
        freeze_encoder_bn=False,
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
        schedule="plateau",
        plateau_factor=0.1,
        plateau_patience=5,
        warmup_epochs=0,
        restart_epochs=[],
        min_learning_rate=0.0,
        encoder_lr_factor=1.0,
        ema=0.0,
        loss="pvtseg",
        monitor="val_dice",
        early_stop_patience=50,
        augmentation="pvtseg",
        bn_momentum=0.0,
        freeze_encoder_bn=False,
        bn_recalibrate=0,
        seed=42,
    ),
}

# `--recipe best`: what the shipped weights were trained with (`make train-best`).
# The search shows the loss to help; the rest is common practice (docs/recipe.md).
# Where a stage ends, the averaged weights take the place of the others.
BEST_CHANGES = {
    "lgps": {
        "stages": [[128, 38], [192, 12], [256, 10], [256, 40]],
        "learning_rate": 1e-3,
        "beta_1": 0.9,
        "schedule": "cosine",
        "warmup_epochs": 2,
        "restart_epochs": [60],
        "min_learning_rate": 1e-5,
        "ema": 0.995,
        "loss": "structure",
        "monitor": "last",
        "augmentation": "mild",
        "no_discriminator": True,
    }
}

# For the drawn frames of `--demo`: minutes on two CPU cores, from random weights. The
# discriminator is left out: at weight 0 it takes half the time and changes nothing.
DEMO_CHANGES = {
    "stages": None,
    "restart_epochs": [],
    "epochs": 25,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "bn_recalibrate": 96,
    "no_discriminator": True,
}
