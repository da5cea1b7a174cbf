"""Writes a checkpoint as a model file that other runtimes run.

The exported graph takes uint8 RGB as cameras and decoders give it. Channel order,
scaling and the inference rewrite are inside, so no user can get them wrong.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import keras

from cli.command import UserError
from data.images import silent_codecs
from deploy.runtimes import require
from models.checkpoints import Checkpoint
from models.inference import build_inference_model

# format → suffix of its file ("" is a folder), packages it needs
FORMATS = {
    "openvino": (".xml", ("openvino",)),
    "onnx": (".onnx", ("onnx", "tf2onnx", "onnxruntime")),
    "litert": (".tflite", ("ai_edge_litert.interpreter",)),
    "saved_model": ("", ()),
}


def check_format(file_format: str) -> None:
    """Raises `UserError` when a package for the format is missing."""
    for package in FORMATS[file_format][1]:
        require(package)


def build_export_model(
    checkpoint: Checkpoint,
    batch_size: int | None = 1,
    rewrite: bool = True,
) -> keras.Model:
    """Wraps a checkpoint's network so that it takes images as they are.

    Args:
        checkpoint: the loaded network; of size (None, None) for frames of any size.
        batch_size: fixed number of frames, or None for any number.
        rewrite: use the inference form of the network (see models/inference.py).

    Returns:
        `(B, H, W, 3)` uint8 RGB → `(B, H, W, 1)` float32 probabilities.
    """
    shape = (*checkpoint.image_size, 3)
    frames = keras.Input(shape, batch_size=batch_size, dtype="uint8", name="frame")
    inputs = checkpoint.convention.prepare(keras.ops.cast(frames, "float32"))
    network = checkpoint.model
    if rewrite:
        network = build_inference_model(network)
    return keras.Model(frames, network(inputs), name=checkpoint.name)


def write_model(model: keras.Model, path: Path, file_format: str) -> None:
    """Exports a model of `build_export_model` through Keras.

    Args:
        model: the model to export.
        path: the file, or the folder of a SavedModel.
        file_format: one of `FORMATS`.

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
