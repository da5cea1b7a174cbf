"""Measures the speed of Predict.py on videos of the sizes that endoscopes have.

    python -m tools.bench_video
    python -m tools.bench_video --model_path best_int8.xml --json video.json

Draws a film of each size, H.264 as recorders write it, and predicts it end to end in
two ways, in turns: with predictions.csv alone, and with the overlay and the masks as
videos too. The processor time of each stage is measured too, which other programs
change less than the elapsed time. A checkpoint is exported for each runtime that is
installed, in float32 and in int8 (calibrated on drawn frames), and the fastest file is
measured. It takes about 5 minutes. Progress is written to standard error.
"""

import argparse
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cli.command import (
    UserError,
    command_parser,
    import_tensorflow,
    run_command,
    sigterm_as_interrupt,
)
from cli.files import write_json
from cli.ranges import AT_LEAST_ONE, Range, number
from data.demo import draw_frame
from deploy.draw import draw_overlay
from deploy.formats import INSTALL_COMMAND
from deploy.predict import predict
from deploy.recording import VideoWriter, import_pyav
from deploy.runtimes import Runtime, load_runtime, threads_and_frames
from deploy.segment import FrameSegmenter
from deploy.sources import open_source
from deploy.threads import leave_cores_to_stages
from models.shipped import add_model_path
from tools.bench import add_cores, export_rows, progress, use_cores

SIZES = ((480, 640), (720, 1280), (1080, 1920))  # height, width
FPS = 30
BITS_PER_PIXEL = 0.15  # of the films: 9 Mbit/s at 1920×1080
SEED = 3  # a scene with a polyp
HELD = 24  # frames in memory while a stage is timed
STAGES = ("decode", "shrink", "network", "find", "draw", "overlay.mp4", "masks.mkv")
WAYS = {  # arguments of `predict`
    "table": {"overlay": "none", "masks": False},
    "videos": {"overlay": "heatmap", "masks": True},
}


@dataclass
class Row:
    """The figures of one size.

    Attributes:
        size: height and width in pixels.
        frames_per_second: of each of `WAYS`, end to end, the median of the rounds.
        cpu_ms: of each of `WAYS`, processor time of a frame, the median of the rounds.
        stage_ms: of each of `STAGES`, processor time of a frame, the least of the
            rounds.
    """

    size: tuple[int, int]
    frames_per_second: dict[str, float]
    cpu_ms: dict[str, float]
    stage_ms: dict[str, float]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add_model_path(parser, ".h5, or a file of Export.py")
    add_cores(parser)
    parser.add_argument(
        "--frames",
        type=number(int, Range(at_least=HELD)),
        default=240,
        help="of each film; default: %(default)s",
    )
    parser.add_argument(
        "--rounds",
        type=number(int, AT_LEAST_ONE),
        default=3,
        help="how often each film is predicted in each way; default: %(default)s",
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args(argv)


def draw_film(path: Path, size: tuple[int, int], frames: int) -> None:
    """Draws a scene a little larger than the film, and moves the view over it."""
    av = import_pyav()
    height, width = size
    scene, _ = draw_frame(SEED, (height * 9 // 8, width * 9 // 8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.bit_rate = int(BITS_PER_PIXEL * height * width * FPS)
        for angle in np.linspace(0, 2 * np.pi, frames):
            top = round((1 + np.sin(angle)) / 2 * (len(scene) - height))
            left = round((1 + np.cos(angle)) / 2 * (scene.shape[1] - width))
            view = scene[top : top + height, left : left + width]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(view), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def fastest_export(model_path: Path, folder: Path, threads: int) -> Path:
    """Exports a checkpoint for the installed runtimes; returns the fastest file.

    Raises:
        UserError: no runtime is installed.
    """
    import_tensorflow()
    from deploy.export_run import median_ms

    files = {
        Path(row.file)
        for row in export_rows(model_path, folder)
        if row.rewrite and row.file != str(model_path)
    }
    if not files:
        raise UserError(f"no runtime is installed; run: {INSTALL_COMMAND}")
    milliseconds = {}
    for file in sorted(files):
        runtime = load_runtime(file, threads)
        frames = np.stack([draw_frame(SEED, runtime.image_size)[0]])
        milliseconds[file] = median_ms(runtime, frames)
        progress(f"{file.name}: {milliseconds[file]:.1f} ms")
    return min(files, key=milliseconds.__getitem__)


def prepare_runtime(
    args: argparse.Namespace, folder: Path, is_live: bool
) -> tuple[Runtime, dict]:
    """Loads the model to measure as Predict.py would, on the cores asked for.

    Args:
        args: `cores`, and `model_path`, of which a checkpoint is exported.
        folder: gets the exports.
        is_live: whether for cameras and streams, or for files.

    Returns:
        The model, and what it runs on: `cpu`, `cores`, and the `model`'s name.

    Raises:
        UserError: a core or a runtime is not there, or PyAV is not installed.
    """
    use_cores(args.cores)
    from deploy.card import machine_name

    import_pyav()
    leave_cores_to_stages()
    threads, at_once = threads_and_frames(is_live)
    model = args.model_path
    if model.suffix == ".h5":
        model = fastest_export(model, folder, threads // at_once)
    runtime = load_runtime(model, threads, at_once=at_once)
    machine = {"cpu": machine_name(), "cores": args.cores, "model": model.name}
    print(f"{machine['cpu']}, cores {args.cores}, {model.name}")
    return runtime, machine


def measure(runtime: Runtime, film: Path, folder: Path, rounds: int) -> Row:
    """Measures all figures of one film."""
    per_second = {way: [] for way in WAYS}
    cpu_ms = {way: [] for way in WAYS}
    stage_ms = {stage: [] for stage in STAGES}
    for turn in range(rounds):
        progress(f"{film.name}: round {turn + 1} of {rounds}")
        for way, options in WAYS.items():
            segmenter = FrameSegmenter(runtime, is_video=True)
            start = time.process_time()
            summary = predict(open_source(str(film)), segmenter, folder, **options)
            spent = time.process_time() - start
            if summary.problems:
                raise UserError(f"{film.name}: {'; '.join(summary.problems)}")
            per_second[way].append(summary.frames / summary.seconds)
            cpu_ms[way].append(1e3 * spent / summary.frames)
        for stage, spent in time_stages(runtime, film, folder).items():
            stage_ms[stage].append(spent)
    size = next(iter(open_source(str(film)))).image.shape[:2]
    return Row(
        size,
        {way: float(np.median(values)) for way, values in per_second.items()},
        {way: float(np.median(values)) for way, values in cpu_ms.items()},
        {stage: min(values) for stage, values in stage_ms.items()},
    )


def time_stages(runtime: Runtime, film: Path, folder: Path) -> dict[str, float]:
    """Runs the stages one after the other; processor time of a frame, milliseconds.

    Decoding is timed over the whole film, since FFmpeg decodes ahead in threads of its
    own.
    """
    held, count, start = [], 0, time.process_time()
    for frame in open_source(str(film)):
        count += 1
        if count <= HELD:
            held.append(frame)
    decoding = (time.process_time() - start) / count

    segmenter = FrameSegmenter(runtime, is_video=True)
    writer = VideoWriter(folder, FPS)
    moments = []  # of each frame, before and after each stage but decoding
    for frame in held:
        clock = [time.process_time()]
        prepared = segmenter.prepare(frame.image)
        clock.append(time.process_time())
        probability = segmenter.infer(prepared)
        clock.append(time.process_time())
        finding = segmenter.finish(prepared, probability)
        clock.append(time.process_time())
        overlay = draw_overlay(frame.image, finding)
        clock.append(time.process_time())
        writer.write(frame, None, overlay)
        clock.append(time.process_time())
        writer.write(frame, finding.mask, None)
        clock.append(time.process_time())
        moments.append(clock)
    writer.close()
    others = np.diff(moments).mean(axis=0).tolist()
    return {s: 1e3 * t for s, t in zip(STAGES, [decoding, *others], strict=True)}


def print_table(rows: list[Row], cores: int) -> None:
    """Prints the figures, and the frames/s that the processor time allows."""
    titles = [f"{way} {what}" for way in WAYS for what in ("f/s", "CPU ms", "limit")]
    print(f"{'size':10}" + "".join(f"{title:>15}" for title in titles))
    for row in rows:
        values = []
        for way in WAYS:
            limit = 1e3 * cores / row.cpu_ms[way]
            values += [row.frames_per_second[way], row.cpu_ms[way], limit]
        print(
            f"{size_name(row.size):10}" + "".join(f"{value:15.1f}" for value in values)
        )
    print(f"limit: frames/s at which {cores} cores are busy all the time\n")
    print(f"{'CPU ms':10}" + "".join(f"{stage:>12}" for stage in STAGES))
    for row in rows:
        values = "".join(f"{row.stage_ms[stage]:12.2f}" for stage in STAGES)
        print(f"{size_name(row.size):10}{values}")


def size_name(size: tuple[int, int]) -> str:
    """Names a size `(H, W)` as films are named, `640x480`."""
    return f"{size[1]}x{size[0]}"


@sigterm_as_interrupt()
def main(args: argparse.Namespace) -> None:
    """Exports where needed, draws, measures and prints."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runtime, machine = prepare_runtime(args, folder, is_live=False)
        rows = []
        for size in SIZES:
            film = folder / f"{size_name(size)}.mp4"
            progress(f"drawing {film.name}")
            draw_film(film, size, args.frames)
            rows.append(measure(runtime, film, folder, args.rounds))
            if args.json:
                content = {"machine": machine, "rows": [asdict(row) for row in rows]}
                write_json(args.json, content)
    print_table(rows, len(args.cores))


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
