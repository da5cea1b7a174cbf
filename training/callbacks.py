"""What a run does between epochs: averages, best checkpoint, log, pictures."""

import csv
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf

from cli.command import UserError
from cli.files import replacing
from models.checkpoints import Checkpoint, save_checkpoint
from models.inference import build_rgb_model
from models.lgps import scale_logits
from models.run_folder import RunFolder
from training.figures import Sample, draw_curves, draw_samples
from training.options import TrainingOptions
from training.recalibrate import BatchNormRecalibration
from training.state import (
    callback_counters,
    load_state,
    restore_counters,
    save_state,
)

KEPT_CHECKPOINTS = 3


class AveragedWeights(keras.callbacks.SwapEMAWeights):
    """Validates and saves the averaged weights, then trains on with the others.

    Attributes:
        replace_at_end: whether the averages take the place of the others at the end
            of `fit`, so that the next one starts from them.
    """

    def __init__(self):
        super().__init__(swap_on_epoch=True)
        self.replace_at_end = False

    def _finalize_ema_values(self):
        if self.replace_at_end:
            super()._finalize_ema_values()


class BestCheckpoints(keras.callbacks.Callback):
    """Saves the network whenever the monitored validation value improves.

    Writes `best.h5` and, as the published code does, `epoch_{n}_val_loss_{x}.h5`, of
    which the last three are kept.

    Args:
        run: the run's folder.
        monitor: name of the value; `val_loss` goes down, scores go up; `last` takes
            every epoch for the best so far.
        logit_scale: what the logits of the saved network are multiplied by; the one
            that is trained stays as it is.
    """

    def __init__(self, run: RunFolder, monitor: str, logit_scale: float = 1.0):
        super().__init__()
        self.run = run
        self.monitor = monitor
        self.logit_scale = logit_scale
        self.best: float | None = None
        self.best_epoch: int | None = None

    @property
    def value_name(self) -> str:
        """The value that stands for an epoch."""
        return "val_dice" if self.monitor == "last" else self.monitor

    def on_epoch_end(self, epoch, logs=None):
        value = float(logs[self.value_name])
        if self.best is not None and not self._is_better(value):
            return
        self.best, self.best_epoch = value, epoch
        checkpoint = self.run.epoch_checkpoint(epoch + 1, logs["val_loss"])
        with scaled_logits(self.model.network, self.logit_scale):
            save_checkpoint(self.model.network, checkpoint)
        self.run.validation.unlink(missing_ok=True)  # it is of the one before
        with replacing(self.run.best) as partial:
            shutil.copyfile(checkpoint, partial)
        for old in self.run.epoch_checkpoints()[:-KEPT_CHECKPOINTS]:
            old.unlink()

    def _is_better(self, value: float) -> bool:
        if self.monitor == "last" or not math.isfinite(self.best):
            return True
        return value < self.best if self.monitor == "val_loss" else value > self.best


@contextmanager
def scaled_logits(network: keras.Model, factor: float) -> Iterator[None]:
    """Multiplies the logits of an LGPS network, for as long as the context lasts."""
    if factor == 1:
        yield
        return
    last = network.get_layer("probability")
    weights = last.get_weights()
    scale_logits(network, factor)
    try:
        yield
    finally:
        last.set_weights(weights)


class StopOnNaN(keras.callbacks.Callback):
    """Ends training when a loss is not finite; what was saved before stays.

    Must come first in the list of callbacks: the others save what an epoch ends with.
    """

    def on_train_batch_end(self, batch, logs=None):
        self._check("loss", logs["loss"], f"at step {batch + 1}")

    def on_epoch_end(self, epoch, logs=None):
        # The last step of an epoch is not followed by a loss of training.
        self._check("validation loss", logs["val_loss"], f"in epoch {epoch + 1}")

    def _check(self, name: str, value: float, where: str) -> None:
        if not math.isfinite(value):
            raise UserError(
                f"The {name} became {float(value)} {where}; training stopped and the "
                "checkpoints of the epochs before are kept. Try a lower "
                "--learning_rate or --precision float32"
            )


class RunLog(keras.callbacks.Callback):
    """Keeps the run's history and state: `log.csv`, `curves.png`, `state.h5`.

    Must come last in the list of callbacks: it saves what the others have counted.

    Attributes:
        history: what `log.csv` holds, a dictionary for each epoch.
        stopped: whether the run was ended early, so that no epoch is to come.

    Args:
        run: the run's folder.
        others: the other callbacks, whose counters are kept.
        checkpoints: the one that knows the best value so far.
        images: names the run's images; see `training.run.hash_of_images`.
        writes_files: False in workers that only take a saved run up.
    """

    def __init__(
        self,
        run: RunFolder,
        others: list[keras.callbacks.Callback],
        checkpoints: BestCheckpoints,
        images: str,
        writes_files: bool = True,
    ):
        super().__init__()
        self.run = run
        self.writes_files = writes_files
        self.others = others
        self.checkpoints = checkpoints
        self.images = images
        self.history: list[dict[str, float]] = []
        self.stopped = False
        self._counters: dict[str, Any] = {}

    def restore(self, model: keras.Model) -> None:
        """Takes up a saved run.

        Raises:
            UserError: its state is damaged, of another model or of other images.
        """
        progress = load_state(self.run.state, model)
        if progress.get("images", self.images) != self.images:
            raise UserError(
                f"{self.run} was begun with other training or validation images than "
                "its datasets hold now; start anew with another --name"
            )
        self.history = progress["history"]
        self.checkpoints.best = progress["best"]
        self.checkpoints.best_epoch = progress["best_epoch"]
        self._counters = progress["counters"]
        self.stopped = progress.get("stopped", False)
        if self.writes_files and self.history:  # a kill may have left them behind
            self._write_log()

    def on_train_begin(self, logs=None):
        # Keras's callbacks forget what they counted whenever `fit` is called.
        restore_counters(self.others, self._counters)

    def on_epoch_end(self, epoch, logs=None):
        self._counters = callback_counters(self.others)
        if not self.writes_files:
            return
        row = {name: float(np.mean(value)) for name, value in logs.items()}
        # The plateau callback logs the rate the epoch had; under a schedule, none does.
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        row.setdefault("learning_rate", float(rate))
        self.history.append({"epoch": epoch + 1, **row})
        progress = {
            "history": self.history,
            "best": self.checkpoints.best,
            "best_epoch": self.checkpoints.best_epoch,
            "counters": self._counters,
            "images": self.images,
            "stopped": self.model.stop_training,
        }
        save_state(self.run.state, self.model, progress)
        self._write_log()

    def _write_log(self) -> None:
        draw_curves(self.history, self.run.curves)
        with (
            replacing(self.run.log) as partial,
            open(partial, "w", newline="") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=list(self.history[-1]))
            writer.writeheader()
            writer.writerows(self.history)


class ValidationPictures(keras.callbacks.Callback):
    """Draws a few validation samples after each epoch: `samples.png`, TensorBoard.

    Args:
        run: the run's folder.
        samples: what to draw, at the size they are validated at.
        model_name: `"lgps"` or `"pvtseg"`.
    """

    def __init__(self, run: RunFolder, samples: list[Sample], model_name: str):
        super().__init__()
        self.run = run
        self.samples = samples
        self.model_name = model_name
        self.images = np.stack([image for image, _ in samples]).astype(np.float32)
        self._forward = None

    def on_train_begin(self, logs=None):
        if self._forward is None:
            size = self.images.shape[1:3]
            trained = Checkpoint(
                self.model.network, self.model_name, size, self.run.best
            )
            # Not rewritten, so that it follows the weights as they are trained.
            self._forward = tf.function(build_rgb_model(trained, rewrite=False))
            self._writer = tf.summary.create_file_writer(
                str(self.run.tensorboard / "samples")
            )

    def on_epoch_end(self, epoch, logs=None):
        maps = self._forward(self.images).numpy()[..., 0]
        picture = draw_samples(self.samples, maps)
        with replacing(self.run.samples) as partial:
            cv2.imwrite(str(partial), picture[..., ::-1])
        with self._writer.as_default():
            tf.summary.image("validation", picture[None], step=epoch)
        self._writer.flush()


def training_callbacks(options: TrainingOptions) -> list[keras.callbacks.Callback]:
    """The callbacks that decide how training goes, in the order they must be called."""
    callbacks: list[keras.callbacks.Callback] = [StopOnNaN()]
    if options.schedule == "plateau":
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                monitor="val_loss",
                factor=options.plateau_factor,
                patience=options.plateau_patience,
                min_delta=0.0,
                min_lr=options.min_learning_rate,
            )
        )
    if options.ema:
        callbacks.append(AveragedWeights())
    if options.bn_recalibrate:
        callbacks.append(BatchNormRecalibration())
    if options.early_stop_patience:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor=options.monitor,
                mode="min" if options.monitor == "val_loss" else "max",
                patience=options.early_stop_patience,
            )
        )
    return callbacks
