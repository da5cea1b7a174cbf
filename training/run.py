"""One training run, from prepared datasets to a folder with a scored checkpoint."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cli.command import UserError
from cli.files import write_json
from data.arrays import load_prepared
from data.augment import AUGMENTATIONS
from data.pipeline import (
    evaluation_dataset,
    load_sample,
    steps_per_epoch,
    training_dataset,
)
from data.samples import Samples, split_validation
from evaluation.cases import Case
from losses import LGPSLoss, PVTSegLoss, StructureLoss
from models import IMAGE_CONVENTIONS, build_model
from models.checkpoints import load_checkpoint
from models.discriminator import build_discriminator
from training.callbacks import (
    BestCheckpoints,
    RunLog,
    StopOnNaN,
    ValidationPictures,
)
from training.devices import is_chief, make_strategy, set_memory_growth, set_precision
from training.fused import fuse_batch_normalisation
from training.gan import LGPSGAN
from training.optimizer import encoder_of, make_optimizer
from training.options import BEST_FILE, CONFIG_FILE, VALIDATION_FILE
from training.recalibrate import BatchNormRecalibration, batch_normalisations
from training.segmenter import MULTI_WORKER, Segmenter
from training.state import STATE_FILE, saved_epochs
from training.threshold import choose_threshold

# All that a run writes, so that --overwrite removes nothing else.
RUN_FILES = (
    *(BEST_FILE, STATE_FILE, "epoch_*_val_loss_*.h5", CONFIG_FILE, VALIDATION_FILE),
    *("log.csv", "curves.png", "samples.png", "tensorboard", ".partial.*"),
)
PICTURED_SAMPLES = 4
LOSSES = {"lgps": LGPSLoss, "pvtseg": PVTSegLoss, "structure": StructureLoss}


def load_samples(
    options: dict[str, Any],
) -> tuple[Samples, Samples]:
    """Opens the prepared datasets of a run.

    Args:
        options: the run's resolved options.

    Returns:
        Training samples, validation samples.

    Raises:
        UserError: when nothing prepared is found at a given path.
    """
    train = Samples([load_prepared(path, "train") for path in options["data_path"]])
    if options["val_data_path"]:
        paths = options["val_data_path"]
        return train, Samples([load_prepared(path, "test") for path in paths])
    kept, validation = split_validation(train, options["val_fraction"], options["seed"])
    return train if options["train_on_validation"] else kept, validation


def build_trainer(
    options: dict[str, Any],
    image_size: tuple[int, int],
    fused: bool = True,
    steps_per_epoch: int = 1,
) -> Segmenter:
    """Builds and compiles what is trained; call inside the strategy's scope.

    Args:
        options: the run's resolved options.
        image_size: `(H, W)` in pixels.
        fused: batch normalisation by one kernel; the same numbers in less time.
        steps_per_epoch: for the schedule of the learning rate.

    Returns:
        The compiled model with all of its variables created.

    Raises:
        UserError: for an illegal size or encoder weights that cannot be had.
    """
    name = options["model"]
    model_options = (
        {"use_se": not options["no_se"]}
        if name == "lgps"
        else {"encoder": options["encoder"]}
    )
    shape = (*image_size, 3)
    try:
        network = build_model(name, shape, options["encoder_weights"], **model_options)
    except ValueError as error:
        raise UserError(str(error)) from error
    set_batch_normalisation(options, network)
    if fused:
        fuse_batch_normalisation(network)
    if name == "pvtseg" or options["no_discriminator"]:
        trainer = Segmenter(network, options["binarised_val_loss"])
        optimizers = {}
    else:
        trainer = LGPSGAN(
            network,
            build_discriminator(shape, options["crf"]),
            adversarial_weight=options["adversarial_weight"],
            from_logits=options["crf"] == "meanfield",
            binarised_val_loss=options["binarised_val_loss"],
        )
        optimizers = {
            "discriminator_optimizer": make_optimizer(options, steps_per_epoch)
        }
    optimizer = make_optimizer(options, steps_per_epoch, network)
    trainer.compile(optimizer, LOSSES[options["loss"]](), **optimizers)
    trainer.build()
    return trainer


def set_batch_normalisation(options: dict[str, Any], network: keras.Model) -> None:
    """Freezes the encoder's batch normalisations, sets the momentum, as asked for."""
    if options["freeze_encoder_bn"]:
        for layer in batch_normalisations(encoder_of(network)):
            layer.trainable = False
    if options["bn_momentum"]:
        for layer in batch_normalisations(network):
            layer.momentum = options["bn_momentum"]


def train(
    options: dict[str, Any],
    folder: Path,
    resume: bool = False,
    overwrite: bool = False,
    verbose: int = 1,
) -> Segmenter:
    """Trains and writes the run's folder; prints how to go on from there.

    Args:
        options: the run's resolved options (saved in its `config.json`).
        folder: the run's folder.
        resume: take up the run that the folder holds.
        overwrite: replace a run that the folder holds.
        verbose: 1 a progress bar, 2 a line per epoch, 0 nothing.

    Returns:
        The trained model, with the weights of the last epoch.

    Raises:
        UserError: for data or options that cannot be trained with.
    """
    set_memory_growth()
    strategy = make_strategy(options["strategy"])  # before any device is used
    writes_files = is_chief(strategy)
    if writes_files and not (resume or overwrite) and (folder / CONFIG_FILE).exists():
        raise UserError(
            f"{folder} holds a run already: take it up with --resume, replace it "
            "with --overwrite or give another --name"
        )
    keras.utils.set_random_seed(options["seed"])
    precision = set_precision(options["precision"])
    train_samples, val_samples = load_samples(options)
    stages = stages_of(options, train_samples.image_size)
    if len(stages) > 1 and isinstance(strategy, MULTI_WORKER):
        raise UserError("--stages cannot be shared among several workers")
    sizes = ("×".join(map(str, stage.image_size)) for stage in stages)
    print(
        f"{len(train_samples)} training and {len(val_samples)} validation images at "
        f"{', '.join(dict.fromkeys(sizes))}, {precision}, "
        f"{strategy.num_replicas_in_sync} device(s)"
    )
    done = saved_epochs(folder / STATE_FILE) if resume else 0
    if done:
        print(f"Resuming {folder} after epoch {done}")

    spec = IMAGE_CONVENTIONS[options["model"]]
    several = strategy.num_replicas_in_sync > 1
    steps = steps_per_epoch(train_samples, options["batch_size"])
    trainer = None
    for stage in stages:
        if done >= stage.end and stage.end != options["epochs"]:
            continue
        is_first, size = trainer is None, stage.image_size
        with strategy.scope():
            trainer = build_trainer(options, size, steps_per_epoch=steps)
        if is_first and writes_files:  # nothing can be wrong with the flags now
            prepare_folder(folder, options, resume)
        callbacks, log = make_callbacks(
            options, folder, train_samples, val_samples, size, writes_files
        )
        if done:
            log.restore(trainer)
        if done == stage.first:
            log.forget_the_best()
        if done < stage.end:
            trainer.fit(
                training_dataset(
                    train_samples,
                    spec.prepare,
                    {size: 1.0},
                    options["batch_size"],
                    AUGMENTATIONS[options["augmentation"]],
                    options["seed"],
                    shuffle=not options["no_shuffle"],
                    first_epoch=done,
                    full_batches=several,
                ),
                validation_data=evaluation_dataset(
                    val_samples, spec.prepare, size, options["batch_size"], several
                ),
                steps_per_epoch=steps,
                initial_epoch=done,
                epochs=stage.end,
                callbacks=callbacks,
                shuffle=False,  # the dataset does it
                verbose=verbose,
            )
        done = stage.end
    if writes_files:
        finish(options, folder, val_samples, log)
    return trainer


@dataclass(frozen=True)
class Stage:
    """Epochs of a run at one image size.

    Attributes:
        image_size: `(H, W)` in pixels.
        first, end: its first epoch, and the one after its last, from 0.
    """

    image_size: tuple[int, int]
    first: int
    end: int


def stages_of(options: dict[str, Any], prepared_size: tuple[int, int]) -> list[Stage]:
    """The stages of a run; one, where it names none.

    Args:
        options: the run's resolved options.
        prepared_size: `(H, W)` of the prepared datasets, pixels.
    """
    if not options["stages"]:
        side = options["image_size"]
        size = (side, side) if side else prepared_size
        return [Stage(size, 0, options["epochs"])]
    stages, first = [], 0
    for side, epochs in options["stages"]:
        stages.append(Stage((side, side), first, first + epochs))
        first += epochs
    return stages


def prepare_folder(folder: Path, options: dict[str, Any], resume: bool) -> None:
    """Makes the run's folder, without an old run's files, and its configuration."""
    if not resume:
        for pattern in RUN_FILES:
            for file in folder.glob(pattern):
                shutil.rmtree(file) if file.is_dir() else file.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    write_json(
        folder / CONFIG_FILE,
        {"model": options["model"], "options": options, "versions": versions},
    )


def make_callbacks(
    options: dict[str, Any],
    folder: Path,
    train_samples: Samples,
    val_samples: Samples,
    image_size: tuple[int, int],
    writes_files: bool,
) -> tuple[list[keras.callbacks.Callback], RunLog]:
    """Makes the run's callbacks in the order they must be called.

    Args:
        options: the run's resolved options.
        folder: the run's folder.
        train_samples, val_samples: the run's data.
        image_size: `(H, W)` in pixels.
        writes_files: whether this process is the one that writes.

    Returns:
        The callbacks, and the one among them that keeps the run's state.
    """
    spec = IMAGE_CONVENTIONS[options["model"]]
    callbacks = [StopOnNaN()]
    if options["schedule"] == "plateau":
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                monitor="val_loss",
                factor=options["plateau_factor"],
                patience=options["plateau_patience"],
                min_delta=0.0,
                min_lr=options["min_learning_rate"],
            )
        )
    if options["ema"]:
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if options["bn_recalibrate"]:
        callbacks.append(
            BatchNormRecalibration(
                recalibration_images(options, train_samples, image_size)
            )
        )
    if options["early_stop_patience"]:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor=options["monitor"],
                mode="min" if options["monitor"] == "val_loss" else "max",
                patience=options["early_stop_patience"],
            )
        )
    checkpoints = BestCheckpoints(folder, options["monitor"])
    log = RunLog(folder, callbacks[:], checkpoints, writes_files)
    if writes_files:
        places = np.linspace(0, len(val_samples) - 1, PICTURED_SAMPLES)
        callbacks += [
            checkpoints,
            ValidationPictures(
                folder,
                _cases(val_samples, np.unique(places.astype(int)), image_size),
                spec,
            ),
            keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False),
        ]
    return [*callbacks, log], log


def recalibration_images(
    options: dict[str, Any], samples: Samples, image_size: tuple[int, int]
) -> tf.data.Dataset:
    """The images over which statistics of batch normalisation are re-estimated.

    They are augmented as in training: over plain images, statistics do not fit the
    weights, and Dice was lower by up to 0.03 (docs/recipe.md).

    Args:
        options: the run's resolved options.
        samples: the training samples.
        image_size: `(H, W)` in pixels.

    Returns:
        Dataset of `(B, H, W, 3)` prepared images, the same at each pass.
    """
    order = np.random.default_rng(options["seed"]).permutation(len(samples))
    some = samples.subset(order[: options["bn_recalibrate"]])
    batches = training_dataset(
        some,
        IMAGE_CONVENTIONS[options["model"]].prepare,
        {image_size: 1.0},
        options["batch_size"],
        AUGMENTATIONS[options["augmentation"]],
        options["seed"],
    )
    steps = steps_per_epoch(some, options["batch_size"])
    return batches.take(steps).map(lambda image, _: image)


def _cases(
    samples: Samples, indices: np.ndarray, image_size: tuple[int, int]
) -> list[Case]:
    """Samples as the figures take them, at the size they are trained at."""
    cases = []
    for index in indices:
        image, mask = load_sample(samples, index, image_size)
        name, truth = samples.names[index], mask[..., 0]
        cases.append(Case(name, name, None, image, truth, True, truth.astype))
    return cases


def finish(
    options: dict[str, Any], folder: Path, val_samples: Samples, log: RunLog
) -> None:
    """Chooses the threshold for `best.h5`, prints its scores and what comes next."""
    scores = choose_threshold(
        load_checkpoint(folder / BEST_FILE), val_samples, options["batch_size"]
    )
    scores["epoch"] = log.checkpoints.best_epoch + 1
    scores["trained_on"] = options["train_on_validation"]
    write_json(folder / VALIDATION_FILE, scores)
    command = f"python Test.py --model_path {folder / BEST_FILE}"
    if options["demo"]:
        command += f" --data_path {options['data_path'][0]}"
    which = "Last" if options["monitor"] == "last" else "Best"
    print(
        f"{which} {log.checkpoints.value_name} {log.checkpoints.best:.4f} in epoch "
        f"{scores['epoch']}: mean Dice {scores['dice_at_0.5']:.4f} on "
        f"{scores['images']} validation images"
        f"{', trained on too' if options['train_on_validation'] else ''} "
        f"({scores['dice']:.4f} at threshold {scores['threshold']:.2f}).\n"
        f"Look at {folder / 'samples.png'} and {folder / 'curves.png'}.\n"
        f"Next: {command}"
    )
