"""Evaluation protocols: the rules that turn masks and maps into published numbers.

One model has many "Dice" scores, because publications differ in resolution, threshold,
averaging and in what an empty mask is worth. A protocol fixes all of these. It works
in two steps, and everything else (intervals, slices, comparisons) follows from them:

* `measure(case)` boils one image down to a vector of K statistics;
* `scores(statistics)` turns statistics, `(..., K)`, into named scores, `(...)`.

The score of a set is `scores` of the mean of its statistics; that of one image is
`scores` of its own; a bootstrap sample is a weighted mean of the same vectors.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from data.images import resize_mask
from evaluation.cases import Case
from metrics import confusion, distances

PUBLISHED_SIZE = (256, 256)
NETWORK_SIZE_RULE = "256×256 (prepared arrays: their own size)"


def resize_map(probability: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a map `(h, w)` float32 to `(H, W)`: bilinear, half-pixel centres."""
    if probability.shape == tuple(size):
        return probability
    height, width = size
    return cv2.resize(probability, (width, height), interpolation=cv2.INTER_LINEAR)


def at_network_size(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Truth and map at 256×256; prepared arrays stay at the size they were made at."""
    size = case.truth.shape if case.prepared else PUBLISHED_SIZE
    return resize_mask(case.truth, size), resize_map(case.probability, size)


def at_original_size(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Truth as it is, and the map resized to it."""
    return case.truth, resize_map(case.probability, case.truth.shape)


@dataclass(frozen=True)
class Protocol:
    """One way of scoring, with everything that changes a number fixed.

    Attributes:
        name: the name that stands on each of its numbers.
        rules: one line: resolution, threshold, averaging, worth of empty masks.
        score_names: keys of `scores`, in the order of a table.
        measure: `Case` → `(K,)` float64 statistics.
        scores: statistics `(..., K)` → score name → `(...)`.
    """

    name: str
    rules: str
    score_names: tuple[str, ...]
    measure: Callable[[Case], np.ndarray]
    scores: Callable[[np.ndarray], dict[str, np.ndarray]]


LGPS_SCORES = ("dice", "iou", "recall", "precision", "f2", "accuracy")
PVTSEG_SCORES = (*LGPS_SCORES, "row_hd", "hausdorff", "hd95")


def lgps(threshold: float = 0.5) -> Protocol:
    """LGPS's own: pixels of all images pooled; "IoU" is a mean with the background."""

    def measure(case: Case) -> np.ndarray:
        truth, probability = at_network_size(case)
        return confusion.count_pixels(truth, probability > threshold).astype(float)

    return Protocol(
        "lgps",
        f"{NETWORK_SIZE_RULE}, threshold {threshold:g}, pixels of all images "
        "pooled; IoU is the mean of foreground and background; nothing to count is 0 "
        "(Dice: 1)",
        LGPS_SCORES,
        measure,
        _pooled_scores,
    )


def _pooled_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    recall = confusion.recall_score(counts, empty=0.0)
    precision = confusion.precision_score(counts, empty=0.0)
    return {
        "dice": confusion.dice_score(counts, empty=1.0),
        "iou": confusion.mean_iou_score(counts),
        "recall": recall,
        "precision": precision,
        "f2": confusion.f2_score(precision, recall),
        "accuracy": confusion.accuracy_score(counts),
    }


def pvtseg(threshold: float = 0.5) -> Protocol:
    """PVTSeg's own: each image scored at 256×256, then the mean over images."""

    def measure(case: Case) -> np.ndarray:
        truth, probability = at_network_size(case)
        prediction = (probability > threshold).astype(np.uint8)
        counts = confusion.count_pixels(truth, prediction)
        return np.array(
            [
                *_image_scores(counts, empty=1.0),
                distances.row_hausdorff(truth, prediction),
                *distances.hausdorff_distances(truth, prediction),
            ]
        )

    return Protocol(
        "pvtseg",
        f"{NETWORK_SIZE_RULE}, threshold {threshold:g}, mean over images; nothing to "
        "count is 1; distances in pixels, the diagonal when one mask is empty",
        PVTSEG_SCORES,
        measure,
        lambda statistics: _columns(PVTSEG_SCORES, statistics),
    )


def _image_scores(counts: np.ndarray, empty: float) -> list[float]:
    """Dice, IoU, recall, precision, F2, accuracy of one image's counts."""
    recall = confusion.recall_score(counts, empty)
    precision = confusion.precision_score(counts, empty)
    return [
        float(score)
        for score in (
            confusion.dice_score(counts, empty),
            confusion.iou_score(counts, empty),
            recall,
            precision,
            confusion.f2_score(precision, recall),
            confusion.accuracy_score(counts),
        )
    ]


def _columns(names: tuple[str, ...], statistics: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(names, np.moveaxis(np.asarray(statistics), -1, 0), strict=True))


PROTOCOLS = {"lgps": lgps, "pvtseg": pvtseg}


def build_protocols(names: Iterable[str]) -> list[Protocol]:
    """Makes the named protocols."""
    return [PROTOCOLS[name]() for name in names]
