"""Measures the speed of LGPS in every runtime that is installed.

    python -m tools.bench
    python -m tools.bench --model_path best.h5 --data_path data/Kvasir-SEG --json b.json

Each row of the table is measured in a process of its own, on the given cores: the
latency of one 256×256 frame at a time, the throughput with a stream per core, the
start-up time and the peak memory. The rows are measured in turns, so that other load on
the machine meets all of them alike. The int8 rows are calibrated on the dataset, or on
demo frames. The Dice beside the speed is of the dataset's test set, or of demo frames.
It takes 6 to 9 minutes. Progress is written to standard error, and the figures measured
so far to the JSON file.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cli.command import (
    UserError,
    command_parser,
    import_tensorflow,
    run_command,
    sigterm_as_interrupt,
)
from cli.files import write_json
from cli.ranges import Range, number
from deploy.formats import require
from models.shipped import add_model_path
from tools.bench_rows import IMAGE_SIZE, WARM_UP, Row, RowWorker

ROUNDS = 10
PAUSE_S = 0.1  # lets the threads of the row before fall asleep
CALIBRATION_FRAMES = 100
MULTIPLICATIONS = 0.66e9  # of LGPS at 256×256
STARTED = time.perf_counter()


def add_cores(parser: argparse.ArgumentParser) -> None:
    """Adds the option `--cores`."""
    parser.add_argument(
        "--cores",
        type=number(int),
        nargs="+",
        default=[0, 1],
        help="numbers of the CPU cores to use; default: 0 1",
    )


def use_cores(cores: list[int]) -> None:
    """Binds this process, and those it starts, to some cores.

    Raises:
        UserError: the process may not use one of them.
    """
    unknown = set(cores) - os.sched_getaffinity(0)
    if unknown:
        raise UserError(f"--cores: this process may not use {sorted(unknown)}")
    os.sched_setaffinity(0, cores)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add_model_path(parser, "an LGPS .h5")
    parser.add_argument(
        "--data_path", type=Path, help="prepared dataset, to calibrate and for Dice"
    )
    add_cores(parser)
    parser.add_argument(
        "--frames",
        type=number(int, Range(at_least=ROUNDS)),
        default=200,
        help="timed frames of each row; default: %(default)s",
    )
    parser.add_argument("--json", type=Path, help="also write the table here")
    return parser.parse_args(argv)


def export_rows(
    model_path: Path, folder: Path, data_path: Path | None = None
) -> list[Row]:
    """Exports a checkpoint for every runtime that is installed.

    Args:
        model_path: the checkpoint.
        folder: gets the files.
        data_path: prepared dataset to calibrate int8 on; None: drawn frames.
    """
    from deploy.export import write_model
    from deploy.formats import FORMATS, check_format
    from deploy.gate import dataset_frames, demo_frames
    from deploy.quantise import write_int8
    from models.checkpoints import load_checkpoint
    from models.inference import build_rgb_model

    checkpoint = load_checkpoint(model_path, image_size=IMAGE_SIZE)
    if data_path:
        frames = dataset_frames(
            data_path, "train", IMAGE_SIZE, CALIBRATION_FRAMES, model_path
        )
    else:
        frames = demo_frames(IMAGE_SIZE)
    source = str(model_path)
    rows = [
        Row("keras eager", False, "float32", source),
        Row("keras predict", False, "float32", source),
        Row("keras compiled", False, "float32", source),
        Row("keras compiled", True, "float32", source),
    ]
    models = {
        rewrite: build_rgb_model(checkpoint, rewrite, batch_size=1, dtype="uint8")
        for rewrite in (False, True)
    }
    for name in ("litert", "onnx", "openvino"):
        try:
            check_format(name)
        except UserError as error:
            progress(f"left out: {error}")
            continue
        for rewrite, model in models.items():
            stem = f"{'rewritten' if rewrite else 'plain'}{FORMATS[name].suffix}"
            progress(f"exporting {stem}")
            write_model(model, folder / stem, name)
            rows.append(Row(name, rewrite, "float32", str(folder / stem)))
            if name == "openvino" and _has_bfloat16():
                rows.append(Row(name, rewrite, "bfloat16", str(folder / stem)))
        progress(f"exporting {name} int8")
        int8_file = folder / f"int8{FORMATS[name].suffix}"
        try:
            write_int8(models[True], int8_file, name, frames.images)
        except UserError as error:  # what quantises is not installed
            progress(f"left out: {error}")
            continue
        rows.append(Row(name, True, "int8", str(int8_file)))
    return rows


def measure(
    rows: list[Row], args: argparse.Namespace, keep: Callable[[list[dict]], None]
) -> list[dict]:
    """Measures all rows in turns; a row that fails is named and left out.

    Args:
        rows: what to measure.
        args: the command's options.
        keep: called with the figures so far, after each round.

    Returns:
        One dictionary of figures a row.
    """
    workers = [RowWorker(row, len(args.cores), args.data_path) for row in rows]
    try:
        for worker in list(workers):
            progress(f"starting {worker.row.title}")
            worker.figures["startup_s"] = _try(workers, worker, worker.start)
        for turn in range(ROUNDS + 1):
            progress(f"timing, round {turn} of {ROUNDS}" if turn else "warming up")
            for worker in list(workers):
                count = args.frames // ROUNDS if turn else WARM_UP
                time.sleep(PAUSE_S)
                seconds = _try(workers, worker, worker.ask, "latencies", count)
                worker.seconds += (seconds or []) if turn else []
            keep(_figures(workers))
        for worker in list(workers):
            progress(f"throughput and Dice of {worker.row.title}")
            for name in ("throughput", "dice", "peak_mb"):
                if worker in workers:
                    worker.figures[name] = _try(workers, worker, worker.ask, name)
        return _figures(workers)
    except KeyboardInterrupt:
        progress("interrupted; the table is of what was measured")
        return _figures(workers)
    finally:
        for worker in workers:
            worker.stop()


def _try(
    workers: list[RowWorker],
    worker: RowWorker,
    action: Callable[..., Any],
    *details: Any,
) -> Any:
    """Runs an action of a worker; a worker that fails is removed from the list."""
    try:
        return action(*details)
    except UserError as error:
        progress(f"left out: {error}")
        worker.stop()
        workers.remove(worker)
        return None


def _figures(workers: list[RowWorker]) -> list[dict]:
    """Makes the table of the rows that have been timed so far."""
    results = []
    for worker in workers:
        if not worker.seconds:
            continue
        p50, p95 = 1e3 * np.percentile(worker.seconds, (50, 95))
        results.append(
            {
                "runtime": worker.row.runtime,
                "rewrite": worker.row.rewrite,
                "precision": worker.row.precision,
                "p50_ms": float(p50),
                "p95_ms": float(p95),
                "min_ms": 1e3 * min(worker.seconds),
                "fps": 1e3 / float(p50),
                "frames": len(worker.seconds),
                "gflops": 2 * MULTIPLICATIONS / float(p50) / 1e6,
            }
            | worker.figures
        )
    return results


def sgemm_gflops() -> float:
    """Measures the best speed of NumPy's float32 matrix product, in GFLOP/s."""
    side, best = 2048, np.inf
    matrix = np.random.default_rng(0).standard_normal((side, side), np.float32)
    for _ in range(20):
        start = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e9


def progress(text: str) -> None:
    """Prints seconds since the start and the next step, on standard error."""
    print(f"[{time.perf_counter() - STARTED:4.0f} s] {text}", file=sys.stderr)


def _has_bfloat16() -> bool:
    core = require("openvino").Core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def print_table(rows: list[dict], sgemm: float) -> None:
    """Prints the figures; "-" where one was not measured."""

    def p50_of(*name: str | bool) -> float | None:
        for row in rows:
            if (row["runtime"], row["rewrite"], row["precision"]) == name:
                return row["p50_ms"]
        return None

    eager = p50_of("keras eager", False, "float32")
    plain = p50_of("openvino", False, "float32")
    columns = (
        # title, width, decimals, value
        ("p50 ms", 8, 1, lambda row: row["p50_ms"]),
        ("p95", 8, 1, lambda row: row["p95_ms"]),
        ("min", 8, 1, lambda row: row["min_ms"]),
        ("streams/s", 10, 0, lambda row: row.get("throughput")),
        ("Dice", 8, 4, lambda row: row.get("dice")),
        ("start s", 8, 1, lambda row: row.get("startup_s")),
        ("MB", 6, 0, lambda row: row.get("peak_mb")),
        ("GFLOP/s", 9, 0, lambda row: row["gflops"]),
        ("x eager", 8, 1, lambda row: eager and eager / row["p50_ms"]),
        ("x plain", 8, 2, lambda row: plain and plain / row["p50_ms"]),
    )
    titles = "".join(f"{title:>{width}}" for title, width, *_ in columns)
    print(f"{'runtime':16}{'rewrite':8}{'precision':10}{titles}")
    for row in rows:
        values = [(value(row), width, digits) for _, width, digits, value in columns]
        print(
            f"{row['runtime']:16}{'yes' if row['rewrite'] else 'no':8}"
            f"{row['precision']:10}"
            + "".join(
                f"{'-':>{width}}" if value is None else f"{value:{width}.{digits}f}"
                for value, width, digits in values
            )
        )
    speeds = [row["gflops"] for row in rows if row["precision"] == "float32"]
    if speeds:
        print(
            f"sgemm {sgemm:.0f} GFLOP/s on these cores; the best float32 row reaches "
            f"{100 * max(speeds) / sgemm:.0f} % of it"
        )


@sigterm_as_interrupt()
def main(args: argparse.Namespace) -> int:
    """Exports, measures and prints; returns the exit code."""
    use_cores(args.cores)
    import_tensorflow()
    from deploy.card import machine_name

    sgemm = sgemm_gflops()
    machine = {"cpu": machine_name(), "cores": args.cores, "sgemm_gflops": sgemm}

    def keep(results: list[dict]) -> None:
        if args.json:
            write_json(args.json, {"machine": machine, "rows": results})

    with tempfile.TemporaryDirectory() as folder:
        rows = export_rows(args.model_path, Path(folder), args.data_path)
        print(f"{machine['cpu']}, cores {args.cores}, load {os.getloadavg()[0]:.1f}")
        results = measure(rows, args, keep)
    machine["sgemm_gflops"] = max(sgemm, sgemm_gflops())  # the better of two moments
    keep(results)
    print_table(results, machine["sgemm_gflops"])
    return 0 if len(results) == len(rows) else 1


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
