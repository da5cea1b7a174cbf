"""Times a training step of LGPS, in the published kind of loop and in ours.

    python -m tools.bench_train [--batch_size 16] [--image_size 256] [--steps 3]
    python -m tools.bench_train --no_discriminator --precision mixed_bfloat16

Both train on the same batch in one run, in turn, so that the ratio holds on a noisy
machine: published = eager mode, two gradient tapes, generator and discriminator,
Keras's own batch normalisation; ours = the compiled step with fused batch
normalisation that `train.py` runs.
"""

import argparse
import dataclasses
import statistics
import time

from cli.command import command_parser, import_tensorflow, run_command
from cli.ranges import AT_LEAST_ONE, IMAGE_SIDE, number


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    counts = number(int, AT_LEAST_ONE)
    parser.add_argument("--batch_size", type=counts, default=16)
    parser.add_argument("--image_size", type=number(int, IMAGE_SIDE), default=256)
    parser.add_argument("--steps", type=counts, default=3, help="timed steps of each")
    parser.add_argument("--no_discriminator", action="store_true", help="of ours")
    parser.add_argument(
        "--precision",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
        default="float32",
        help="of ours",
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Times both and prints seconds per step and their ratio."""
    import_tensorflow()
    import numpy as np
    import tensorflow as tf

    from training.build import build_trainer
    from training.devices import set_precision
    from training.recipes import new_options

    options = new_options({"data_path": ["none"]})
    size = (args.image_size, args.image_size)
    published = build_trainer(options, size, fused=False)
    set_precision(args.precision)
    options = dataclasses.replace(options, use_discriminator=not args.no_discriminator)
    ours = build_trainer(options, size)
    rng = np.random.default_rng(0)
    shape = (args.batch_size, args.image_size, args.image_size)
    images = tf.constant(rng.uniform(-1, 1, (*shape, 3)), tf.float32)
    masks = tf.constant(rng.random((*shape, 1)) > 0.8, tf.float32)

    compiled = tf.function(ours.train_step)
    steps = {
        "published kind, eager": lambda: published.train_step((images, masks)),
        "ours, compiled": lambda: compiled((images, masks)),
    }
    for step in steps.values():
        step()  # warm-up, and compilation
    seconds = {name: [] for name in steps}
    for _ in range(args.steps):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in medians.items():
        print(
            f"{name:24s} {value:7.2f} s per step of {args.batch_size} images, "
            f"{value / medians['published kind, eager']:.2f} of the published kind"
        )


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
