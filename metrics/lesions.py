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


def count_lesions(truth: np.ndarray, prediction: np.ndarray) -> LesionCounts:
    """Matches predicted regions to lesions.

    Args:
        truth: `(H, W)` mask, 0/1 or bool.
        prediction: `(H, W)` mask, 0/1 or bool.
    """
    regions, lesions = label(truth.astype(bool), return_num=True, connectivity=2)
    found_regions, findings = label(
        prediction.astype(bool), return_num=True, connectivity=2
    )
    shared = np.zeros((lesions + 1, findings + 1), np.int64)
    np.add.at(shared, (regions.ravel(), found_regions.ravel()), 1)
    overlap = shared[1:, 1:]
    areas = shared.sum(axis=1)[1:, None] + shared.sum(axis=0)[None, 1:]
    matches = int(np.count_nonzero(overlap > MATCH_IOU * (areas - overlap)))
    return LesionCounts(lesions, matches, findings - matches)


def touches_border(mask: np.ndarray) -> bool:
    """Tells whether a mask `(H, W)` has foreground on the border of its image."""
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())
