"""Times PVTSeg in Keras against PyTorch on this machine's CPU, in one run.

    make parity                                # makes .venv-parity, which has PyTorch
    .venv-parity/bin/python -m tools.bench_pvtseg
    .venv-parity/bin/python -m tools.bench_pvtseg --task train --encoder pvt_v2_b0

Each framework works in a process of its own, since their thread pools disturb each
other, and the two take turns, so that other load on the machine meets both alike.
Keras runs as a `tf.function`, PyTorch eagerly in inference mode.
"""

import multiprocessing
import resource
import statistics
import time

from cli.command import UserError, command_parser, ends_tidily, run_command

WARM_UP_RUNS = 3
PAUSE_SECONDS = 0.05  # lets the other process's threads fall asleep
LEARNING_RATE = 1e-4


def parse_args(argv=None):
    parser = command_parser(__doc__)
    parser.add_argument("--encoder", default="pvt_v2_b3", help="default: %(default)s")
    parser.add_argument(
        "--task", choices=("infer", "train"), default="infer", help="what is timed"
    )
    parser.add_argument(
        "--batch_size", type=int, nargs="+", default=[1, 4], help="images in a call"
    )
    parser.add_argument("--image_size", type=int, default=256, help="pixels")
    parser.add_argument("--runs", type=int, default=15, help="timed calls of each")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each")
    return parser.parse_args(argv)


@ends_tidily()
def main(args):
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


def race(args, batch_size: int) -> tuple[list[list[float]], list[float]]:
    """Lets both frameworks run the task in turn.

    Returns:
        Seconds of each timed run and peak memory of the process in MB, for Keras
        first, PyTorch second.
    """
    context = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    for make_step in (keras_step, torch_step):
        ours, theirs = context.Pipe()
        worker = context.Process(
            target=run_worker,
            args=(theirs, make_step, args, batch_size),
            name=make_step.__name__.split("_")[0],
            daemon=True,
        )
        worker.start()
        theirs.close()  # so that a worker that dies ends the wait for it
        answer(ours, worker)  # warmed up
        pipes.append(ours)
        workers.append(worker)
    seconds = [[], []]
    for _ in range(args.runs):
        for pipe, worker, times in zip(pipes, workers, seconds, strict=True):
            pipe.send("run")
            times.append(answer(pipe, worker))
            time.sleep(PAUSE_SECONDS)
    memory = []
    for pipe, worker in zip(pipes, workers, strict=True):
        pipe.send("stop")
        memory.append(answer(pipe, worker))
        worker.join()
    return seconds, memory


def answer(pipe, worker):
    """What a worker says next; one clear line when it has died instead."""
    try:
        return pipe.recv()
    except EOFError:
        worker.join()
        raise UserError(
            f"the {worker.name} process ended early (exit code {worker.exitcode}; "
            "-9 means killed, often for lack of memory)"
        ) from None


def run_worker(pipe, make_step, args, batch_size):
    """Answers each "run" with the seconds one step took, "stop" with peak memory."""
    try:
        step = make_step(args, batch_size)
        for _ in range(WARM_UP_RUNS):
            step()
        pipe.send("ready")
        while pipe.recv() == "run":
            start = time.perf_counter()
            step()
            pipe.send(time.perf_counter() - start)
        pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    except (EOFError, ConnectionError, KeyboardInterrupt):
        pass  # the benchmark was stopped; it says so itself


def keras_step(args, batch_size):
    """Returns a function that runs the task once in Keras."""
    from cli.command import quiet_tensorflow

    quiet_tensorflow()
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


def torch_step(args, batch_size):
    """Returns a function that runs the task once in PyTorch."""
    from cli.command import quiet_tensorflow

    quiet_tensorflow()  # the size table below is in a module that imports Keras
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
