"""Measures how fast LGPS runs here, in every runtime that is installed.

    python tools/bench.py --model_path runs/lgps/best.h5
    python tools/bench.py --model_path best.h5 --data_path data/Kvasir-SEG --json b.json

Each row is a process of its own, pinned to the given cores: latency of one 256×256
frame at a time, throughput with parallel streams, start-up time and peak memory. Rows
are measured in turns, so that a disturbance hits all of them alike. int8 rows are
calibrated on the dataset, or on demo frames. Dice is given beside the speed when a
dataset is.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402

from data.cli import UserError, quiet_tensorflow, run_command  # noqa: E402

ROUNDS = 10
WARM_UP = 20
CALIBRATION_FRAMES = 100
DICE_FRAMES = 100
MULTIPLICATIONS = 0.66e9  # of LGPS at 256×256


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


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model_path", type=Path, required=True, help="LGPS .h5")
    parser.add_argument("--data_path", type=Path, help="prepared dataset, for Dice")
    parser.add_argument("--cores", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--frames", type=int, default=200, help="timed, per row")
    parser.add_argument("--json", type=Path, help="also write the table here")
    return parser.parse_args(argv)


def export_rows(args: argparse.Namespace, folder: Path) -> list[Row]:
    """Exports the checkpoint for every runtime that is installed."""
    from deploy.export import FORMATS, build_export_model, check_format, write_model
    from deploy.parity import dataset_frames, demo_frames
    from deploy.quantise import write_int8
    from models.checkpoints import load_checkpoint

    checkpoint = load_checkpoint(args.model_path, "lgps")
    size = checkpoint.image_size
    if args.data_path:
        frames = dataset_frames(args.data_path, "train", size, CALIBRATION_FRAMES)
    else:
        frames = demo_frames(size)
    source = str(args.model_path)
    rows = [
        Row("keras eager", False, "float32", source),
        Row("keras predict", False, "float32", source),
        Row("keras compiled", False, "float32", source),
        Row("keras compiled", True, "float32", source),
    ]
    for name in ("litert", "onnx", "openvino"):
        try:
            check_format(name)
        except UserError as error:
            print(f"left out: {error}")
            continue
        for rewrite in (False, True):
            model = build_export_model(checkpoint, rewrite=rewrite)
            stem = f"{'rewritten' if rewrite else 'plain'}{FORMATS[name][0]}"
            write_model(model, folder / stem, name)
            rows.append(Row(name, rewrite, "float32", str(folder / stem)))
            if name == "openvino" and _has_bfloat16():
                rows.append(Row(name, rewrite, "bfloat16", str(folder / stem)))
            if rewrite:
                write_int8(model, folder / f"int8_{stem}", name, frames.images)
                rows.append(Row(name, True, "int8", str(folder / f"int8_{stem}")))
    return rows


def serve(row: Row, args: argparse.Namespace, connection) -> None:
    """A row's process: loads the model, then measures whenever it is told to."""
    os.sched_setaffinity(0, args.cores)
    start = time.perf_counter()
    run = _load(row, len(args.cores))
    frames = _test_frames(args)
    run(frames.images[0])
    ready = time.perf_counter() - start
    connection.send(ready)
    while (task := connection.recv()) != "end":
        if task == "dice":
            connection.send(_dice(run, frames))
        elif task == "throughput":
            connection.send(_throughput(row, run, frames.images, args))
        else:
            for index in range(WARM_UP if task == "warm up" else args.frames // ROUNDS):
                start = time.perf_counter()
                run(frames.images[index % len(frames.images)])
                connection.send(time.perf_counter() - start)
    connection.send(_peak_mb())


def _load(row: Row, threads: int):
    """Returns a function: frame `(H, W, 3)` uint8 → probability `(H, W)`."""
    from deploy.runtimes import load_runtime, tensorflow_threads

    if not row.runtime.startswith("keras"):
        return load_runtime(row.file, threads, exact=row.precision == "float32")
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


def _test_frames(args: argparse.Namespace):
    from deploy.parity import dataset_frames, demo_frames

    if args.data_path:
        return dataset_frames(args.data_path, "test", (256, 256), DICE_FRAMES)
    return demo_frames((256, 256))


def _dice(run, frames) -> float:
    found = np.stack([run(image) > 0.5 for image in frames.images])
    return float(
        2 * (found & (frames.masks > 0)).sum() / (found.sum() + frames.masks.sum())
    )


def _throughput(row: Row, run, images: np.ndarray, args: argparse.Namespace) -> float:
    """Frames per second; in OpenVINO with one stream per core."""
    count = args.frames // 2
    if row.runtime != "openvino":
        start = time.perf_counter()
        for index in range(count):
            run(images[index % len(images)])
        return count / (time.perf_counter() - start)
    import openvino

    options = {"NUM_STREAMS": len(args.cores), "INFERENCE_NUM_THREADS": len(args.cores)}
    if row.precision == "float32":
        options["INFERENCE_PRECISION_HINT"] = "f32"
    compiled = openvino.Core().compile_model(row.file, "CPU", options)
    jobs = openvino.AsyncInferQueue(compiled, 2 * len(args.cores))
    jobs.start_async([images[:1]])
    jobs.wait_all()
    start = time.perf_counter()
    for index in range(count):
        jobs.start_async([images[index % len(images)][None]])
    jobs.wait_all()
    return count / (time.perf_counter() - start)


def measure(rows: list[Row], args: argparse.Namespace) -> list[dict]:
    """Measures all rows in turns; returns one dictionary of figures a row."""
    context = multiprocessing.get_context("spawn")
    workers = []
    for row in rows:
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(row, args, theirs), daemon=True)
        process.start()
        theirs.close()
        workers.append((row, ours, process, ours.recv()))
    times: dict[Row, list[float]] = {row: [] for row in rows}
    for turn in range(ROUNDS + 1):
        for row, pipe, *_ in workers:
            pipe.send("warm up" if turn == 0 else "time")
            count = WARM_UP if turn == 0 else args.frames // ROUNDS
            taken = [pipe.recv() for _ in range(count)]
            times[row] += taken if turn else []
    results = []
    for row, pipe, process, ready in workers:
        milliseconds = 1e3 * np.array(times[row])
        pipe.send("throughput")
        throughput = pipe.recv()
        pipe.send("dice")
        dice = pipe.recv()
        pipe.send("end")
        memory = pipe.recv()
        process.join()
        p50 = float(np.median(milliseconds))
        results.append(
            {
                "runtime": row.runtime,
                "rewrite": row.rewrite,
                "precision": row.precision,
                "p50_ms": p50,
                "p95_ms": float(np.percentile(milliseconds, 95)),
                "min_ms": float(milliseconds.min()),
                "fps": 1e3 / p50,
                "throughput_fps": throughput,
                "dice": dice,
                "startup_s": ready,
                "peak_mb": memory,
                "gflops": 2 * MULTIPLICATIONS / p50 / 1e6,
            }
        )
    return results


def sgemm_gflops() -> float:
    """Best speed of NumPy's float32 matrix product here, in GFLOP/s."""
    side, best = 2048, np.inf
    matrix = np.random.default_rng(0).standard_normal((side, side), np.float32)
    for _ in range(20):
        start = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e9


def _peak_mb() -> float:
    """Peak memory of this process; `ru_maxrss` would count the parent's too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _has_bfloat16() -> bool:
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


def print_table(rows: list[dict], sgemm: float) -> None:
    eager, plain = rows[0]["p50_ms"], None
    for row in rows:
        if (row["runtime"], row["rewrite"], row["precision"]) == (
            "openvino",
            False,
            "float32",
        ):
            plain = row["p50_ms"]
    print(
        f"{'runtime':16}{'rewrite':8}{'precision':10}{'p50 ms':>8}{'p95':>8}{'min':>8}"
        f"{'stream/s':>9}{'Dice':>8}{'start s':>8}{'MB':>6}{'GFLOP/s':>9}"
        f"{'x eager':>8}{'x plain':>8}"
    )
    for row in rows:
        print(
            f"{row['runtime']:16}{'yes' if row['rewrite'] else 'no':8}"
            f"{row['precision']:10}{row['p50_ms']:8.1f}{row['p95_ms']:8.1f}"
            f"{row['min_ms']:8.1f}{row['throughput_fps']:9.0f}{row['dice']:8.4f}"
            f"{row['startup_s']:8.1f}{row['peak_mb']:6.0f}{row['gflops']:9.0f}"
            f"{eager / row['p50_ms']:8.1f}"
            + (f"{plain / row['p50_ms']:8.2f}" if plain else "")
        )
    best = max(row["gflops"] for row in rows if row["precision"] == "float32")
    print(
        f"sgemm {sgemm:.0f} GFLOP/s on these cores; the best float32 row reaches "
        f"{100 * best / sgemm:.0f} % of it"
    )


def main(args: argparse.Namespace) -> None:
    os.sched_setaffinity(0, args.cores)
    quiet_tensorflow()
    from deploy.card import machine_name

    with tempfile.TemporaryDirectory() as folder:
        rows = export_rows(args, Path(folder))
        print(f"{machine_name()}, cores {args.cores}, load {os.getloadavg()[0]:.1f}")
        results = measure(rows, args)
    sgemm = sgemm_gflops()
    print_table(results, sgemm)
    if args.json:
        machine = {"cpu": machine_name(), "cores": args.cores, "sgemm_gflops": sgemm}
        args.json.write_text(json.dumps({"machine": machine, "rows": results}) + "\n")


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
