"""Runs the rows of the table of tools/bench.py, each in a process of its own."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cli.command import import_tensorflow
from tools.worker_process import Tasks, WorkerProcess

IMAGE_SIZE = (256, 256)
DICE_FRAMES = 100
WARM_UP = 20
WAKE_UP = 3  # untimed frames of each turn: the caches still hold another row's data
THROUGHPUT_S = 4.0


@dataclass(frozen=True)
class Row:
    """A row of the table: one way to run the network.

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
        """For messages, such as "onnx, rewritten, int8"."""
        form = "rewritten" if self.rewrite else "as trained"
        return f"{self.runtime}, {form}, {self.precision}"


class RowWorker(WorkerProcess):
    """The process of one row, and the figures measured in it.

    Args:
        row: what it runs.
        threads: CPU threads it may use.
        data_path: a prepared dataset, or None for drawn frames.

    Attributes:
        row: what it runs.
        seconds: latency of each timed frame so far.
        figures: its answers to everything else it was asked.
    """

    def __init__(self, row: Row, threads: int, data_path: Path | None):
        super().__init__(row.title, RowTasks, row, threads, data_path)
        self.row = row
        self.seconds: list[float] = []
        self.figures: dict[str, float] = {}


class RowTasks(Tasks):
    """The measurements that the process of a row can be asked for."""

    def __init__(self, row: Row, threads: int, data_path: Path | None):
        from deploy.gate import demo_frames, held_out_frames

        self.row = row
        self.threads = threads
        self.run = _load(row, threads)
        self.run(np.zeros((*IMAGE_SIZE, 3), np.uint8))
        if data_path:
            self.frames = held_out_frames(data_path, IMAGE_SIZE, DICE_FRAMES)
        else:
            self.frames = demo_frames(IMAGE_SIZE)

    def latencies(self, count: int) -> list[float]:
        """Times `count` frames one at a time, after a few untimed ones; seconds."""
        seconds = []
        for index in range(-WAKE_UP, count):
            frame = self._frame(index)
            start = time.perf_counter()
            self.run(frame)
            seconds.append(time.perf_counter() - start)
        return seconds[WAKE_UP:]

    def throughput(self) -> float:
        """Measures frames per second with one stream per core."""
        if self.row.runtime == "openvino":
            return self._openvino_throughput()
        streams = [self.run] * self.threads  # TensorFlow's share one pool of threads
        if not self.row.runtime.startswith("keras"):
            streams = [_load(self.row, threads=1) for _ in range(self.threads)]
        for run in streams:
            run(self._frame(0))
        end = time.perf_counter() + THROUGHPUT_S

        def work(run: Callable[[np.ndarray], np.ndarray]) -> int:
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
        """Computes the pooled Dice over the frames."""
        masks = self.frames.masks > 0
        found = np.stack([self.run(image) > 0.5 for image in self.frames.images])
        return float(2 * (found & masks).sum() / (found.sum() + masks.sum()))

    def _frame(self, index: int) -> np.ndarray:
        return self.frames.images[index % len(self.frames.images)]

    def _openvino_throughput(self) -> float:
        from deploy.formats import require

        openvino = require("openvino")
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


def _load(row: Row, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function: frame `(H, W, 3)` uint8 → probability `(H, W)`."""
    from deploy.runtimes import load_runtime, tensorflow_threads

    if not row.runtime.startswith("keras"):
        return load_runtime(row.file, threads, exact=row.precision != "bfloat16")
    import_tensorflow()
    tensorflow_threads(threads, at_once=1)
    import tensorflow as tf

    from models.checkpoints import load_checkpoint
    from models.inference import build_rgb_model

    checkpoint = load_checkpoint(row.file)
    model = build_rgb_model(checkpoint, row.rewrite, batch_size=1, dtype="uint8")
    if row.runtime == "keras predict":
        return lambda frame: model.predict(frame[None], verbose=0)[0, ..., 0]
    call = model if row.runtime == "keras eager" else tf.function(model)
    return lambda frame: call(tf.constant(frame[None])).numpy()[0, ..., 0]
