"""Times PVTSeg in Keras and in PyTorch on this machine's CPU, in one run.

    make parity                                # makes .venv-parity, which has PyTorch
    .venv-parity/bin/python -m tools.bench_pvtseg
    .venv-parity/bin/python -m tools.bench_pvtseg --task train --encoder pvt_v2_b0

Each framework runs in a process of its own, since their thread pools disturb each
other. The two take turns, so that other load on the machine meets both alike.
Keras runs as a `tf.function`, PyTorch eagerly in inference mode.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from cli.command import command_parser, run_command, sigterm_as_interrupt
from cli.ranges import AT_LEAST_ONE, IMAGE_SIDE, number
from tools.check_parity import ENCODERS, require_pytorch
from tools.worker_process import Tasks, WorkerProcess

WARM_UP_RUNS = 3
PAUSE_SECONDS = 0.05  # lets the other process's threads fall asleep
LEARNING_RATE = 1e-4

Step = Callable[[], object]  # does the timed task once


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--encoder",
        choices=ENCODERS,
        default="pvt_v2_b3",
        help="default: %(default)s",
    )
    parser.add_argument(
        "--task", choices=("infer", "train"), default="infer", help="what is timed"
    )
    counts = number(int, AT_LEAST_ONE)
    parser.add_argument(
        "--batch_size", type=counts, nargs="+", default=[1, 4], help="images in a call"
    )
    parser.add_argument(
        "--image_size", type=number(int, IMAGE_SIDE), default=256, help="pixels"
    )
    parser.add_argument("--runs", type=counts, default=15, help="timed calls of each")
    parser.add_argument("--threads", type=counts, default=2, help="CPU threads of each")
    return parser.parse_args(argv)


@sigterm_as_interrupt()
def main(args: argparse.Namespace) -> None:
    """Times every batch size and prints one table."""
    require_pytorch()
    print(
        f"PVTSeg, {args.encoder}, {args.image_size}×{args.image_size}, {args.task}, "
        f"{args.threads} threads, {args.runs} runs taken in turn"
    )
    print("batch  of runs  Keras ms  PyTorch ms  ratio   peak MB, Keras  PyTorch")
    for batch_size in args.batch_size:
        seconds, memory = race(args, batch_size)
        for name, pick in (("median", statistics.median), ("fastest", min)):
            keras_ms, torch_ms = (1000 * pick(s) for s in seconds)
            print(
                f"{batch_size:5}  {name:7}{keras_ms:10.1f}{torch_ms:12.1f}"
                f"{keras_ms / torch_ms:7.2f}{memory[0]:17.0f}{memory[1]:9.0f}",
                flush=True,
            )


def race(
    args: argparse.Namespace, batch_size: int
) -> tuple[list[list[float]], list[float]]:
    """Runs the task in both frameworks, in turn.

    Returns:
        Seconds of each timed run and peak memory of the process in MiB, for Keras
        first, PyTorch second.
    """
    workers = [
        WorkerProcess(name, StepTasks, make_step, args, batch_size)
        for name, make_step in (("Keras", keras_step), ("PyTorch", torch_step))
    ]
    seconds: list[list[float]] = [[], []]
    try:
        for worker in workers:
            worker.start()
        for _ in range(args.runs):
            for worker, times in zip(workers, seconds, strict=True):
                times.append(worker.ask("step_seconds"))
                time.sleep(PAUSE_SECONDS)
        return seconds, [worker.ask("peak_mb") for worker in workers]
    finally:
        for worker in workers:
            worker.stop()


class StepTasks(Tasks):
    """The measurements of one framework; its step is warmed up first."""

    def __init__(
        self,
        make_step: Callable[[argparse.Namespace, int], Step],
        args: argparse.Namespace,
        batch_size: int,
    ):
        self._step = make_step(args, batch_size)
        for _ in range(WARM_UP_RUNS):
            self._step()

    def step_seconds(self) -> float:
        """Runs the step once; returns the seconds it took."""
        start = time.perf_counter()
        self._step()
        return time.perf_counter() - start


def keras_step(args: argparse.Namespace, batch_size: int) -> Step:
    """Returns a function that runs the task once in Keras."""
    from cli.command import import_tensorflow

    import_tensorflow()
    import keras
    import tensorflow as tf

    from losses.pvtseg import PVTSegLoss
    from models import build_model

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    size = args.image_size
    model = build_model("pvtseg", (size, size, 3), encoder=args.encoder)
    images = tf.random.uniform((batch_size, size, size, 3))
    if args.task == "infer":
        call = tf.function(lambda x: model(x, training=False))
        return lambda: call(images).numpy()

    masks = tf.cast(images[..., :1] > 0.5, "float32")
    # XLA slows depthwise convolutions down on CPUs.
    optimizer = keras.optimizers.Adam(LEARNING_RATE)
    model.compile(optimizer, loss=PVTSegLoss(), jit_compile=False)
    return lambda: model.train_on_batch(images, masks)


def torch_step(args: argparse.Namespace, batch_size: int) -> Step:
    """Returns a function that runs the task once in PyTorch."""
    from cli.command import import_tensorflow

    import_tensorflow()  # the size table below is in a module that imports Keras
    import torch
    from torch.nn import functional

    from models.pvt_v2 import PVT_V2_VARIANTS
    from tools.pvtseg_torch import TorchPVTSeg

    torch.set_num_threads(args.threads)
    size = args.image_size
    model = TorchPVTSeg(PVT_V2_VARIANTS[args.encoder])
    images = torch.rand(batch_size, 3, size, size)
    if args.task == "infer":
        model.eval()

        def infer():
            with torch.inference_mode():
                return torch.sigmoid(model(images)[0]).numpy()

        return infer

    masks = (images[:, :1] > 0.5).float()
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)

    def train():
        optimizer.zero_grad()
        logits = model(images)[0]
        y = torch.sigmoid(logits)
        dice = (2 * (y * masks).sum() + 1) / (y.sum() + masks.sum() + 1)
        entropy = functional.binary_cross_entropy_with_logits(logits, masks)
        loss = entropy + 1 - dice
        loss.backward()
        optimizer.step()
        return loss.item()

    return train


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
