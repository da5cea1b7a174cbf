"""Checks that JAX and PyTorch compute the values that TensorFlow computes.

    make backends    # makes an environment for each and runs the two commands below
    KERAS_BACKEND=tensorflow python -m tools.check_backends --write FOLDER
    KERAS_BACKEND=jax .venv-jax/bin/python -m tools.check_backends --compare FOLDER

The first command writes checkpoints of every network and the values computed from
them; the second loads the same checkpoints with another Keras backend. Compared are
the networks' outputs, the losses, and the loss and all weights after one step of
gradient descent, moving statistics included; a gradient that is not finite shows there.
In training the probabilities are clipped to [1e-7, 1 - 1e-7] first: Keras clips them so
in its cross-entropy, but not in TensorFlow's graphs, where it computes the
cross-entropy from the logits. Exits 1 when a difference is larger than the tolerance or
a value is not finite.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cli.command import UserError, command_parser, import_tensorflow, run_command
from cli.files import make_folder
from models.shipped import SHIPPED_WEIGHTS

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-5  # of the largest value where that is above 1, else absolute
SIZE = (64, 96)  # height, width in pixels
BATCH_SIZE = 2
LEARNING_RATE = 0.01
SMALLEST_PROBABILITY = 1e-7
VALUES_FILE = "values.npz"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument(
        "--write", type=Path, metavar="FOLDER", help="write checkpoints and values"
    )
    task.add_argument(
        "--compare", type=Path, metavar="FOLDER", help="compare with those values"
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    """Writes the values, or prints the differences; returns the exit code."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        import_tensorflow()
    import keras

    if args.write:
        make_folder(args.write)
        write_networks(args.write)
        np.savez(args.write / VALUES_FILE, **dict(compute_values(args.write)))
        return 0
    if not (args.compare / VALUES_FILE).is_file():
        raise UserError(f"{args.compare} holds no {VALUES_FILE}; make it with --write")
    reference = np.load(args.compare / VALUES_FILE)
    print(f"largest difference of {keras.backend.backend()} from the reference")
    passed, names = True, set()
    for name, values in compute_values(args.compare):
        known = name in reference.files
        found = difference(values, reference[name]) if known else np.inf
        names.add(name)
        passed = passed and found <= TOLERANCE
        print(f"{name:46s} {found:.1e}", flush=True)
    passed = passed and names == set(reference.files)
    print(f"tolerance {TOLERANCE:.0e}:", "pass" if passed else "FAIL")
    return 0 if passed else 1


def difference(values: np.ndarray, reference: np.ndarray) -> float:
    """Returns the largest difference of two arrays; infinity for what is not finite.

    It is relative to the largest value of the reference where that is above 1.
    """
    if values.shape != reference.shape or not np.isfinite(values).all():
        return np.inf
    scale = max(1.0, np.abs(reference).max())
    return float(np.abs(values - reference).max() / scale)


def write_networks(folder: Path) -> None:
    """Writes the checkpoints that `compute_values` loads, with random weights."""
    import keras

    from models import build_model
    from models.checkpoints import save_checkpoint

    keras.utils.set_random_seed(0)
    plain = build_model("lgps", (*SIZE, 3), use_se=False)
    transformer = build_model("pvtseg", (*SIZE, 3), encoder="pvt_v2_b0")
    for model, file in ((plain, "lgps_no_se.h5"), (transformer, "pvtseg_b0.h5")):
        _randomise_vectors(model)
        save_checkpoint(model, folder / file)
    for name, model in _build_critics().items():
        model.save_weights(folder / f"{name}.weights.h5")


def compute_values(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Computes what is compared, with the active Keras backend.

    Args:
        folder: holds the files of `write_networks`.

    Yields:
        Name and values of each comparison.
    """
    from losses import LGPSLoss, PVTSegLoss, StructureDiceLoss, adversarial_loss
    from models.checkpoints import load_checkpoint
    from models.inference import build_inference_model

    images, masks, predictions = _inputs()
    yield from _loss_values(masks, predictions)
    lgps = load_checkpoint(SHIPPED_WEIGHTS["lgps"], SIZE).model
    yield "LGPS rewritten for inference", _outputs(build_inference_model(lgps), images)
    plain = load_checkpoint(folder / "lgps_no_se.h5").model
    transformer = load_checkpoint(folder / "pvtseg_b0.h5").model
    for name, network, loss in (
        ("LGPS, shipped weights", lgps, LGPSLoss()),
        ("LGPS without SE", plain, StructureDiceLoss()),
        ("PVTSeg b0", transformer, PVTSegLoss()),
    ):
        yield name, _outputs(network, images)
        yield f"{name}, trained weights", _train(network, images, masks, loss)
    for name, network in _build_critics().items():
        network.load_weights(folder / f"{name}.weights.h5")
        from_logits = name != "discriminator_published"

        def loss(_, outputs, from_logits=from_logits):
            return adversarial_loss(outputs, from_logits)

        outputs = _outputs(network, [images, masks])
        yield name, outputs
        trained = _train(network, [images, masks], outputs, loss, from_logits)
        yield f"{name}, trained weights", trained


def _inputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images `(B, H, W, 3)` in [-1, 1], masks and predictions `(B, H, W, 1)`."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (BATCH_SIZE, *SIZE, 3)).astype("float32")
    masks = (rng.random((BATCH_SIZE, *SIZE, 1)) > 0.7).astype("float32")
    predictions = rng.uniform(0.01, 0.99, masks.shape).astype("float32")
    return images, masks, predictions


def _loss_values(
    masks: np.ndarray, predictions: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    import keras

    import losses

    for function in (
        losses.lgps_loss,
        losses.pvtseg_loss,
        losses.structure_loss,
        losses.structure_dice_loss,
        losses.discriminator_loss,
    ):
        value = function(masks, predictions)
        yield function.__name__, keras.ops.convert_to_numpy(value)
    value = losses.discriminator_loss(masks, predictions, from_logits=True)
    yield "discriminator_loss of logits", keras.ops.convert_to_numpy(value)


def _build_critics() -> dict[str, "keras.Model"]:
    """The discriminators, and a ConvCRF whose messages pass on a coarser grid."""
    import keras

    from models.conv_crf import MeanFieldCRF
    from models.discriminator import CRF_KINDS, build_discriminator

    image = keras.Input((*SIZE, 3))
    logits = keras.Input((*SIZE, 1))
    crf = MeanFieldCRF()([logits, image])
    models = [build_discriminator((*SIZE, 3), kind) for kind in CRF_KINDS]
    models.append(keras.Model([image, logits], crf, name="conv_crf"))
    return {model.name: model for model in models}


def _randomise_vectors(network: "keras.Model") -> None:
    """Makes biases and batch normalisation's weights differ from 0 and 1."""
    rng = np.random.default_rng(1)
    network.set_weights(
        [
            w if w.ndim > 1 else rng.uniform(0.5, 1.5, w.shape)
            for w in network.get_weights()
        ]
    )


def _outputs(network: "keras.Model", inputs) -> np.ndarray:
    _compile(network, loss=None)
    return network.predict_on_batch(inputs)


def _train(
    network: "keras.Model", inputs, targets, loss, from_logits: bool = False
) -> np.ndarray:
    """Trains one step by plain gradient descent; returns the loss and all weights."""
    import keras

    from models.batch_normalization import fuse_batch_normalisation

    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0  # each backend draws other random numbers
    fuse_batch_normalisation(network)

    def clipped_loss(y_true, y_pred):
        low, high = SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY
        return loss(
            y_true, y_pred if from_logits else keras.ops.clip(y_pred, low, high)
        )

    _compile(network, clipped_loss)
    value = network.train_on_batch(inputs, targets)
    weights = [weight.ravel() for weight in network.get_weights()]
    return np.concatenate([np.ravel(value), *weights]).astype("float32")


def _compile(network: "keras.Model", loss) -> None:
    import keras

    # JAX needs its compiler; TensorFlow and PyTorch are used as they mostly are.
    network.compile(
        keras.optimizers.SGD(LEARNING_RATE),
        loss,
        jit_compile=keras.backend.backend() == "jax",
    )


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
