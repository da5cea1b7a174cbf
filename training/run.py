"""One training run, from prepared datasets to a folder with a scored checkpoint."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace

import keras
import numpy as np
import tensorflow as tf

from cli.command import UserError
from cli.files import sha256
from data.arrays import load_prepared
from data.augment import AUGMENTATIONS
from data.pipeline import (
    evaluation_dataset,
    load_sample,
    steps_per_epoch,
    training_dataset,
)
from data.samples import Samples, split_fold, split_validation
from data.teacher_maps import TeacherMaps
from models import IMAGE_CONVENTIONS
from models.checkpoints import load_checkpoint
from models.run_folder import RunFolder, Validation
from training.build import build_trainer
from training.callbacks import (
    AveragedWeights,
    BestCheckpoints,
    RunLog,
    ValidationPictures,
    training_callbacks,
)
from training.devices import is_chief, make_strategy, set_memory_growth, set_precision
from training.optimizer import average_decay
from training.options import Size, Stage, TrainingOptions
from training.recalibrate import BatchNormRecalibration
from training.state import saved_epochs
from training.threshold import choose_threshold, held_back_threshold
from training.trainer import MULTI_WORKER, SegmentationTrainer

PICTURED_SAMPLES = 4


def train(
    options: TrainingOptions,
    run: RunFolder,
    resume: bool = False,
    overwrite: bool = False,
    verbose: int = 1,
) -> SegmentationTrainer:
    """Trains and writes the run's folder; prints how to go on from there.

    Args:
        options: the run's options (saved in its `config.json`).
        run: the run's folder.
        resume: take up the run that the folder holds.
        overwrite: replace a run that the folder holds.
        verbose: 1 a progress bar, 2 a line per epoch, 0 nothing.

    Returns:
        The trained model, with the weights of the last epoch.

    Raises:
        UserError: for data or options that cannot be trained with.
    """
    set_memory_growth()
    strategy = make_strategy(options.strategy)  # before any device is used
    devices = strategy.num_replicas_in_sync
    if options.batch_size < devices:
        raise UserError(
            f"--batch_size {options.batch_size} is below the {devices} devices"
        )
    writes_files = is_chief(strategy)
    if writes_files and not (resume or overwrite) and run.holds_a_run():
        raise UserError(
            f"{run} holds a run already: take it up with --resume, replace it "
            "with --overwrite or give another --name"
        )
    held_back_threshold(options)  # may be wrong, which must not be known at the end
    keras.utils.set_random_seed(options.seed)
    # A run that goes on elsewhere keeps the precision that it began with.
    options = replace(options, precision=set_precision(options.precision))
    train_samples, val_samples = load_samples(options)
    teacher = load_teacher(options, train_samples)
    stages = options.planned_stages(train_samples.image_size)
    sides = {side for stage, *_ in stages for side, _ in stage.sizes}
    check_sides(sides, options)
    if len(sides) > 1 and isinstance(strategy, MULTI_WORKER):
        raise UserError("Several image sizes cannot be shared among several workers")
    size = options.final_size(train_samples.image_size)
    print(
        f"{len(train_samples)} training and {len(val_samples)} validation images at "
        f"{'×'.join(map(str, size))}, {options.precision}, "
        f"{devices} device(s)"
    )
    steps = steps_per_epoch(train_samples, options.batch_size)
    decay = average_decay(options, steps)
    if decay < options.ema:
        print(
            f"As the run has {options.epochs * steps} steps only, the weights are "
            f"averaged with a decay of {decay:.3g} a step, not of --ema {options.ema:g}"
        )
    done = epochs_done(run) if resume else 0
    built = options  # the saved state replaces the weights that a run began with
    if done:
        built = replace(options, encoder_weights=None, initial_weights=None)
    with strategy.scope():
        trainer = build_trainer(built, size, steps)
    images = hash_of_images(train_samples, val_samples)
    callbacks, log = make_callbacks(
        options, run, val_samples, images, size, writes_files
    )
    if done:
        print(f"Resuming {run} after epoch {done}")
        log.restore(trainer)
    if writes_files:  # nothing can be wrong with the flags now
        begin_folder(run, options, resume)

    several = devices > 1
    prepare = IMAGE_CONVENTIONS[options.model].prepare
    validation_data = evaluation_dataset(
        val_samples, prepare, size, options.batch_size, several
    )
    for stage, first, end in stages:
        if done >= end or log.stopped:
            continue
        for callback in callbacks:  # what differs from stage to stage
            if isinstance(callback, AveragedWeights):
                callback.replace_at_end = stage.average_at_end
            if isinstance(callback, BatchNormRecalibration):
                callback.images = recalibration_images(
                    train_samples, size, stage, options
                )
        sizes = stage.image_sizes if options.stages else {size: 1.0}
        first = max(done, first)
        trainer.fit(
            training_batches(
                train_samples, sizes, stage, options, first, several, teacher
            ),
            validation_data=validation_data,
            steps_per_epoch=steps,
            initial_epoch=first,
            epochs=end,
            callbacks=callbacks,
            shuffle=False,  # the dataset does it
            verbose=verbose,
        )
    if writes_files:
        finish(options, run, val_samples, log)
    return trainer


def check_sides(sides: Iterable[int], options: TrainingOptions) -> None:
    """Raises `UserError` for a side, in pixels, that the model cannot be trained at."""
    flag = "--stages" if options.stages else "--image_size"
    for side in sorted(sides):
        try:
            IMAGE_CONVENTIONS[options.model].check_size(side, side)
        except ValueError as error:
            raise UserError(f"{flag}: {error}") from error


def epochs_done(run: RunFolder) -> int:
    """How many epochs the run in a folder has done, for `--resume`.

    Raises:
        UserError: its state is damaged, or not there although an epoch was finished.
    """
    if not run.state.is_file() and (run.log.exists() or run.validation.exists()):
        raise UserError(
            f"{run} cannot be taken up: {run.state} is not there; start anew with "
            "another --name, and with --initial_weights to begin with its weights"
        )
    return saved_epochs(run.state)


def load_samples(options: TrainingOptions) -> tuple[Samples, Samples]:
    """Opens the prepared datasets of a run.

    Returns:
        Training samples, validation samples.

    Raises:
        UserError: when nothing prepared is found at a given path.
    """
    train = Samples([load_prepared(path, "train") for path in options.data_path])
    if options.val_data_path:
        paths = options.val_data_path
        return train, Samples([load_prepared(path, "test") for path in paths])
    if options.fold:
        fold, folds = map(int, options.fold.split("/"))
        kept, validation = split_fold(train, fold, folds)
    else:
        kept, validation = split_validation(train, options.val_fraction, options.seed)
    return train if options.train_on_validation else kept, validation


def load_teacher(options: TrainingOptions, samples: Samples) -> TeacherMaps | None:
    """Opens the run's maps of teachers, if it has any.

    Raises:
        UserError: they cannot be read, or are not of all these samples.
    """
    if options.teacher is None:
        return None
    teacher = TeacherMaps(options.teacher)
    teacher.check(samples.names, samples.image_size)
    return teacher


def hash_of_images(train: Samples, validation: Samples) -> str:
    """SHA-256 of the names of a run's images, in their order."""
    names = json.dumps([train.names, validation.names])
    return hashlib.sha256(names.encode()).hexdigest()


def begin_folder(run: RunFolder, options: TrainingOptions, resume: bool) -> None:
    """Makes the run's folder, without an old run's files, and its configuration."""
    if not resume:
        run.clear()
    run.path.mkdir(parents=True, exist_ok=True)
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    run.write_config(
        {"model": options.model, "options": asdict(options), "versions": versions}
    )


def make_callbacks(
    options: TrainingOptions,
    run: RunFolder,
    val_samples: Samples,
    images: str,
    size: Size,
    writes_files: bool,
) -> tuple[list[keras.callbacks.Callback], RunLog]:
    """Makes the run's callbacks in the order they must be called.

    Args:
        options: the run's options.
        run: the run's folder.
        val_samples: some of which are drawn after each epoch.
        images: as `hash_of_images` gives it.
        size: `(H, W)` in pixels.
        writes_files: whether this process is the one that writes.

    Returns:
        The callbacks, and the one among them that keeps the run's state.
    """
    callbacks = training_callbacks(options)
    checkpoints = BestCheckpoints(run, options.monitor, options.logit_scale)
    log = RunLog(run, callbacks[:], checkpoints, images, writes_files)
    if writes_files:
        places = np.linspace(0, len(val_samples) - 1, PICTURED_SAMPLES).astype(int)
        samples = [load_sample(val_samples, i, size) for i in np.unique(places)]
        callbacks += [
            checkpoints,
            ValidationPictures(
                run,
                [(image, mask[..., 0]) for image, mask in samples],
                options.model,
            ),
            keras.callbacks.TensorBoard(run.tensorboard, write_graph=False),
        ]
    return [*callbacks, log], log


def training_batches(
    samples: Samples,
    sizes: Mapping[Size, float],
    stage: Stage,
    options: TrainingOptions,
    first_epoch: int = 0,
    full_batches: bool = False,
    teacher: TeacherMaps | None = None,
) -> tf.data.Dataset:
    """The endless batches of a stage; see `data.pipeline.training_dataset`."""
    return training_dataset(
        samples,
        IMAGE_CONVENTIONS[options.model].prepare,
        sizes,
        options.batch_size,
        AUGMENTATIONS[stage.augmentation or options.augmentation],
        options.seed,
        shuffle=options.shuffle,
        first_epoch=first_epoch,
        full_batches=full_batches,
        teacher=teacher,
    )


def recalibration_images(
    samples: Samples, size: Size, stage: Stage, options: TrainingOptions
) -> tf.data.Dataset:
    """The images over which statistics of batch normalisation are re-estimated.

    They are augmented as in training: over plain images, statistics do not fit the
    weights, and Dice was lower by up to 0.03 (docs/recipe.md).

    Args:
        samples: all training samples.
        size: `(H, W)` in pixels at which the network is validated.
        stage: says how they are augmented.
        options: the run's options.

    Returns:
        Dataset of `(B, H, W, 3)` prepared images, the same at each pass.
    """
    order = np.random.default_rng(options.seed).permutation(len(samples))
    some = samples.subset(order[: options.bn_recalibrate])
    batches = training_batches(some, {size: 1.0}, stage, options)
    steps = steps_per_epoch(some, options.batch_size)
    return batches.take(steps).map(lambda image, _: image)


def score_best(
    options: TrainingOptions,
    run: RunFolder,
    val_samples: Samples,
    epoch: int | None = None,
) -> Validation:
    """Chooses threshold and temperature for `best.h5`; writes `validation.json`.

    Args:
        options: the run's options.
        run: the run's folder.
        val_samples: the run's validation samples.
        epoch: that the network is of, from 1; None: of none.

    Returns:
        What was written.
    """
    validation = replace(
        choose_threshold(
            load_checkpoint(run.best),
            val_samples,
            options.batch_size,
            held_back_threshold(options),
        ),
        threshold_from=options.threshold_from,
        epoch=epoch,
        trained_on=options.train_on_validation,
        sha256=sha256(run.best),
    )
    run.write_validation(validation)
    return validation


def finish(
    options: TrainingOptions, run: RunFolder, val_samples: Samples, log: RunLog
) -> None:
    """Chooses the threshold for `best.h5`, prints its scores and what comes next."""
    validation = score_best(options, run, val_samples, log.checkpoints.best_epoch + 1)
    command = f"python Test.py --model_path {run.best}"
    if options.demo:
        command += f" --data_path {options.data_path[0]}"
    which = "Last" if options.monitor == "last" else "Best"
    print(
        f"{which} {log.checkpoints.value_name} {log.checkpoints.best:.4f} in epoch "
        f"{validation.epoch}: mean Dice {validation.dice_at_half:.4f} on "
        f"{validation.images} validation images"
        f"{', trained on too' if options.train_on_validation else ''} "
        f"({validation.dice:.4f} at threshold {validation.threshold:.2f}).\n"
        f"Temperature {validation.temperature:.2f}: expected calibration error "
        f"{validation.ece:.4f}, {validation.ece_calibrated:.4f} with it.\n"
        f"Look at {run.samples} and {run.curves}.\n"
        f"Next: {command}"
    )
