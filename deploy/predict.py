"""Runs a model over the frames of a source and writes the results."""

import csv
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from tqdm import tqdm

from cli.command import sigterm_as_interrupt
from cli.files import make_folder
from cli.parallel import map_in_order
from data.images import silent_codecs
from deploy.draw import draw_overlay
from deploy.recording import PictureWriter, VideoWriter
from deploy.segment import Finding, FrameSegmenter, Prepared, without_boxes
from deploy.sources import Frame, Source, ms_since
from deploy.threads import ahead
from evaluation.video.tracking import Tracker

STAGES = ("decode", "model", "draw")
COLUMNS = (
    "frame",
    "seconds",
    "polyp",
    "count",
    "boxes",  # "x y width height", joined by ";"
    "track",  # the number of each box's polyp in the video, joined by ";"
    "area_percent",
    "max_probability",
    *(f"{stage}_ms" for stage in STAGES),
    "age_ms",  # of a live frame, when it came to when its overlay was drawn
)
# The largest delay from the camera to the screen that a cleared system was tested for.
MAX_AGE_MS = 120.0
MARKER = "done.json"  # in a folder of results: they are complete; see deploy/jobs.py


@dataclass
class Result:
    """A frame, and what the stages add to it one after the other."""

    frame: Frame
    milliseconds: dict[str, float]
    prepared: Prepared
    probability: np.ndarray | None = None
    finding: Finding | None = None
    tracks: list[int] = field(default_factory=list)
    is_positive: bool = False
    new_polyps: int = 0
    overlay: np.ndarray | None = None
    age_ms: float | None = None

    def row(self) -> list:
        """The frame's line of the CSV, as `COLUMNS` names it."""
        finding = self.finding
        times = [f"{self.milliseconds[stage]:.2f}" for stage in STAGES]
        return [
            self.frame.name,
            f"{self.frame.seconds:.3f}",
            int(self.is_positive),
            len(finding.boxes),
            ";".join(" ".join(map(str, box)) for box in finding.boxes),
            ";".join(map(str, self.tracks)),
            f"{finding.area_percent:.3f}",
            f"{finding.probability.max():.4f}",
            *times,
            "" if self.age_ms is None else f"{self.age_ms:.2f}",
        ]


Stage = Callable[[Iterable[Result]], Iterator[Result]]


@dataclass
class Summary:
    """What was done with a source.

    Attributes:
        frames: frames written.
        positive: of them, with a polyp that is reported.
        polyps: different polyps that were reported: in a video, the numbers of the
            column `track`; in pictures, the boxes.
        seconds: from the first frame asked for to the last written.
        milliseconds: stage → time of each frame.
        ages: milliseconds from when a frame came to its finished overlay; of live
            sources only.
        dropped: frames of a live source that came while others were computed.
        problems: what could not be read, or why it ended early.
        stopped_by: what ended it before the source's end, also named in `problems`.
    """

    frames: int = 0
    positive: int = 0
    polyps: int = 0
    seconds: float = 0.0
    milliseconds: dict[str, list[float]] = field(
        default_factory=lambda: {stage: [] for stage in STAGES}
    )
    ages: list[float] = field(default_factory=list)
    dropped: int = 0
    problems: list[str] = field(default_factory=list)
    stopped_by: BaseException | None = None

    def add(self, result: Result) -> None:
        """Counts a frame that was written."""
        self.frames += 1
        self.positive += result.is_positive
        self.polyps += result.new_polyps
        for stage, value in result.milliseconds.items():
            self.milliseconds[stage].append(value)
        if result.age_ms is not None:
            self.ages.append(result.age_ms)

    def __str__(self) -> str:
        lines = [
            f"{self.frames} frames, {self.positive} with polyp, "
            f"{self.frames / max(self.seconds, 1e-9):.1f} frames/s end to end"
        ]
        for stage, times in self.milliseconds.items():
            if times:
                p50, p95 = np.percentile(times, (50, 95))
                lines.append(f"  {stage:6} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms")
        if self.ages:
            p50, p95, largest = np.percentile(self.ages, (50, 95, 100))
            lines.append(
                f"  age    p50 {p50:6.1f} ms   p95 {p95:6.1f} ms   largest"
                f" {largest:.1f} ms; {self.dropped} frames dropped"
            )
            late = sum(age > MAX_AGE_MS for age in self.ages)
            if late:
                lines.append(
                    f"warning: {late} of {len(self.ages)} frames were older than"
                    f" {MAX_AGE_MS:.0f} ms when they were drawn"
                )
        return "\n".join(lines)


class Bar(Protocol):
    """What frames are counted on; a `tqdm` is one."""

    def update(self, frames: int = 1) -> object:
        """Adds frames."""


@sigterm_as_interrupt()
def predict(
    source: Source,
    segmenter: FrameSegmenter,
    out_dir: Path,
    show: bool = False,
    overlay: str = "heatmap",
    hold: tuple[int, int] = (1, 1),
    masks: bool = True,
    bar: Bar | None = None,
) -> Summary:
    """Segments every frame of a source; writes pictures or a video, and a CSV.

    Of files, every frame is read. Of a live source, the newest frame is taken whenever
    the one before is done. What is written stays, whatever ends the run.

    Args:
        source: the frames.
        segmenter: the model and how its output is read.
        out_dir: gets `predictions.csv`, and `overlay.mp4` and `masks.mkv`, or the
            folders `masks/` and `overlays/`.
        show: also show the overlays in a window; q closes it and ends the run.
        overlay: what is drawn: "heatmap" for probabilities and outlines, "contour" for
            outlines, or "none"; then no overlays are written.
        hold: (N, M): in a video, a polyp is reported and outlined when it was seen in N
            of the last M frames.
        masks: whether they are written.
        bar: counts the frames; default: a progress bar of their own.
    """
    make_folder(out_dir)
    (out_dir / MARKER).unlink(missing_ok=True)
    writer = (
        VideoWriter(out_dir, source.fps) if source.is_video else PictureWriter(out_dir)
    )
    summary = Summary()
    tracker = Tracker(hold) if source.is_video else None
    draw = partial(_draw, segmenter=segmenter, overlay=overlay, tracker=tracker)
    results = _live_results if source.is_live else _file_results
    results = results(source, segmenter, draw)
    start = time.perf_counter()
    # Each line is in the file at once.
    stream = open(out_dir / "predictions.csv", "w", newline="", buffering=1)
    try:
        with (
            silent_codecs(),  # before tqdm, which then writes to what stays visible
            stream,
            nullcontext(bar)
            if bar is not None
            else tqdm(total=source.count, unit="frame", disable=None) as bar,
            closing(writer),
            closing(results),
            closing(source),
        ):
            table = csv.writer(stream)
            table.writerow(COLUMNS)
            for result in results:
                stops = show and _show(result)
                mask = result.finding.mask if masks else None
                writer.write(result.frame, mask, result.overlay)
                table.writerow(result.row())
                summary.add(result)
                bar.update()
                if stops:
                    break
    except KeyboardInterrupt as error:
        summary.stopped_by = error
        summary.problems.append("interrupted")
    except cv2.error as error:
        summary.stopped_by = error
        summary.problems.append(f"stopped: {error.err}")
    except OSError as error:  # the disk is full
        summary.stopped_by = error
        where = error.filename or out_dir
        summary.problems.append(f"stopped: {where}: {error.strerror or error}")
    summary.seconds = time.perf_counter() - start
    if source.is_live:
        summary.dropped = source.captured - summary.frames
    summary.problems[:0] = source.problems
    return summary


def _file_results(
    source: Source, segmenter: FrameSegmenter, draw: Stage
) -> Iterator[Result]:
    """Every frame, each step in a thread of its own, for the most frames a second.

    The network computes as many frames at once as its runtime was loaded for.
    """
    prepared = ahead(_prepare(source, segmenter))
    infer = partial(_infer, segmenter=segmenter)
    return ahead(draw(map_in_order(infer, prepared, segmenter.runtime.at_once)))


def _live_results(
    source: Source, segmenter: FrameSegmenter, draw: Stage
) -> Iterator[Result]:
    """The newest frames, with none waiting between the steps, for the least delay."""
    prepared = _prepare(source, segmenter)
    inferred = (_infer(result, segmenter) for result in prepared)
    return draw(ahead(inferred, depth=0))


def _prepare(frames: Iterable[Frame], segmenter: FrameSegmenter) -> Iterator[Result]:
    for frame in frames:
        start = time.perf_counter()
        prepared = segmenter.prepare(frame.image)
        spent = ms_since(start)
        yield Result(frame, {"decode": frame.decode_ms, "model": spent}, prepared)


def _infer(result: Result, segmenter: FrameSegmenter) -> Result:
    start = time.perf_counter()
    result.probability = segmenter.infer(result.prepared)
    result.milliseconds["model"] += ms_since(start)
    return result


def _draw(
    results: Iterable[Result],
    segmenter: FrameSegmenter,
    overlay: str,
    tracker: Tracker | None,
) -> Iterator[Result]:
    for result in results:
        start = time.perf_counter()
        finding = segmenter.finish(result.prepared, result.probability)
        result.finding, result.is_positive = finding, bool(finding.boxes)
        result.new_polyps = len(finding.boxes)
        hidden = []
        if tracker:
            reported_before = len(tracker.reported)
            tracks = tracker.update(finding.boxes)
            result.tracks = [track.number for track in tracks]
            result.is_positive = tracker.reports
            result.new_polyps = len(tracker.reported) - reported_before
            hidden = [track.box for track in tracks if not tracker.is_reported(track)]
        if overlay != "none":
            shown = without_boxes(finding, hidden)
            heatmap = overlay == "heatmap"
            result.overlay = draw_overlay(result.frame.image, shown, heatmap)
        result.milliseconds["draw"] = ms_since(start)
        if result.frame.captured is not None:
            result.age_ms = ms_since(result.frame.captured)
        yield result


def _show(result: Result) -> bool:
    """Shows a frame; returns whether the user wants to stop."""
    picture = result.frame.image if result.overlay is None else result.overlay
    cv2.imshow("polyps", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return cv2.waitKey(1) & 0xFF == ord("q")


def has_display() -> bool:
    """Tells whether a window can be opened, by trying in another process.

    Without a display, or with one that does not answer, Qt ends the whole process.
    """
    code = "import cv2; cv2.namedWindow('try')"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True).returncode == 0
