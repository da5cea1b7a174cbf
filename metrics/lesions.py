"""Detection of single polyps: how many were found, how many findings are false."""

from dataclasses import dataclass

import numpy as np
from skimage.measure import label

MATCH_IOU = 0.5  # above it a match is unique: no lesion can match two regions


@dataclass(frozen=True)
class LesionCounts:
    """Connected regions (8-neighbours) of a truth and a prediction.

    Attributes:
        areas: of each region of the truth, in pixels.
        is_found: whether one predicted region matches it with an IoU above 0.5.
        false_positives: predicted regions that match no region of the truth.
    """

    areas: tuple[int, ...]
    is_found: tuple[bool, ...]
    false_positives: int

    @property
    def lesions(self) -> int:
        """Regions of the truth."""
        return len(self.areas)

    @property
    def found(self) -> int:
        """Those that are found."""
        return sum(self.is_found)


def count_lesions(
    truth: np.ndarray, prediction: np.ndarray, smallest: float = 1
) -> LesionCounts:
    """Matches predicted regions to lesions.

    Args:
        truth: `(H, W)` mask, 0/1 or bool.
        prediction: `(H, W)` mask, 0/1 or bool.
        smallest: in pixels; smaller regions are left out: in a truth they are errors
            of drawing, in a prediction specks. If all of a truth are smaller, its
            largest one is kept.
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
    is_found = (overlap > MATCH_IOU * (areas - overlap)).any(axis=1)
    return LesionCounts(
        tuple(truth_areas[rows].tolist()),
        tuple(is_found.tolist()),
        int(columns.sum() - is_found.sum()),
    )


def touches_border(mask: np.ndarray) -> bool:
    """Tells whether a mask `(H, W)` has foreground on the border of its image."""
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())
