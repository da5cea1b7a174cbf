"""Measures the frames of videos one after the other; no image is kept."""

from dataclasses import dataclass

import numpy as np

from evaluation.cases import Case, at_original_size
from evaluation.protocols.base import at_network_size
from evaluation.video.regions import MIN_AREA, find_regions, region_ious
from evaluation.video.tracking import Tracker
from metrics.confusion import count_pixels, dice_score, iou_score

# Of the free-response curve: even steps, and finer ones at both ends.
THRESHOLDS = (0.01, 0.05, *(step / 10 for step in range(1, 10)), 0.95, 0.99)
IOU_LIMITS = (0.0, 0.5)  # an IoU above the limit is a detection


@dataclass(frozen=True)
class Frame:
    """What is kept of a frame; all but `curve` is measured at the frame's own size.

    A score with nothing to count is NaN.

    Attributes:
        name: the case's name.
        sequence: the sequence it belongs to.
        polyps: regions of the truth, specks left out.
        ious: of each predicted region, the largest IoU with a polyp; 0: touches none.
        held: of each predicted region, whether it was seen in N of the last M frames.
        dice: of the whole masks; NaN without a polyp.
        iou_before: IoU of the predicted masks of the frame before and this one; NaN in
            the first frame, and where both are empty.
        truth_iou_before: the same of the true masks.
        curve: `(len(THRESHOLDS), len(IOU_LIMITS), 3)` int: polyps found, polyps
            missed, false regions.
    """

    name: str
    sequence: str
    polyps: int
    ious: tuple[float, ...]
    held: tuple[bool, ...]
    dice: float
    iou_before: float
    truth_iou_before: float
    curve: np.ndarray


class FrameReader:
    """Measures frames in their order.

    Args:
        threshold: probabilities above it are predicted to be polyp.
        hold: (N, M): a region is held when it was seen in N of the last M frames.

    Attributes:
        frames: what was measured so far.
    """

    def __init__(self, threshold: float, hold: tuple[int, int] = (1, 1)):
        self.threshold = threshold
        self.hold = hold
        self.frames: list[Frame] = []
        self._tracker = Tracker(hold)
        self._before: tuple[np.ndarray, np.ndarray] | None = None

    def add(self, case: Case) -> None:
        """Measures the next frame; a new `case.group` begins a new sequence."""
        if not self.frames or self.frames[-1].sequence != case.group:
            self._tracker = Tracker(self.hold)
            self._before = None
        truth, probability = at_original_size(case)
        mask = (probability > self.threshold).astype(np.uint8)
        labels, areas = _label_polyps(truth)
        regions = find_regions(mask, MIN_AREA * mask.size)
        ious = region_ious(labels, areas, regions)
        tracks = self._tracker.update(regions.boxes)
        before, self._before = self._before, (truth, mask)
        frame = Frame(
            name=case.name,
            sequence=case.group,
            polyps=len(areas),
            ious=tuple(ious.max(axis=0, initial=0).tolist()),
            held=tuple(self._tracker.is_reported(track) for track in tracks),
            dice=float(dice_score(count_pixels(truth, mask))) if len(areas) else np.nan,
            iou_before=_iou(before and before[1], mask),
            truth_iou_before=_iou(before and before[0], truth),
            curve=_curve_counts(case),
        )
        self.frames.append(frame)


def _label_polyps(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels the polyps of a truth: its regions, less slips of the pen.

    Masks drawn by hand hold specks of a few pixels. A frame whose truth is not empty
    has at least its largest region as a polyp, however small.

    Returns:
        `(H, W)` int32 labels, from 1, 0 for background; pixels of each polyp.
    """
    labels = np.zeros(truth.shape, np.int32)
    regions = find_regions(truth)
    large = int(np.count_nonzero(regions.areas >= MIN_AREA * truth.size))
    numbers = regions.numbers[: max(1, large)]
    for polyp, number in enumerate(numbers, 1):
        labels[regions.place][regions.labels == number] = polyp
    return labels, regions.areas[: len(numbers)]


def _iou(before: np.ndarray | None, now: np.ndarray) -> float:
    """IoU of two masks, NaN without a mask before and where both are empty.

    Masks of two sizes, which is a cut, have the IoU 0.
    """
    if before is None:
        return np.nan
    if before.shape != now.shape:
        return 0.0
    return float(iou_score(count_pixels(before, now), np.nan))


def _curve_counts(case: Case) -> np.ndarray:
    """Counts polyps found, polyps missed and false regions, as `Frame.curve` does.

    This is done at the network's size: at a frame's own it would take most of the time.
    """
    truth, probability = at_network_size(case)
    labels, areas = _label_polyps(truth)
    counts = np.zeros((len(THRESHOLDS), len(IOU_LIMITS), 3), np.int32)
    for row, threshold in zip(counts, THRESHOLDS, strict=True):
        mask = (probability > threshold).astype(np.uint8)
        regions = find_regions(mask, MIN_AREA * mask.size)
        ious = region_ious(labels, areas, regions)
        for cell, limit in zip(row, IOU_LIMITS, strict=True):
            found = np.count_nonzero(ious.max(axis=1, initial=0) > limit)
            false = np.count_nonzero(ious.max(axis=0, initial=0) <= limit)
            cell[:] = found, len(areas) - found, false
    return counts
