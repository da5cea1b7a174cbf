"""Checks that converted weights give the same outputs in Keras as in PyTorch.

    make parity                                  # b0–b5, in an environment it makes
    python -m tools.check_parity --encoders pvt_v2_b0
    python -m tools.check_parity --write_fixture tests/models/pvtseg_b0_parity.npz

Random weights are written as a published `.pth`, converted by `tools.convert_pth`, and
both networks see the same image. The reference is `tools/pvtseg_torch.py`. Compared are
the logits and the four encoder outputs, these after division by their standard
deviation. Exits 1 when a difference is larger than the tolerance.
"""

import argparse
import importlib.util
import json
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cli.command import UserError, command_parser, import_tensorflow, run_command
from tools.convert_pth import ENCODER_PREFIX, convert, read_state_dict, save

if TYPE_CHECKING:
    import keras
    import torch

    from tools.pvtseg_torch import TorchPVTSeg

ENCODERS = tuple(f"pvt_v2_b{number}" for number in range(6))
TOLERANCE = 1e-4
SIZES = ((256, 256), (192, 320))  # height, width in pixels
FIXTURE_SIZES = ((64, 64), (64, 96))

# What feeds a LayerNorm is kept small, so that a wrong epsilon shows in the output.
SMALL_MODULES = ("patch_embed", "attn.sr.", "attn.proj.", "mlp.fc2.")
SMALL_SCALE = 0.01


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--encoders",
        nargs="+",
        choices=ENCODERS,
        default=ENCODERS,
        help="variants to check; default: all",
    )
    parser.add_argument(
        "--write_fixture",
        type=Path,
        metavar="FILE.npz",
        help="instead, write what tests/models/test_pvtseg.py compares with",
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    """Prints the differences, or writes the fixture; returns the exit code."""
    require_pytorch()
    import_tensorflow()
    if args.write_fixture:
        write_fixture(args.write_fixture)
        return 0
    print("largest difference; encoder outputs over their standard deviation")
    print("encoder    size     logits   stage 1  stage 2  stage 3  stage 4")
    differences = []
    for variant in args.encoders:
        for (height, width), row in compare(variant):
            numbers = "  ".join(f"{difference:.1e}" for difference in row)
            print(f"{variant}  {height}×{width}  {numbers}", flush=True)
            differences += row
    passed = all(difference <= TOLERANCE for difference in differences)  # not NaN
    print(f"tolerance {TOLERANCE:.0e}:", "pass" if passed else "FAIL")
    return 0 if passed else 1


def require_pytorch() -> None:
    """Raises `UserError` where the packages for the comparison are not installed."""
    packages = ("torch", "transformers")
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"{' and '.join(missing)} not installed; run:"
            " pip install -r requirements-convert.txt"
        )


def compare(variant: str) -> Iterator[tuple[tuple[int, int], list[float]]]:
    """Yields each of `SIZES` with the differences of the logits and four outputs."""
    import torch

    reference, state = random_reference(variant)
    tensors = {key: torch.from_numpy(array) for key, array in state.items()}
    encoder_tensors = {
        key.removeprefix(ENCODER_PREFIX): tensor
        for key, tensor in tensors.items()
        if key.startswith(ENCODER_PREFIX)
    }
    encoder_tensors |= {"head.weight": torch.ones(1000, 8), "head.bias": torch.ones(8)}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = convert_tensors(tensors, Path(folder, "pvtseg.h5"))
        encoder_file = convert_tensors(
            encoder_tensors, Path(folder, "encoder.weights.h5")
        )
        network = load_keras(variant, checkpoint, encoder_file)
        for size in SIZES:
            ours = keras_outputs(network, size)
            theirs = torch_outputs(reference, size)
            yield (
                size,
                [
                    float(np.abs(a - b).max() / scale)
                    for a, b, scale in zip(
                        ours, theirs, [1.0, *(x.std() for x in theirs[1:])], strict=True
                    )
                ],
            )


def convert_tensors(tensors: Mapping[str, "torch.Tensor"], target: Path) -> Path:
    """Writes tensors as a `.pth` and converts that, as a user would."""
    import torch

    source = target.with_suffix(".pth")
    torch.save(tensors, source)
    save(convert(read_state_dict(source), source.name), target)
    return target


def random_reference(variant: str) -> tuple["TorchPVTSeg", dict[str, np.ndarray]]:
    """Returns the PyTorch network and its random state dict, keys as published."""
    import torch

    from models.pvt_v2 import PVT_V2_VARIANTS
    from tools.pvtseg_torch import TorchPVTSeg, load_published, published_shapes

    model = TorchPVTSeg(PVT_V2_VARIANTS[variant]).eval()
    state = {
        key: random_parameter(key, shape)
        for key, shape in published_shapes(model).items()
    }
    load_published(model, {key: torch.from_numpy(a) for key, a in state.items()})
    return model, state


def random_parameter(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Makes one random array of a checkpoint; a key gives the same on any machine.

    Args:
        key: its name in the published checkpoint.
        shape: its shape in PyTorch.

    Returns:
        float32 array; matrices and kernels keep the size of what they multiply,
        scales of norms are not 1, offsets not 0, running variances in [0.2, 1].
    """
    random = np.random.RandomState(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return np.asarray(1000)
    if key.endswith("running_var"):
        values = random.uniform(0.2, 1.0, shape)
    elif len(shape) > 1:
        values = random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    elif key.endswith(".weight"):  # of a norm
        values = 1.0 + 0.3 * random.standard_normal(shape)
    else:
        values = 0.3 * random.standard_normal(shape)
    if any(module in key for module in SMALL_MODULES):
        values *= SMALL_SCALE
    return values.astype("float32")


def random_image(size: tuple[int, int]) -> np.ndarray:
    """Makes an image `(1, H, W, 3)` float32 in [0, 1], always the same for a size."""
    return np.random.RandomState(0).uniform(size=(1, *size, 3)).astype("float32")


def torch_outputs(reference: "TorchPVTSeg", size: tuple[int, int]) -> list[np.ndarray]:
    """Runs the PyTorch network: logits and four encoder outputs, `(1, H, W, C)`."""
    import torch

    image = torch.from_numpy(random_image(size).transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        logits, features = reference(image)
    return [x.permute(0, 2, 3, 1).numpy() for x in (logits, *features)]


def load_keras(
    variant: str, checkpoint: Path, encoder_weights: Path
) -> "tuple[keras.Model, keras.Model]":
    """Loads the Keras network that gives logits, and the encoder from its own file."""
    import keras

    from models import build_model
    from models.pvt_v2 import build_pvt_v2

    any_size = (None, None, 3)
    model = build_model("pvtseg", any_size, encoder=variant)
    model.load_weights(checkpoint)
    logits = keras.Model(model.input, model.get_layer("y").output)
    return logits, build_pvt_v2(variant, any_size, encoder_weights)


def keras_outputs(
    network: "tuple[keras.Model, keras.Model]", size: tuple[int, int]
) -> list[np.ndarray]:
    """Runs the networks of `load_keras`; outputs as those of `torch_outputs`."""
    import keras

    logits, encoder = network
    image = random_image(size)
    return [keras.ops.convert_to_numpy(x) for x in (logits(image), *encoder(image))]


def write_fixture(path: Path) -> None:
    """Writes PyTorch's outputs for b0 and the names and shapes of its parameters.

    The test makes the parameters themselves with `random_parameter`.
    """
    reference, state = random_reference("pvt_v2_b0")
    arrays = {}
    for height, width in FIXTURE_SIZES:
        outputs = torch_outputs(reference, (height, width))
        names = ("logits", *(f"stage{i}" for i in range(1, 5)))
        for name, array in zip(names, outputs, strict=True):
            arrays[f"{name}_{height}x{width}"] = array
    shapes = {key: array.shape for key, array in state.items()}
    np.savez_compressed(path, shapes=json.dumps(shapes), **arrays)


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
