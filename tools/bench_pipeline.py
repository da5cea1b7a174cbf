"""Times training steps of LGPS with batches in memory against the input pipeline.

    python -m tools.bench_pipeline --data_path data/Kvasir-SEG
    python -m tools.bench_pipeline --data_path data/Kvasir-SEG --augmentation mild

Both kinds of step alternate in one run, round after round, and the processor time they
take is shown too, which other programs change less than the elapsed time. The first
steps of each round are not counted: they take the batches that the pipeline prepared
while the other kind ran.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from cli.command import command_parser, import_tensorflow, run_command
from cli.ranges import AT_LEAST_ONE, IMAGE_SIDE, number
from data.augment import AUGMENTATIONS

UNCOUNTED = 4  # steps at the start of a round
CACHED = 4  # batches held in memory


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    at_least_one = number(int, AT_LEAST_ONE)
    parser = command_parser(__doc__)
    parser.add_argument("--data_path", nargs="+", required=True, help="prepared sets")
    parser.add_argument("--augmentation", choices=AUGMENTATIONS, default="strong")
    parser.add_argument("--batch_size", type=at_least_one, default=16)
    parser.add_argument("--image_size", type=number(int, IMAGE_SIDE), default=256)
    parser.add_argument("--steps", type=at_least_one, default=15, help="of a round")
    parser.add_argument("--rounds", type=at_least_one, default=5)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Prints elapsed and processor time of both kinds of step, and their ratio."""
    import_tensorflow()
    import tensorflow as tf

    from data.arrays import load_prepared
    from data.pipeline import training_dataset
    from data.samples import Samples
    from models import IMAGE_CONVENTIONS
    from training.build import build_trainer
    from training.recipes import LGPS

    samples = Samples([load_prepared(path) for path in args.data_path])
    size = (args.image_size, args.image_size)
    options = replace(LGPS, use_discriminator=False)
    step = tf.function(build_trainer(options, size).train_step)
    batches = iter(
        training_dataset(
            samples,
            IMAGE_CONVENTIONS["lgps"].prepare,
            {size: 1.0},
            args.batch_size,
            AUGMENTATIONS[args.augmentation],
            seed=0,
        )
    )
    cached = itertools.cycle([next(batches) for _ in range(CACHED)])
    step(next(cached))  # compiles
    seconds = {"batches in memory": [], "input pipeline": []}
    for _ in range(args.rounds):
        for times, source in zip(seconds.values(), (cached, batches), strict=True):
            times.append(seconds_per_step(step, source, args.steps))
    for place, clock in enumerate(("elapsed", "processor")):
        without, with_pipeline = (
            statistics.median(times[place] for times in rounds)
            for rounds in seconds.values()
        )
        print(
            f"{clock:9s} time of a step: {without:.3f} s with batches in memory, "
            f"{with_pipeline:.3f} s with the input pipeline, "
            f"ratio {with_pipeline / without:.3f}"
        )


def seconds_per_step(
    step: Callable[[Any], Any], source: Iterator[Any], steps: int
) -> tuple[float, float]:
    """Elapsed and processor time of a step, seconds; a mean of so many steps."""
    for _ in range(UNCOUNTED):
        step(next(source))
    elapsed, processor = time.perf_counter(), time.process_time()
    for _ in range(steps):
        result = step(next(source))
    for value in result.values():  # waits for the last step
        float(value)
    elapsed, processor = time.perf_counter() - elapsed, time.process_time() - processor
    return elapsed / steps, processor / steps


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
