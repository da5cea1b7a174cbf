"""LGPS's protocol: the pixels of all images are pooled.

It comes in two forms: `lgps` reads the truth in one consistent way, `lgps-verbatim`
as the published code does.
"""

import cv2
import numpy as np

from evaluation.cases import Case
from evaluation.protocols.base import (
    DEFAULT_THRESHOLD,
    NETWORK_SIZE_RULE,
    POOLED_RULE,
    Protocol,
    at_network_size,
    network_size,
)
from metrics import confusion


def lgps(threshold: float = DEFAULT_THRESHOLD) -> Protocol:
    """Builds LGPS's protocol, whose "IoU" is a mean with the background's."""

    def measure(case: Case) -> np.ndarray:
        truth, probability = at_network_size(case)
        return confusion.count_pixels(truth, probability > threshold).astype(float)

    return Protocol(
        "lgps",
        f"{NETWORK_SIZE_RULE}, with threshold {threshold:g}. {POOLED_RULE} IoU is the "
        "mean of the foreground's and the background's. A score with nothing to count "
        "is 0, but Dice is 1.",
        measure,
        _pooled_scores,
        at_threshold=lgps,
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


def lgps_verbatim() -> Protocol:
    """Builds the protocol of LGPS's published code, its readings of the truth included.

    The truth keeps its greys. Dice weighs them; MeanIoU truncates them, so 0.996 is
    background; recall and precision take all above 0 as foreground; accuracy wants
    truth and prediction equal.
    """

    def measure(case: Case) -> np.ndarray:
        height, width = network_size(case)
        grey = cv2.resize(case.grey_truth(), (width, height))
        _, probability = at_network_size(case)
        prediction = probability > DEFAULT_THRESHOLD
        return np.array(
            [
                np.sum(grey * prediction, dtype=np.float64),
                np.sum(grey, dtype=np.float64) + np.count_nonzero(prediction),
                np.mean(grey == prediction),
                *confusion.count_pixels(grey >= 1, prediction),
                *confusion.count_pixels(grey > 0, prediction),
            ]
        )

    return Protocol(
        "lgps-verbatim",
        f"{NETWORK_SIZE_RULE}, with threshold {DEFAULT_THRESHOLD}. {POOLED_RULE} The "
        "truth keeps its grey values: Dice weighs them, IoU counts them as background, "
        "recall and precision as foreground, and accuracy as wrong.",
        measure,
        _verbatim_scores,
    )


def _verbatim_scores(statistics: np.ndarray) -> dict[str, np.ndarray]:
    overlap, total, equal = np.moveaxis(statistics[..., :3], -1, 0)
    scores = _pooled_scores(statistics[..., 7:])
    scores["dice"] = confusion.safe_ratio(2 * overlap, total, empty=1.0)
    scores["iou"] = confusion.mean_iou_score(statistics[..., 3:7])
    scores["accuracy"] = equal
    return scores
