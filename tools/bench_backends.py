"""Times LGPS in each Keras backend that is installed, on each of its devices.

    make backends                   # installs JAX and PyTorch beside TensorFlow
    python -m tools.bench_backends [--batch_size 4] [--image_size 256] [--repeats 5]

Each backend runs in a process of its own, by the Python of its environment (`.venv`,
`.venv-jax`, `.venv-torch`), or by this one where it has the backend. Timed are
`predict_on_batch` and `train_on_batch` (Adam, `LGPSLoss`), as they mostly run:
TensorFlow as a graph, JAX compiled, PyTorch eagerly. `train.py` itself runs on
TensorFlow only.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cli.command import UserError, command_parser, import_tensorflow, run_command
from cli.ranges import AT_LEAST_ONE, IMAGE_SIDE, number

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = {"tensorflow": ".venv", "jax": ".venv-jax", "torch": ".venv-torch"}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    counts = number(int, AT_LEAST_ONE)
    parser.add_argument("--batch_size", type=counts, default=4)
    parser.add_argument("--image_size", type=number(int, IMAGE_SIDE), default=256)
    parser.add_argument("--repeats", type=counts, default=5, help="timed calls of each")
    parser.add_argument("--only", choices=ENVIRONMENTS, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Prints the table; with `--only`, one backend's rows as JSON, one a line."""
    if args.only:
        for row in measure(args.batch_size, args.image_size, args.repeats):
            print(json.dumps(row), flush=True)
        return
    print(
        f"LGPS, {args.batch_size} images of {args.image_size}×{args.image_size}, median"
        f" of {args.repeats}\n\n| Backend | Device | Forward, ms | Training step, ms |"
        "\n|---|---|---|---|"
    )
    for backend, folder in ENVIRONMENTS.items():
        python = find_python(backend, ROOT / folder)
        if python is None:
            print(f"| {backend} | not installed (make backends) | | |")
            continue
        for device, forward, training in rows_of(backend, python):
            print(f"| {backend} | {device} | {forward:.0f} | {training:.0f} |")


def find_python(backend: str, environment: Path) -> str | None:
    """The Python that has a backend: its environment's, this one, or None."""
    own = environment / "bin" / "python"
    if own.is_file():
        return str(own)
    return sys.executable if importlib.util.find_spec(backend) else None


def rows_of(backend: str, python: str) -> list[tuple[str, float, float]]:
    """Runs this command for one backend in a process of its own.

    Returns:
        For each device its name and the milliseconds of forward and training step.

    Raises:
        UserError: the process failed; the message quotes its last line.
    """
    command = [python, "-m", "tools.bench_backends", *sys.argv[1:], "--only", backend]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{backend}: {reason}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure(
    batch_size: int, image_size: int, repeats: int
) -> Iterator[tuple[str, float, float]]:
    """Yields device, forward and training milliseconds of the active backend."""
    if os.environ["KERAS_BACKEND"] == "tensorflow":
        import_tensorflow()
    import keras

    from losses import LGPSLoss
    from models import build_model
    from models.batch_normalization import fuse_batch_normalisation

    rng = np.random.default_rng(0)
    shape = (batch_size, image_size, image_size)
    images = rng.uniform(-1, 1, (*shape, 3)).astype("float32")
    masks = (rng.random((*shape, 1)) > 0.8).astype("float32")
    for device in devices():
        with keras.device(device):
            network = build_model("lgps", (image_size, image_size, 3))
            fuse_batch_normalisation(network)
            compiled = keras.backend.backend() == "jax"
            network.compile(keras.optimizers.Adam(), LGPSLoss(), jit_compile=compiled)

            def forward(network=network):
                network.predict_on_batch(images)

            def training_step(network=network):
                network.train_on_batch(images, masks)

            yield (
                device,
                milliseconds(forward, repeats),
                milliseconds(training_step, repeats),
            )


def devices() -> list[str]:
    """The active backend's devices, such as "cpu:0"; one GPU at most."""
    import keras

    if keras.backend.backend() == "torch":
        import torch

        # Not "cpu:0", to which Keras would copy each weight, away from its gradient.
        return ["cpu", "gpu:0"] if torch.cuda.is_available() else ["cpu"]
    found = keras.distribution.list_devices()[0].startswith("gpu")
    return ["cpu:0", "gpu:0"] if found else ["cpu:0"]


def milliseconds(work: Callable[[], None], repeats: int) -> float:
    """Median time of a call, after one that compiles."""
    seconds = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[1:])


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
