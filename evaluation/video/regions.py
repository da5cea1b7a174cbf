"""The connected regions of a mask that count as findings: one rule for all."""

from dataclasses import dataclass

import cv2
import numpy as np

from evaluation.video.tracking import Box

MIN_AREA = 0.0005  # of what the network is shown: smaller specks are no finding


@dataclass(frozen=True)
class Regions:
    """Regions of a mask (8-neighbours), the largest first.

    Attributes:
        labels: `(h, w)` int32, 0 for background, of the smallest part of the mask that
            holds all its pixels.
        place: the rows and columns of the mask that `labels` covers.
        numbers: the label of each region.
        boxes: (x, y, width, height) of each region in pixels of the mask.
        areas: pixels of each region.
    """

    labels: np.ndarray
    place: tuple[slice, slice]
    numbers: list[int]
    boxes: list[Box]
    areas: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)


def find_regions(mask: np.ndarray, smallest: float = 1) -> Regions:
    """Finds the regions of a mask.

    Args:
        mask: `(H, W)` uint8, 0 for background.
        smallest: in pixels; smaller regions are left out.
    """
    left, top, width, height = cv2.boundingRect(mask)  # labelling is slow: only there
    place = (slice(top, top + height), slice(left, left + width))
    if not width:
        none = np.zeros((height, width), np.int32)
        return Regions(none, place, [], [], np.zeros(0, np.int32))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask[place])
    stats[:, cv2.CC_STAT_LEFT] += left
    stats[:, cv2.CC_STAT_TOP] += top
    areas = stats[:, cv2.CC_STAT_AREA]
    numbers = [int(n) for n in np.argsort(-areas) if n and areas[n] >= smallest]
    boxes = [tuple(int(v) for v in stats[n, : cv2.CC_STAT_AREA]) for n in numbers]
    return Regions(labels, place, numbers, boxes, areas[numbers])


def region_ious(
    truth: np.ndarray, truth_areas: np.ndarray, found: Regions
) -> np.ndarray:
    """Computes the IoU of each true region with each found one.

    Args:
        truth: `(H, W)` int32, the labels 1 to T of the true regions, 0 for background.
        truth_areas: `(T,)` pixels of each true region.
        found: the regions of a mask `(H, W)`.

    Returns:
        `(T, F)` float64 in [0, 1].
    """
    width = int(found.labels.max(initial=0)) + 1
    codes = truth[found.place].astype(np.int64) * width + found.labels
    shared = np.bincount(codes.ravel(), minlength=(len(truth_areas) + 1) * width)
    shared = shared.reshape(-1, width)[1:, found.numbers]
    return shared / (truth_areas[:, None] + found.areas[None] - shared)
