"""Measures Predict.py on many videos: without Ray, and with workers of one thread each.

    python -m tools.bench_cluster --model_path best.xml
    python -m tools.bench_cluster --model_path best.xml --workers 1 2 4 --videos 64

Videos are drawn into a temporary folder. The rows are measured one after the other in
one run, each in a process of its own:

- frames/s, from the first frames that are counted to the end of the last video;
- the seconds before that, in which Ray and the model start;
- the memory of the process and all its child processes, when a quarter of the videos
  are done and at the end. It should not grow with the number of videos.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2

from cli.command import UserError, command_parser, run_command, sigterm_as_interrupt
from cli.ranges import AT_LEAST_ONE, Range, number
from data.demo import draw_frames
from models.shipped import add_model_path

WITHOUT_RAY = 0  # workers
DRAWN = 50  # different frames, shown in turn
FPS = 25


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add_model_path(parser, ".h5, or a file of Export.py")
    parser.add_argument(
        "--workers",
        type=number(int, AT_LEAST_ONE),
        nargs="+",
        default=[1, 2],
        help="numbers of workers on Ray; default: 1 2",
    )
    parser.add_argument(
        "--videos",
        type=number(int, Range(at_least=4)),
        default=24,
        help="default: %(default)s; a multiple of the workers keeps all of them busy",
    )
    parser.add_argument(
        "--frames",
        type=number(int, AT_LEAST_ONE),
        default=200,
        help="of each video; default: %(default)s",
    )
    parser.add_argument(
        "--size",
        type=number(int, AT_LEAST_ONE),
        default=512,
        help="height and width of the frames in pixels; default: %(default)s",
    )
    return parser.parse_args(argv)


def write_videos(folder: Path, videos: int, frames: int, size: int) -> None:
    """Writes the same drawn video under several names."""
    drawn, _, _ = draw_frames(first_seed=0, count=min(DRAWN, frames), size=size)
    first = folder / "0000.avi"
    code = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(first), code, FPS, (size, size))
    for index in range(frames):
        writer.write(cv2.cvtColor(drawn[index % len(drawn)], cv2.COLOR_RGB2BGR))
    writer.release()
    for index in range(1, videos):
        (folder / f"{index:04d}.avi").hardlink_to(first)


class FirstFrames:
    """Takes the place of the progress bar, and notes when it would first advance."""

    def __init__(self):
        self.moment, self.count = 0.0, 0

    def update(self, frames: int = 1) -> None:
        """Notes the moment, and by how many frames."""
        if frames and not self.moment:
            self.moment, self.count = time.perf_counter(), frames


def measure(model: Path, folder: Path, workers: int) -> dict[str, float]:
    """Predicts all videos of a folder, in its own process; the figures of a row."""
    from deploy.archive import one_by_one
    from deploy.cluster import LOCAL, run_on_cluster
    from deploy.jobs import Options, listed_sources, make_jobs
    from deploy.threads import leave_cores_to_stages

    leave_cores_to_stages()
    jobs = make_jobs(listed_sources(str(folder)), folder / f"results-{workers}")
    run = one_by_one
    if workers != WITHOUT_RAY:
        run = partial(run_on_cluster, address=LOCAL, cores=workers)
    frames, memory, first = 0, [], FirstFrames()
    begun = time.perf_counter()
    for done, (job, row) in enumerate(run(jobs, Options(model, 1), first), 1):
        if row.problems:
            raise UserError(f"{job.source}: {row.problems[0]}")
        frames += row.frames
        if done in (len(jobs) // 4, len(jobs)):
            memory.append(resident_mb())
            ended = time.perf_counter()
    return {
        "fps": (frames - first.count) / (ended - first.moment),
        "start_s": first.moment - begun,
        "quarter_mb": memory[0],
        "end_mb": memory[1],
    }


def resident_mb() -> float:
    """Memory of this process and of all below it, in MB."""
    command = ["ps", "-e", "-o", "pid=,ppid=,rss="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    processes = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    family, grows = {os.getpid()}, True
    while grows:
        below = {pid for pid, parent, _ in processes if parent in family}
        grows = not below <= family
        family |= below
    return sum(rss for pid, _, rss in processes if pid in family) / 1e3


@sigterm_as_interrupt()
def main(args: argparse.Namespace) -> None:
    """Draws, measures and prints the rows."""
    print(f"{args.videos} videos of {args.frames} frames, {args.size}x{args.size}")
    print(
        f"{'':16}{'frames/s':>10}{'of 1st row':>12}{'start s':>9}{'MB':>8}{'MB end':>8}"
    )
    first = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_videos(folder, args.videos, args.frames, args.size)
        for workers in (WITHOUT_RAY, *args.workers):
            title = f"{workers} on Ray" if workers else "without Ray"
            print(f"measuring {title}", file=sys.stderr)
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                details = args.model_path.absolute(), folder, workers
                row = pool.submit(measure, *details).result()
            first = first or row["fps"]
            print(
                f"{title:16}{row['fps']:10.1f}{row['fps'] / first:12.2f}"
                f"{row['start_s']:9.1f}{row['quarter_mb']:8.0f}{row['end_mb']:8.0f}"
            )


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
