"""What a protocol is: the rules that turn masks and maps into published numbers.

One model has many "Dice" scores, because publications differ in resolution, threshold,
averaging and in what an empty mask is worth. A protocol fixes all of these. It works
in two steps, and everything else (intervals, slices, comparisons) follows from them:

* `measure(case)` boils one image down to a vector of K statistics;
* `scores(statistics)` turns statistics, `(..., K)`, into named scores, `(...)`.

The score of a set is `scores` of the mean of its statistics; that of one image is
`scores` of its own; a bootstrap sample is a weighted mean of the same vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from data.images import resize_mask
from evaluation.cases import Case

PUBLISHED_SIZE = (256, 256)
NETWORK_SIZE_RULE = "256×256 (prepared arrays: their own size)"
ORIGINAL_SIZE_RULE = "original size (arrays without their raw files: their own size)"


@dataclass(frozen=True)
class Protocol:
    """One way of scoring, with everything that changes a number fixed.

    Attributes:
        name: the name that stands on each of its numbers.
        rules: one line: resolution, threshold, averaging, worth of empty masks.
        measure: `Case` → `(K,)` float64 statistics.
        scores: statistics `(..., K)` → score name → `(...)`.
        image_means: the scores that are means over images, so that two models can be
            compared image by image; the others pool pixels or take a maximum.
    """

    name: str
    rules: str
    measure: Callable[[Case], np.ndarray]
    scores: Callable[[np.ndarray], dict[str, np.ndarray]]
    image_means: tuple[str, ...] = ()


def columns(names: tuple[str, ...], statistics: np.ndarray) -> dict[str, np.ndarray]:
    """Names the statistics themselves as scores: `(..., K)` → K times `(...)`."""
    return dict(zip(names, np.moveaxis(np.asarray(statistics), -1, 0), strict=True))


def resize_map(probability: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a map `(h, w)` float32 to `(H, W)`: bilinear, half-pixel centres."""
    if probability.shape == tuple(size):
        return probability
    height, width = size
    return cv2.resize(probability, (width, height), interpolation=cv2.INTER_LINEAR)


def network_size(case: Case) -> tuple[int, int]:
    """256×256 as published; prepared arrays stay at the size they were made at."""
    return case.truth.shape if case.prepared else PUBLISHED_SIZE


def at_network_size(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Truth (uint8 0/1) and map (float32), both at the network's size."""
    size = network_size(case)
    return resize_mask(case.truth, size), resize_map(case.probability, size)


def at_original_size(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Truth (uint8 0/1) as it is, and the map (float32) resized to it."""
    return case.truth, resize_map(case.probability, case.truth.shape)


def stretch(values: np.ndarray) -> np.ndarray:
    """Min-max normalises a map to [0, 1]; a constant map stays as it is."""
    low, high = values.min(), values.max()
    return values if low == high else (values - low) / (high - low)
