"""The protocols by name: what each publication does, and what it says it does."""

from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np

from evaluation.cases import Case
from evaluation.pranet import pranet
from evaluation.protocol import (
    NETWORK_SIZE_RULE,
    ORIGINAL_SIZE_RULE,
    Protocol,
    at_network_size,
    at_original_size,
    columns,
    network_size,
)
from metrics import confusion, distances

DEFAULT_THRESHOLD = 0.5
LOGIT_HALF = 1 / (1 + np.exp(-0.5))  # the probability whose logit is 0.5
IMAGE_SCORES = ("dice", "iou", "recall", "precision", "f2", "accuracy")
DISTANCES = ("row_hd", "hausdorff", "hd95")


def lgps(threshold: float = DEFAULT_THRESHOLD) -> Protocol:
    """LGPS's own: pixels of all images pooled; "IoU" is a mean with the background."""

    def measure(case: Case) -> np.ndarray:
        truth, probability = at_network_size(case)
        return confusion.count_pixels(truth, probability > threshold).astype(float)

    return Protocol(
        "lgps",
        f"{NETWORK_SIZE_RULE}, threshold {threshold:g}, pixels of all images pooled; "
        "IoU is the mean of foreground and background; nothing to count is 0 (Dice: 1)",
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


def lgps_verbatim() -> Protocol:
    """LGPS's published code to the letter, its three readings of one truth included.

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
        f"{NETWORK_SIZE_RULE}, threshold 0.5, pooled; the truth's greys are weighed by "
        "Dice, dropped by IoU, foreground to recall and precision, never equal in "
        "accuracy",
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


def pvtseg(threshold: float = DEFAULT_THRESHOLD) -> Protocol:
    """PVTSeg's own: each image scored at 256×256, then the mean over images."""

    def measure(case: Case) -> np.ndarray:
        truth, probability = at_network_size(case)
        prediction = (probability > threshold).astype(np.uint8)
        counts = confusion.count_pixels(truth, prediction)
        return np.array(
            [
                *image_scores(counts, empty=1.0),
                distances.row_hausdorff(truth, prediction),
                *distances.hausdorff_distances(truth, prediction),
            ]
        )

    names = (*IMAGE_SCORES, *DISTANCES)
    return Protocol(
        "pvtseg",
        f"{NETWORK_SIZE_RULE}, threshold {threshold:g}, mean over images; nothing to "
        "count is 1; distances in pixels, the diagonal when one mask is empty",
        measure,
        lambda statistics: columns(names, statistics),
        image_means=names,
    )


def pvtseg_verbatim() -> Protocol:
    """PVTSeg's training-time score: *logits* above 0.5, that is p > 0.62."""
    protocol = pvtseg(LOGIT_HALF)
    return replace(protocol, name="pvtseg-verbatim")


def medico(threshold: float = DEFAULT_THRESHOLD) -> Protocol:
    """Each image scored at its mask's own size, then the mean over images."""

    def measure(case: Case) -> np.ndarray:
        truth, probability = at_original_size(case)
        counts = confusion.count_pixels(truth, probability > threshold)
        both_empty = counts[:3].sum() == 0
        return np.array(image_scores(counts, empty=float(both_empty)))

    return Protocol(
        "medico",
        f"{ORIGINAL_SIZE_RULE}, threshold {threshold:g}, mean over images; nothing to "
        "count is 1 when both masks are empty, else 0",
        measure,
        lambda statistics: columns(IMAGE_SCORES, statistics),
        image_means=IMAGE_SCORES,
    )


def image_scores(counts: np.ndarray, empty: float) -> list[float]:
    """Dice, IoU, recall, precision, F2 and accuracy of one image's counts."""
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


PROTOCOLS = {
    "lgps": lgps,
    "lgps-verbatim": lgps_verbatim,
    "pvtseg": pvtseg,
    "pvtseg-verbatim": pvtseg_verbatim,
    "pranet": pranet,
    "medico": medico,
}
WITH_THRESHOLD = {"lgps", "pvtseg", "medico"}


def build_protocols(
    names: Iterable[str], threshold: float | None = None
) -> list[Protocol]:
    """Makes the named protocols.

    Args:
        names: keys of `PROTOCOLS`.
        threshold: also score at this threshold those that allow one; their numbers
            carry it in their name, such as `pvtseg@0.37`.
    """
    names = list(names)
    protocols = [PROTOCOLS[name]() for name in names]
    if threshold is None:
        return protocols
    return protocols + [
        replace(PROTOCOLS[name](threshold), name=f"{name}@{threshold:.4g}")
        for name in names
        if name in WITH_THRESHOLD
    ]
