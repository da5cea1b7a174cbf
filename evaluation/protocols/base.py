"""The parts that all protocols share.

Publications differ in resolution, threshold, averaging and in the score of an empty
mask, so one model has many "Dice" scores. A protocol fixes all of these. It works in
two steps, from which intervals, slices and comparisons follow too:

* `measure(case)` reduces one image to a vector of K statistics;
* `scores(statistics)` turns statistics, `(..., K)`, into named scores, `(...)`.

The score of a set is `scores` of the mean of its statistics; that of one image is
`scores` of its own; a bootstrap sample is a weighted mean of the same vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data.images import resize_mask
from evaluation.cases import Case, resize_map
from metrics import confusion

DEFAULT_THRESHOLD = 0.5
PUBLISHED_SIZE = (256, 256)
NETWORK_SIZE_RULE = "Scored at 256×256 (prepared arrays: at their own size)"
ORIGINAL_SIZE_RULE = (
    "Scored at the masks' original size (prepared arrays whose raw files are missing: "
    "at their own size)"
)
POOLED_RULE = "The pixels of all images are pooled."
IMAGES_RULE = "Each image is scored, then the mean over images is taken."
IMAGE_SCORES = ("dice", "iou", "recall", "precision", "f2", "accuracy")


@dataclass(frozen=True)
class Protocol:
    """One way of scoring, with everything that changes a number fixed.

    Attributes:
        name: the name that each of its numbers is given with.
        rules: resolution, threshold, averaging and score of empty masks, in one line.
        measure: `Case` → `(K,)` float64 statistics.
        scores: statistics `(..., K)` → score name → `(...)`.
        image_means: the scores that are means over images, so that two models can be
            compared image by image; the others pool pixels or take a maximum.
        original_size: it scores at the masks' original size.
        at_threshold: builds the same protocol for another threshold; None where the
            publication fixes the threshold.
    """

    name: str
    rules: str
    measure: Callable[[Case], np.ndarray]
    scores: Callable[[np.ndarray], dict[str, np.ndarray]]
    image_means: tuple[str, ...] = ()
    original_size: bool = False
    at_threshold: Callable[[float], "Protocol"] | None = None


def network_size(case: Case) -> tuple[int, int]:
    """Returns 256×256, as published; the arrays' own size for prepared cases."""
    return case.truth.shape if case.prepared else PUBLISHED_SIZE


def at_network_size(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Returns truth (uint8 0/1) and map (float32), both at the network's size."""
    size = network_size(case)
    return resize_mask(case.truth, size), resize_map(case.probability, size)


def image_scores(counts: np.ndarray, empty: float) -> list[float]:
    """Computes one image's `IMAGE_SCORES`.

    Args:
        counts: `(4,)` tp, fp, fn, tn.
        empty: the score where there is nothing to count.
    """
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


def columns(names: tuple[str, ...], statistics: np.ndarray) -> dict[str, np.ndarray]:
    """Names statistics that are scores already: `(..., K)` → K times `(...)`."""
    return dict(zip(names, np.moveaxis(np.asarray(statistics), -1, 0), strict=True))
