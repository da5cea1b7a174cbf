"""Measures how old the frames of a live stream are when Predict.py has drawn them.

    python -m tools.bench_live
    python -m tools.bench_live --model_path best_int8.xml --fps 60 --json live.json

A process of its own sends drawn frames as an MJPEG stream on the loopback address. Each
size is predicted in two ways: with predictions.csv alone, and with the overlay as a
video too. A checkpoint is exported as in `tools.bench_video`, and the fastest file is
measured. The age is the time from when a frame came to its finished overlay.
"""

import argparse
import contextlib
import http.server
import multiprocessing
import tempfile
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np

from cli.command import UserError, command_parser, run_command, sigterm_as_interrupt
from cli.files import write_json
from cli.ranges import AT_LEAST_ONE, number
from data.demo import draw_frame
from deploy.predict import predict
from deploy.runtimes import Runtime
from deploy.segment import FrameSegmenter
from deploy.sources import open_source
from models.shipped import add_model_path
from tools.bench import add_cores, progress
from tools.bench_video import SEED, SIZES, prepare_runtime, size_name

WAYS = {"table": "none", "overlay video": "heatmap"}  # → `overlay` of `predict`
MOMENTS = 30  # different frames, sent in turn
BOUNDARY = b"frame"


@dataclass
class Row:
    """The figures of one size and way.

    Attributes:
        size: height and width in pixels.
        way: one of `WAYS`.
        frames_per_second: frames drawn in a second.
        dropped: share of the frames that came and were not taken.
        age_ms: median, 95th percentile and largest age in milliseconds.
    """

    size: tuple[int, int]
    way: str
    frames_per_second: float
    dropped: float
    age_ms: tuple[float, float, float]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add_model_path(parser, ".h5, or a file of Export.py")
    add_cores(parser)
    parser.add_argument(
        "--fps",
        type=number(int, AT_LEAST_ONE),
        default=60,
        help="frames a second of the stream; default: %(default)s",
    )
    parser.add_argument(
        "--seconds",
        type=number(int, AT_LEAST_ONE),
        default=20,
        help="length of each stream; default: %(default)s",
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args(argv)


def serve_stream(
    size: tuple[int, int], fps: int, seconds: float, port: Connection
) -> None:
    """Sends one reader a stream of drawn frames; writes the server's port to `port`."""
    scene, _ = draw_frame(SEED, (size[0], size[1] + MOMENTS))
    pictures = []
    for left in range(MOMENTS):
        view = np.ascontiguousarray(scene[:, left : left + size[1], ::-1])
        pictures.append(cv2.imencode(".jpg", view)[1].tobytes())

    class Stream(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            kind = f"multipart/x-mixed-replace; boundary={BOUNDARY.decode()}"
            self.send_header("Content-Type", kind)
            self.end_headers()
            start = time.perf_counter()
            with contextlib.suppress(OSError):  # the reader has gone
                for count in range(round(fps * seconds)):
                    time.sleep(max(0.0, start + count / fps - time.perf_counter()))
                    self._send(pictures[count % MOMENTS])

        def _send(self, picture: bytes) -> None:
            self.wfile.write(
                b"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
                % (BOUNDARY, len(picture), picture)
            )

        def log_message(self, *args):
            """Prints nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Stream) as server:
        port.send(server.server_port)
        server.handle_request()


def measure(
    runtime: Runtime, size: tuple[int, int], way: str, fps: int, seconds: float
) -> Row:
    """Predicts one stream.

    Raises:
        UserError: the server or the stream has failed.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    server = context.Process(target=serve_stream, args=(size, fps, seconds, there))
    server.start()
    there.close()
    try:
        source = open_source(f"http://127.0.0.1:{here.recv()}/scope")
        segmenter = FrameSegmenter(runtime, is_video=True)
        with tempfile.TemporaryDirectory() as folder:
            summary = predict(
                source, segmenter, Path(folder), overlay=WAYS[way], masks=False
            )
    except EOFError:
        raise UserError("the server of the stream could not be started") from None
    finally:
        server.terminate()
        server.join()
    if summary.stopped_by or not summary.ages:
        raise UserError("; ".join(summary.problems))
    return Row(
        size,
        way,
        summary.frames / summary.seconds,
        summary.dropped / source.captured,
        tuple(np.percentile(summary.ages, (50, 95, 100)).tolist()),
    )


def print_table(rows: list[Row]) -> None:
    """Prints the figures."""
    print("size       way            frames/s  dropped   age p50    p95  largest, ms")
    for row in rows:
        ages = "".join(f"{age:8.1f}" for age in row.age_ms)
        figures = f"{row.frames_per_second:9.1f}{row.dropped:9.0%}{ages}"
        print(f"{size_name(row.size):10} {row.way:14}{figures}")


@sigterm_as_interrupt()
def main(args: argparse.Namespace) -> None:
    """Exports where needed, serves, predicts and prints."""
    with tempfile.TemporaryDirectory() as folder:
        runtime, machine = prepare_runtime(args, Path(folder), is_live=True)
        print(f"streams of {args.fps} frames/s, {args.seconds} s each")
        rows = []
        for size in SIZES:
            for way in WAYS:
                progress(f"{size_name(size)}, {way}")
                rows.append(measure(runtime, size, way, args.fps, args.seconds))
    if args.json:
        content = {"machine": machine, "fps": args.fps}
        write_json(args.json, content | {"rows": [asdict(row) for row in rows]})
    print_table(rows)


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
