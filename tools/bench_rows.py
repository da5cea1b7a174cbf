"""The rows of tools/bench.py, each a process of its own that is asked for figures."""

import multiprocessing
import os
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cli.command import UserError, quiet_tensorflow

IMAGE_SIZE = (256, 256)
DICE_FRAMES = 100
WARM_UP = 20
WAKE_UP = 3  # untimed frames of each turn: caches hold the row's before
THROUGHPUT_S = 4.0
ANSWER_S = 300.0  # an answer that takes longer will never come


@dataclass(frozen=True)
class Row:
    """One way to run the network.

    Attributes:
        runtime: its name.
        rewrite: whether models/inference.py is applied.
        precision: "float32", "bfloat16" or "int8".
        file: what to load; the checkpoint for TensorFlow's own rows.
    """

    runtime: str
    rewrite: bool
    precision: str
    file: str

    @property
    def title(self) -> str:
        form = "rewritten" if self.rewrite else "as trained"
        return f"{self.runtime}, {form}, {self.precision}"


@dataclass
class Worker:
    """A row's process, as the parent sees it.

    Attributes:
        row: what it runs.
        cores: the CPU cores it is pinned to.
        data_path: a prepared dataset, or None for drawn frames.
        seconds: latency of each timed frame so far.
        figures: what else it was asked.
    """

    row: Row
    cores: list[int]
    data_path: Path | None
    seconds: list[float] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def start(self) -> None:
        """Starts the process and waits until its model has run once."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(self.row, self.cores, self.data_path, theirs)
        )
        self._process.daemon = True
        self._process.start()
        theirs.close()  # so that the end of the process is noticed
        self.figures["startup_s"] = self._answer()

    def ask(self, task: str, *details):
        """What the process answers to a task.

        Args:
            task: a method of `_Tasks`.
            details: its arguments.

        Raises:
            UserError: the process failed, ended or hangs; it is stopped.
        """
        self._pipe.send((task, *details))
        return self._answer()

    def stop(self) -> None:
        self._process.kill()
        self._process.join()

    def _answer(self):
        try:
            if not self._pipe.poll(ANSWER_S):
                raise UserError(f"no answer in {ANSWER_S:.0f} s")
            answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            raise UserError("its process ended") from None
        if isinstance(answer, Exception):
            raise UserError(str(answer))
        return answer


def _serve(row: Row, cores: list[int], data_path: Path | None, pipe) -> None:
    """A row's process: loads the model, then answers until it is stopped."""
    os.sched_setaffinity(0, cores)
    try:
        start = time.perf_counter()
        tasks = _Tasks(row, len(cores), data_path)
        pipe.send(time.perf_counter() - start)
        while True:
            task, *details = pipe.recv()
            pipe.send(getattr(tasks, task)(*details))
    except (EOFError, ConnectionError, KeyboardInterrupt):  # the parent is gone
        pass
    except Exception as error:
        reason = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
        pipe.send(RuntimeError(reason))


class _Tasks:
    """What a row's process can be asked."""

    def __init__(self, row: Row, threads: int, data_path: Path | None):
        from deploy.parity import dataset_frames, demo_frames

        self.row = row
        self.threads = threads
        self.run = _load(row, threads)
        self.run(np.zeros((*IMAGE_SIZE, 3), np.uint8))
        if data_path:
            self.frames = dataset_frames(data_path, "test", IMAGE_SIZE, DICE_FRAMES)
        else:
            self.frames = demo_frames(IMAGE_SIZE)

    def latencies(self, count: int) -> list[float]:
        """Seconds of each of `count` frames, one at a time, after a few to wake up."""
        seconds = []
        for index in range(-WAKE_UP, count):
            frame = self._frame(index)
            start = time.perf_counter()
            self.run(frame)
            seconds.append(time.perf_counter() - start)
        return seconds[WAKE_UP:]

    def throughput(self) -> float:
        """Frames per second with one stream per core."""
        if self.row.runtime == "openvino":
            return self._openvino_throughput()
        streams = [self.run] * self.threads  # TensorFlow's share one pool of threads
        if not self.row.runtime.startswith("keras"):
            streams = [_load(self.row, threads=1) for _ in range(self.threads)]
        for run in streams:
            run(self._frame(0))
        end = time.perf_counter() + THROUGHPUT_S

        def work(run) -> int:
            count = 0
            while time.perf_counter() < end:
                run(self._frame(count))
                count += 1
            return count

        start = time.perf_counter()
        with ThreadPoolExecutor(self.threads) as pool:
            count = sum(pool.map(work, streams))
        return count / (time.perf_counter() - start)

    def dice(self) -> float:
        """Pooled Dice over the frames."""
        masks = self.frames.masks > 0
        found = np.stack([self.run(image) > 0.5 for image in self.frames.images])
        return float(2 * (found & masks).sum() / (found.sum() + masks.sum()))

    def peak_mb(self) -> float:
        """Peak memory of the process; `ru_maxrss` would count its parent's too."""
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def _frame(self, index: int) -> np.ndarray:
        return self.frames.images[index % len(self.frames.images)]

    def _openvino_throughput(self) -> float:
        import openvino

        options = {"NUM_STREAMS": self.threads, "INFERENCE_NUM_THREADS": self.threads}
        if self.row.precision != "bfloat16":
            options["INFERENCE_PRECISION_HINT"] = "f32"
        compiled = openvino.Core().compile_model(self.row.file, "CPU", options)
        jobs = openvino.AsyncInferQueue(compiled, 2 * self.threads)
        jobs.start_async([self._frame(0)[None]])
        jobs.wait_all()
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < THROUGHPUT_S:
            jobs.start_async([self._frame(count)[None]])
            count += 1
        jobs.wait_all()
        return count / (time.perf_counter() - start)


def _load(row: Row, threads: int):
    """Returns a function: frame `(H, W, 3)` uint8 → probability `(H, W)`."""
    from deploy.runtimes import load_runtime, tensorflow_threads

    if not row.runtime.startswith("keras"):
        return load_runtime(row.file, threads, exact=row.precision != "bfloat16")
    quiet_tensorflow()
    tensorflow_threads(threads)
    import tensorflow as tf

    from deploy.export import build_export_model
    from models.checkpoints import load_checkpoint

    checkpoint = load_checkpoint(row.file, "lgps")
    model = build_export_model(checkpoint, rewrite=row.rewrite)
    if row.runtime == "keras predict":
        return lambda frame: model.predict(frame[None], verbose=0)[0, ..., 0]
    call = model if row.runtime == "keras eager" else tf.function(model)
    return lambda frame: call(tf.constant(frame[None])).numpy()[0, ..., 0]
