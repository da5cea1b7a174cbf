"""Converts PyTorch checkpoints of PVTSeg and of its encoder to Keras files.

    pip install -r requirements-convert.txt
    python -m tools.convert_pth PVTSeg.pth pvtseg.h5
    python -m tools.convert_pth pvt_v2_b3.pth pvt_v2_b3.weights.h5

The keys tell what the file is. A published PVTSeg checkpoint becomes a whole-model .h5
for Test.py and New_Test.py; an ImageNet encoder becomes a .weights.h5 for
`train.py --model pvtseg --encoder_weights`. Every source key must be used or be on the
short list of ignored ones, and every Keras variable filled.
"""

import argparse
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cli.command import UserError, command_parser, import_tensorflow, run_command
from cli.files import replacing

if TYPE_CHECKING:
    import keras
    import numpy as np
    import torch

ENCODER_PREFIX = "backbone."
ENCODER_MARK = "patch_embed1.proj.weight"  # a key every PVTv2 has

# Keys that have no counterpart, each with its reason.
BATCH_COUNTERS = re.compile(r"(.*\.)?num_batches_tracked")  # Keras keeps no such count
IMAGENET_HEAD = re.compile(r"head\.(weight|bias)")  # classifier over 1000 classes

# Keras's names of a layer's variables → PyTorch's.
TORCH_PARAMETERS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}

# Axes of a PyTorch kernel in Keras's order, by Keras class and number of axes.
KERNEL_AXES = {
    "Conv2D": (2, 3, 1, 0),  # (out, in, h, w) → (h, w, in, out)
    "DepthwiseConv2D": (2, 3, 0, 1),  # (channels, 1, h, w) → (h, w, channels, 1)
    "Dense": (1, 0),  # (out, in) → (in, out)
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("source", metavar="IN.pth", type=Path)
    parser.add_argument("target", metavar="OUT.h5", type=Path)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Reads, converts and saves one file."""
    if not args.source.is_file():
        raise UserError(f"{args.source} not found")
    if not args.target.parent.is_dir():
        raise UserError(f"the folder of {args.target} does not exist")
    state = read_state_dict(args.source)
    import_tensorflow()
    model = convert(state, str(args.source))
    save(model, args.target)
    print(f"{args.target}: {model.name}, {model.count_params():,} weights")


def read_state_dict(path: Path) -> "dict[str, np.ndarray]":
    """Reads a `.pth` file as data; code that it may hold is not run.

    Args:
        path: a file made by `torch.save(model.state_dict(), path)`.

    Returns:
        Parameter name → array.

    Raises:
        UserError: without PyTorch, or for any other kind of file.
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise UserError(
            "reading .pth files needs PyTorch: pip install -r requirements-convert.txt"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that are refused just below
            state = torch.load(path, map_location="cpu", weights_only=True)
        return {str(key): _to_numpy(value) for key, value in state.items()}
    except Exception as error:  # the unpickler raises whatever a bad file leads to
        raise UserError(
            f"{path} is no PyTorch state dict (parameter names and their tensors): "
            "it is damaged, or holds other objects, which are refused since they "
            "could run code"
        ) from error


def _to_numpy(tensor: "torch.Tensor") -> "np.ndarray":
    if tensor.is_floating_point():
        tensor = tensor.float()  # NumPy has no bfloat16
    return tensor.detach().numpy()


def convert(state: "Mapping[str, np.ndarray]", source: str) -> "keras.Model":
    """Builds the Keras model that a PyTorch state dict describes, weights filled.

    Args:
        state: parameter name → array.
        source: what error messages call it.

    Returns:
        The PVTSeg network (256×256), or the PVTv2 encoder alone.

    Raises:
        UserError: unless every key is used or ignored, and every variable filled;
            names all mismatches.
    """
    from models import build_model
    from models.pvt_v2 import build_pvt_v2

    if ENCODER_PREFIX + ENCODER_MARK in state:
        variant = find_variant(state, ENCODER_PREFIX, source)
        model, ignored = build_model("pvtseg", encoder=variant), [BATCH_COUNTERS]
    elif ENCODER_MARK in state:
        variant = find_variant(state, "", source)
        model, ignored = build_pvt_v2(variant), [IMAGENET_HEAD]
    else:
        raise UserError(
            f"{source} is neither PVTSeg nor PVTv2: it has no {ENCODER_MARK}, with or "
            f"without {ENCODER_PREFIX}"
        )
    problems = fill(model, state, ignored)
    if problems:
        raise UserError(f"{source} does not fit {variant}: {'; '.join(problems)}")
    return model


def find_variant(state: "Mapping[str, np.ndarray]", prefix: str, source: str) -> str:
    """Finds the variant b0–b5 by first width, blocks per stage and first MLP ratio."""
    from models.pvt_v2 import PVT_V2_VARIANTS

    def rows(key: str) -> int:
        shape = getattr(state.get(prefix + key), "shape", ())
        return shape[0] if len(shape) else 0

    depths = [0, 0, 0, 0]
    for key in state:
        if match := re.match(re.escape(prefix) + r"block([1-4])\.(\d{1,3})\.", key):
            stage = int(match[1]) - 1
            depths[stage] = max(depths[stage], int(match[2]) + 1)
    width = rows("patch_embed1.proj.bias")
    hidden = rows("block1.0.mlp.fc1.bias")
    for name, config in PVT_V2_VARIANTS.items():
        if (tuple(depths), width, hidden) == (
            config.depths,
            config.dims[0],
            config.dims[0] * config.mlp_ratios[0],
        ):
            return name
    raise UserError(
        f"{source} fits no PVTv2 variant b0–b5: {width} channels first, {hidden} in "
        f"its first MLP, blocks per stage {depths}"
    )


def fill(
    model: "keras.Model", state: "Mapping[str, np.ndarray]", ignored: list[re.Pattern]
) -> list[str]:
    """Copies a state dict into a model whose layers are named after its modules.

    Args:
        model: a PVTv2 encoder or PVTSeg; changed only when everything fits.
        state: parameter name → array.
        ignored: patterns of keys that need no variable.

    Returns:
        What does not fit, empty when all is well.
    """
    import numpy as np

    variables = torch_named_variables(model)
    problems = {"unknown": [], "of another shape": [], "not finite numbers": []}
    matched = []
    for key, array in state.items():
        if any(pattern.fullmatch(key) for pattern in ignored):
            continue
        if key not in variables:
            problems["unknown"].append(key)
            continue
        variable, axes = variables.pop(key)
        sizes = dict(zip(axes, variable.shape, strict=True))
        expected = tuple(sizes[axis] for axis in range(len(axes)))
        if array.shape != expected:
            problems["of another shape"].append(f"{key} {array.shape}, not {expected}")
        elif array.dtype.kind != "f" or not np.isfinite(array).all():
            problems["not finite numbers"].append(key)
        else:
            matched.append((variable, array.transpose(axes)))
    problems["missing"] = list(variables)
    report = [
        f"{len(keys)} {problem}: {', '.join(keys)}"
        for problem, keys in problems.items()
        if keys
    ]
    if not report:
        for variable, array in matched:
            variable.assign(array)
    return report


def torch_named_variables(
    model: "keras.Model", prefix: str = ""
) -> "dict[str, tuple[keras.Variable, tuple[int, ...]]]":
    """Finds the model's weights by the names they have in PyTorch.

    Returns:
        State-dict key → the Keras variable, and the PyTorch array's axes in Keras's
        order.
    """
    import keras

    variables = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            variables |= torch_named_variables(layer, ENCODER_PREFIX)
            continue
        # Layers are named after PyTorch modules, dots written as underscores.
        module = layer.name.replace("_", ".").replace("patch.embed", "patch_embed")
        for variable in layer.weights:
            key = f"{prefix}{module}.{TORCH_PARAMETERS[variable.name]}"
            axes = (0,)
            if variable.name == "kernel":
                axes = KERNEL_AXES[type(layer).__name__]
            variables[key] = variable, axes
    return variables


def save(model: "keras.Model", path: Path) -> None:
    """Saves PVTSeg whole as `.h5`, an encoder as `.weights.h5`; never half a file."""
    from models.checkpoints import save_checkpoint

    whole = model.name == "pvtseg"
    if whole and (path.suffix != ".h5" or path.name.endswith(".weights.h5")):
        raise UserError(f"this is a PVTSeg checkpoint: OUT must be a .h5, not {path}")
    if not whole and not path.name.endswith(".weights.h5"):
        raise UserError(f"this is an encoder: OUT must be a .weights.h5, not {path}")
    if whole:
        save_checkpoint(model, path)
        return
    with replacing(path) as partial:
        model.save_weights(partial)


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
