"""Detection of single polyps: how many were found, how many findings are false."""

from dataclasses import dataclass

import numpy as np
from skimage.measure import label

MATCH_IOU = 0.5  # above it a match is unique: no lesion can match two regions


@dataclass(frozen=True)
class LesionCounts:
    """Connected regions (8-neighbours) of a truth and a prediction.

    Attributes:
        lesions: regions of the truth.
        found: those that one predicted region matches with an IoU above 0.5.
        false_positives: predicted regions that match no lesion.
    """

    lesions: int
    found: int
    false_positives: int


def count_lesions(
    truth: np.ndarray, prediction: np.ndarray, smallest: float = 1
) -> LesionCounts:
    """Matches predicted regions to lesions.

    Args:
        truth: `(H, W)` mask, 0/1 or bool.
        prediction: `(H, W)` mask, 0/1 or bool.
        smallest: in pixels; smaller regions are left out, as slips of the pen and
            specks. A truth that is not empty keeps its largest region.
    """
    regions, lesions = label(truth.astype(bool), return_num=True, connectivity=2)
    found_regions, findings = label(
        prediction.astype(bool), return_num=True, connectivity=2
    )
    shared = np.zeros((lesions + 1, findings + 1), np.int64)
    np.add.at(shared, (regions.ravel(), found_regions.ravel()), 1)
    truth_areas, found_areas = shared.sum(axis=1)[1:], shared.sum(axis=0)[1:]
    rows = truth_areas >= min(smallest, truth_areas.max(initial=0))
    columns = found_areas >= smallest
    overlap = shared[1:, 1:][rows][:, columns]
    areas = truth_areas[rows, None] + found_areas[None, columns]
    matches = int(np.count_nonzero(overlap > MATCH_IOU * (areas - overlap)))
    return LesionCounts(len(overlap), matches, int(columns.sum()) - matches)


def touches_border(mask: np.ndarray) -> bool:
    """Tells whether a mask `(H, W)` has foreground on the border of its image."""
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())
