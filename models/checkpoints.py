"""Loads and saves `.h5` checkpoints; reads those of the published code, too.

A file need not be trusted. Its architecture is read as JSON and only recognised: the
network is built by this project's code and takes nothing but arrays from the file. So
no code of a checkpoint is ever run, and a checkpoint can be loaded at any legal size.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras

from cli.command import UserError
from cli.files import replacing, sha256
from models import IMAGE_CONVENTIONS, MODEL_NAMES, ImageConvention, build_model
from models.hdf5_files import array_sizes
from models.hdf5_trial import try_reading
from models.run_folder import BEST_CHECKPOINT, RunFolder
from models.shipped import SHIPPED_WEIGHTS

LGPS_ENCODER_LAYER = "block_13_expand_relu"
PVT_PREFIX = "pvt_v2_b"
LONGEST_STORED_SIDE = 4096  # pixels; what a file says decides how much memory is taken
LONGEST_REASON = 200  # characters quoted from a file in an error message


@dataclass(frozen=True)
class Checkpoint:
    """A loaded network, its name, its input size and its file.

    Attributes:
        model: the network; `(B, H, W, 3)` in its own convention → `(B, H, W, 1)`.
        name: `"lgps"` or `"pvtseg"`.
        image_size: `(H, W)` of the input in pixels.
        path: the file it was read from.
    """

    model: keras.Model
    name: str
    image_size: tuple[int, int]
    path: Path

    @property
    def convention(self) -> ImageConvention:
        """How the model's input is prepared."""
        return IMAGE_CONVENTIONS[self.name]


def load_checkpoint(
    path: str | Path,
    image_size: tuple[int, int] | None = None,
    verify: bool = True,
) -> Checkpoint:
    """Loads a whole-model `.h5` saved by this project or by the published code.

    Args:
        path: the `.h5` file.
        image_size: `(H, W)` in pixels; default: the size the file was saved with.
        verify: refuse a file that has changed since it was scored.

    Returns:
        The checkpoint, with its weights loaded.

    Raises:
        UserError: for a file that is missing, damaged, foreign, or holds layers that
            none of the models has (such as Lambda); for one whose SHA-256 is not the
            one in the `validation.json` beside it.
    """
    path = Path(path)
    try:
        _check_file(path, verify)
        return _load(path, image_size)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be loaded: {_one_line(error)}") from error
    except Exception as error:  # a damaged file makes HDF5 and Keras raise anything
        reason = f"it is malformed ({type(error).__name__})"
        raise UserError(f"{path} cannot be loaded: {reason}") from error


def _load(path: Path, image_size: tuple[int, int] | None) -> Checkpoint:
    config = _read_architecture(path)
    name, options = _recognise(config, path)
    size = image_size or _stored_size(config) or (256, 256)
    if not image_size and max(size) > LONGEST_STORED_SIDE:
        wanted = _one_line(f"{size[0]}×{size[1]}")
        raise UserError(
            f"{path} is refused: it is for images of {wanted}, expected at most "
            f"{LONGEST_STORED_SIDE} a side"
        )
    model = build_model(name, (*size, 3), **options)
    _refuse_other_layers(config, model, path)
    _check_arrays(path, model)
    model.load_weights(path)
    return Checkpoint(model, name, size, path)


def _one_line(text: object) -> str:
    """Returns the first line of a message that may quote the file, safe to print."""
    first = (str(text).splitlines() or [""])[0]
    return "".join(c if c.isprintable() else "?" for c in first)[:LONGEST_REASON]


def save_checkpoint(model: keras.Model, path: str | Path) -> None:
    """Saves a whole model as `.h5`, the whole file or none.

    Args:
        model: one of this project's networks.
        path: the `.h5` file; replaced when it exists.
    """
    path = Path(path)
    # Keras recommends its newer format at each save, but published code reads .h5.
    logging.getLogger("absl").setLevel(logging.ERROR)
    # Keras saves the trainable weights of a nested model first, so frozen layers would
    # change the order by which weights are matched when the file is loaded.
    frozen = [layer for layer in model._flatten_layers() if not layer.trainable]
    for layer in frozen:
        layer.trainable = True
    try:
        with replacing(path) as partial:
            model.save(partial)
    finally:
        for layer in frozen:
            layer.trainable = False


def _check_file(path: Path, verify: bool) -> None:
    """Checks a file as a whole, before its content is looked at."""
    if not path.is_file():
        raise UserError(f"Checkpoint not found: {path}")
    if not h5py.is_hdf5(path):
        raise UserError(f"{path} is not an HDF5 file; expected a .h5 of a whole model")
    if verify:
        _check_as_scored(path)
    if not (verify and path.resolve() in SHIPPED_WEIGHTS.values()):
        try_reading(path)


def _check_as_scored(path: Path) -> None:
    """Compares a file with the SHA-256 that it was scored with, where one is known.

    Raises:
        UserError: they differ.
    """
    if path.name != BEST_CHECKPOINT and path.resolve() not in SHIPPED_WEIGHTS.values():
        return
    run = RunFolder.of_checkpoint(path)
    validation = run.read_validation()
    if validation is None or validation.sha256 is None:
        return
    if validation.sha256 != sha256(path):
        raise UserError(
            f"{path} has changed since it was scored: its SHA-256 is not the one in "
            f"{run.validation}; moving that file away, or --unverified where a command "
            "has it, loads it all the same"
        )


def _read_architecture(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        text = file.attrs.get("model_config")
        if text is None or "model_weights" not in file:
            raise UserError(
                f"{path} holds no whole model (architecture and weights); "
                "save one with model.save('NAME.h5')"
            )
    if path.suffix != ".h5" or path.name.endswith(".weights.h5"):
        # Keras reads a file by its name.
        raise UserError(f"{path} must be named NAME.h5, and not NAME.weights.h5")
    try:
        config = json.loads(text)
        layers = list(_layers(config))
    except (ValueError, TypeError, RecursionError):
        raise UserError(f"{path}: its architecture is not readable JSON") from None
    if not layers:
        raise UserError(f"{path}: its architecture is not a Keras functional model")
    return config


def _layers(config: Any) -> Iterator[dict[str, Any]]:
    """Yields every layer of a functional model's JSON, nested ones included."""
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else None
    for layer in layers if isinstance(layers, list) else []:
        if isinstance(layer, dict):
            yield layer
            yield from _layers(layer)


def _layer_names(config: dict[str, Any]) -> set[str]:
    inner = (layer.get("config") for layer in _layers(config))
    return {str(c.get("name")) for c in inner if isinstance(c, dict)}


def _recognise(config: dict[str, Any], path: Path) -> tuple[str, dict[str, bool | str]]:
    """Finds the model's name and options that an architecture describes."""
    names = _layer_names(config)
    if LGPS_ENCODER_LAYER in names:
        classes = {layer.get("class_name") for layer in _layers(config)}
        return "lgps", {"use_se": "Multiply" in classes}
    encoders = [name for name in names if name.startswith(PVT_PREFIX)]
    if len(encoders) == 1:
        return "pvtseg", {"encoder": encoders[0]}
    raise UserError(f"{path} holds none of the known models ({', '.join(MODEL_NAMES)})")


def _stored_size(config: dict[str, Any]) -> tuple[int, int] | None:
    """Reads height and width of the first input layer, where they are fixed."""
    for layer in _layers(config):
        if layer.get("class_name") == "InputLayer":
            height, width = layer["config"]["batch_shape"][1:3]
            if isinstance(height, int) and isinstance(width, int):
                return height, width
            return None
    return None


def _refuse_other_layers(
    config: dict[str, Any], model: keras.Model, path: Path
) -> None:
    registered_name = keras.saving.get_registered_name
    known = {registered_name(type(layer)) for layer in _flatten(model)}
    foreign = {str(layer.get("class_name")) for layer in _layers(config)} - known
    if foreign:
        raise UserError(
            f"{path} is refused: it holds layers that {model.name} does not have: "
            f"{_one_line(', '.join(sorted(foreign)))}"
        )


def _flatten(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _flatten(layer)


def _check_arrays(path: Path, model: keras.Model) -> None:
    """Checks the arrays of a file before any is read."""
    with h5py.File(path) as file:
        if "layer_names" in file.attrs:  # Keras would then not read model_weights
            raise UserError(f"{path} is refused: it holds a second set of weights")
    stored = array_sizes(path).items()
    found = sum(size for name, size in stored if name.startswith("model_weights/"))
    if found != model.count_params():
        raise UserError(
            f"{path} does not fit {model.name}: it holds {found:,} weights, "
            f"expected {model.count_params():,}"
        )
