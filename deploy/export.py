"""Writes a model file that other runtimes run."""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import keras

from cli.command import UserError
from data.images import silent_codecs


def write_model(model: keras.Model, path: Path, file_format: str) -> None:
    """Exports a model through Keras.

    Args:
        model: `(B, H, W, 3)` uint8 RGB → `(B, H, W, 1)` float32 probabilities, as
            `models.inference.build_rgb_model` makes it. Channel order and range of
            the network's input are part of the graph, so a user of the file need not
            know them.
        path: the file, or the folder of a SavedModel.
        file_format: a key of `deploy.formats.FORMATS`.

    Raises:
        UserError: the format cannot express the model.
    """
    signature = keras.InputSpec(dtype="uint8", shape=model.input_shape, name="frame")
    name = "tf_saved_model" if file_format == "saved_model" else file_format
    try:
        with quiet_converters():
            model.export(
                str(path), format=name, verbose=False, input_signature=[signature]
            )
    except Exception as error:  # each converter has its own kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{model.name} cannot be exported to {file_format}: {reason}"
        ) from error


@contextlib.contextmanager
def quiet_converters() -> Iterator[None]:
    """Keeps the converters' own log lines and bars off the terminal."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "absl", "nncf", "root")]
    levels = [logger.level for logger in loggers]
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        silent_codecs(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
