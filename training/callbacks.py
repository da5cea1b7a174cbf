"""What a run writes into its folder as training goes."""

import csv
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf

from cli.command import UserError
from cli.files import replacing
from evaluation.cases import Case
from models.checkpoints import save_checkpoint
from models.image_convention import ImageConvention
from training.figures import draw_curves, draw_samples
from training.options import BEST_FILE
from training.state import (
    STATE_FILE,
    callback_counters,
    load_state,
    restore_counters,
    save_state,
)

KEPT_CHECKPOINTS = 3


class BestCheckpoints(keras.callbacks.Callback):
    """Saves the network whenever the monitored validation value improves.

    Writes `best.h5` and, as the published code does, `epoch_{n}_val_loss_{x}.h5`, of
    which the last three are kept.

    Args:
        folder: the run's folder.
        monitor: name of the value; `val_loss` goes down, scores go up; `last` takes
            every epoch for the best so far.
    """

    def __init__(self, folder: Path, monitor: str):
        super().__init__()
        self.folder = folder
        self.monitor = monitor
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
        name = f"epoch_{epoch + 1}_val_loss_{logs['val_loss']:.4f}.h5"
        save_checkpoint(self.model.network, self.folder / name)
        with replacing(self.folder / BEST_FILE) as partial:
            shutil.copyfile(self.folder / name, partial)
        for old in self._history()[:-KEPT_CHECKPOINTS]:
            old.unlink()

    def _is_better(self, value: float) -> bool:
        if self.monitor == "last" or not math.isfinite(self.best):
            return True
        return value < self.best if self.monitor == "val_loss" else value > self.best

    def _history(self) -> list[Path]:
        files = self.folder.glob("epoch_*_val_loss_*.h5")
        return sorted(files, key=lambda file: int(file.name.split("_")[1]))


class StopOnNaN(keras.callbacks.Callback):
    """Ends training when the loss is not finite; what was saved before stays."""

    def on_train_batch_end(self, batch, logs=None):
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise UserError(
                f"The loss became {loss} at step {batch + 1}; training stopped and the "
                "checkpoints of the epochs before are kept. Try a lower "
                "--learning_rate or --precision float32"
            )


class RunLog(keras.callbacks.Callback):
    """Keeps the run's history and state: `log.csv`, `curves.png`, `state.h5`.

    Must come last in the list of callbacks: it saves what the others have counted.

    Args:
        folder: the run's folder.
        others: the other callbacks, whose counters are kept.
        checkpoints: the one that knows the best value so far.
        writes_files: False in workers that only take a saved run up.
    """

    def __init__(
        self,
        folder: Path,
        others: list[keras.callbacks.Callback],
        checkpoints: BestCheckpoints,
        writes_files: bool = True,
    ):
        super().__init__()
        self.folder = folder
        self.writes_files = writes_files
        self.others = others
        self.checkpoints = checkpoints
        self.history: list[dict[str, float]] = []
        self._counters: dict[str, Any] = {}

    def restore(self, model: keras.Model) -> None:
        """Takes up a saved run."""
        progress = load_state(self.folder / STATE_FILE, model)
        self.history = progress["history"]
        self.checkpoints.best = progress["best"]
        self.checkpoints.best_epoch = progress["best_epoch"]
        self._counters = progress["counters"]

    def forget_the_best(self) -> None:
        """Before another image size: values at two sizes cannot be compared."""
        self.checkpoints.best = self.checkpoints.best_epoch = None
        self._counters = {}

    def on_train_begin(self, logs=None):
        restore_counters(self.others, self._counters)

    def on_epoch_end(self, epoch, logs=None):
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
            "counters": callback_counters(self.others),
        }
        save_state(self.folder / STATE_FILE, self.model, progress)
        self._write_log()
        draw_curves(self.history, self.folder / "curves.png")

    def _write_log(self) -> None:
        with (
            replacing(self.folder / "log.csv") as partial,
            open(partial, "w", newline="") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=list(self.history[-1]))
            writer.writeheader()
            writer.writerows(self.history)


class ValidationPictures(keras.callbacks.Callback):
    """Draws a few validation samples after each epoch: `samples.png`, TensorBoard.

    Args:
        folder: the run's folder.
        cases: what to draw; images at the size they are trained at.
        convention: how the network's input is prepared.
    """

    def __init__(self, folder: Path, cases: list[Case], convention: ImageConvention):
        super().__init__()
        self.folder = folder
        self.cases = cases
        images = np.stack([case.image for case in cases]).astype(np.float32)
        self.inputs = tf.constant(convention.prepare(images))

    def on_train_begin(self, logs=None):
        self._run = tf.function(lambda x: self.model.network(x, training=False))
        self._writer = tf.summary.create_file_writer(
            str(self.folder / "tensorboard" / "samples")
        )

    def on_epoch_end(self, epoch, logs=None):
        maps = self._run(self.inputs).numpy()[..., 0]
        predicted = [
            replace(case, probability=probability)
            for case, probability in zip(self.cases, maps, strict=True)
        ]
        picture = draw_samples(predicted)
        with replacing(self.folder / "samples.png") as partial:
            cv2.imwrite(str(partial), picture[..., ::-1])
        with self._writer.as_default():
            tf.summary.image("validation", picture[None], step=epoch)
        self._writer.flush()
