"""The scores of one sequence, each as a sum and what it is divided by.

So written, the score of all sequences is the sum of the sums over the sum of the
divisors, and that of a bootstrap sample is the same with weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from evaluation.video.frames import Frame

WINDOWS = (1, 3, 5)  # seconds within which a polyp should be found
ALARM_SECONDS = (0.1, 0.5)

SENSITIVITY = "sensitivity"
SPECIFICITY = "specificity"
ALARMS = "false alarms per minute, all"
ALARM_EVENTS = "false alarms per minute, ≥ 1 frame"
FOUND = "polyps found"
DELAY = "time to first detection, s"
PERSISTENCE = "persistence"
DICE = "Dice"
CONSISTENCY = "temporal consistency"
TRUTH_CONSISTENCY = "temporal consistency of the truth"

DEFINITIONS = {
    SENSITIVITY: "share of the frames with a polyp in which a polyp is detected",
    SPECIFICITY: "share of the frames without a polyp in which nothing is predicted",
    ALARMS: "false regions of all frames, each frame anew, per minute of video",
    ALARM_EVENTS: "runs of frames with a false region, per minute; the next rows count "
    "the runs that last at least so long",
    FOUND: "share of the polyps that are detected in any frame; the next rows count "
    "those detected in the first 1, 3 and 5 seconds in which they are in sight",
    DELAY: "from the polyp's first frame to its first detection, mean over the polyps "
    "that are found",
    PERSISTENCE: "share of a polyp's frames in which it is detected, mean over polyps",
    DICE: "of a frame's whole masks, mean over the frames with a polyp",
    CONSISTENCY: "IoU of the predicted masks of neighbouring frames, mean over the "
    "pairs in which either shows something",
    TRUTH_CONSISTENCY: "the same of the true masks, for comparison",
}


@dataclass(frozen=True)
class Rule:
    """What counts as a detection.

    Attributes:
        iou: a region with an IoU above it detects a polyp; any other is a false alarm.
        hold: (N, M): only regions that were seen in N of the last M frames count; None:
            all count.
    """

    iou: float
    hold: tuple[int, int] | None = None

    def __str__(self) -> str:
        text = f"IoU > {self.iou:g}"
        return f"{text}, hold {self.hold[0]}/{self.hold[1]}" if self.hold else text

    def counted(self, frame: Frame) -> list[float]:
        """Returns the IoU of each region that counts."""
        if self.hold is None:
            return list(frame.ious)
        return [iou for iou, held in zip(frame.ious, frame.held, strict=True) if held]

    def detects(self, frame: Frame) -> bool:
        """Whether a polyp of the frame is detected."""
        return any(iou > self.iou for iou in self.counted(frame))

    def false_regions(self, frame: Frame) -> int:
        """Counts the regions that detect no polyp."""
        return sum(iou <= self.iou for iou in self.counted(frame))

    def is_right(self, frame: Frame) -> bool:
        """Whether a polyp is detected, or nothing is predicted where there is none."""
        return self.detects(frame) if frame.polyps else not self.counted(frame)


Ratios = dict[str, tuple[float, float]]  # score → (sum, what it is divided by)


def frame_ratios(frames: list[Frame], fps: float, rule: Rule) -> Ratios:
    """Scores that need no neighbouring frames, so that frames may be left out."""
    shown = [frame for frame in frames if frame.polyps]
    empty = [frame for frame in frames if not frame.polyps]
    alarms = sum(map(rule.false_regions, frames))
    return {
        SENSITIVITY: (sum(map(rule.detects, shown)), len(shown)),
        SPECIFICITY: (sum(map(rule.is_right, empty)), len(empty)),
        ALARMS: (alarms, len(frames) / fps / 60),
    }


def sequence_ratios(frames: list[Frame], fps: float, rule: Rule) -> Ratios:
    """All scores of one sequence under a rule.

    A sequence shows one polyp or none: where its frames show several, the polyp is
    detected when any of them is.

    Args:
        frames: all frames of the sequence.
        fps: frames per second.
        rule: what counts as a detection.
    """
    minutes = len(frames) / fps / 60
    lengths = list(_run_lengths([rule.false_regions(frame) > 0 for frame in frames]))
    ratios = frame_ratios(frames, fps, rule)
    ratios[ALARM_EVENTS] = (len(lengths), minutes)
    for seconds in ALARM_SECONDS:
        long = sum(length >= seconds * fps - 1e-9 for length in lengths)
        ratios[alarm_name(seconds)] = (long, minutes)
    return {**ratios, **_polyp_ratios(frames, fps, rule)}


def alarm_name(seconds: float) -> str:
    """Names the score of false alarms that last so long."""
    return f"false alarms per minute, ≥ {seconds:g} s"


def window_name(seconds: float) -> str:
    """Names the score of polyps found so soon."""
    return f"polyps found within {seconds:g} s"


def _polyp_ratios(frames: list[Frame], fps: float, rule: Rule) -> Ratios:
    shown = [n for n, frame in enumerate(frames) if frame.polyps]
    hits = [n - shown[0] for n in shown if rule.detects(frames[n])]
    polyps = int(bool(shown))
    return {
        FOUND: (int(bool(hits)), polyps),
        **{
            window_name(s): (int(bool(hits) and hits[0] < s * fps - 1e-9), polyps)
            for s in WINDOWS
        },
        DELAY: (hits[0] / fps if hits else 0, int(bool(hits))),
        PERSISTENCE: (len(hits) / len(shown) if shown else 0, polyps),
    }


def mask_ratios(frames: list[Frame]) -> Ratios:
    """Scores of the masks, which no rule of detection changes."""
    values = {
        DICE: [frame.dice for frame in frames],
        CONSISTENCY: [frame.iou_before for frame in frames],
        TRUTH_CONSISTENCY: [frame.truth_iou_before for frame in frames],
    }
    return {
        name: (float(np.nansum(column)), int(np.count_nonzero(~np.isnan(column))))
        for name, column in values.items()
    }


def _run_lengths(flags: list[bool]) -> Iterator[int]:
    """Yields the length of each run of true flags."""
    for flag, run in groupby(flags):
        if flag:
            yield len(list(run))
