"""PVTSeg's protocol: each image is scored at 256×256, then the mean is taken.

It comes in two forms: `pvtseg` thresholds probabilities, `pvtseg-verbatim` logits, as
the published code does while it trains.
"""

from dataclasses import replace

import numpy as np

from evaluation.cases import Case
from evaluation.protocols.base import (
    DEFAULT_THRESHOLD,
    IMAGE_SCORES,
    IMAGES_RULE,
    NETWORK_SIZE_RULE,
    Protocol,
    at_network_size,
    columns,
    image_scores,
)
from metrics import confusion, distances

LOGIT_HALF = 1 / (1 + np.exp(-0.5))  # the probability whose logit is 0.5
SCORES = (*IMAGE_SCORES, "row_hd", "hausdorff", "hd95")


def pvtseg(threshold: float = DEFAULT_THRESHOLD) -> Protocol:
    """Builds PVTSeg's protocol: the mean over images at 256×256."""

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

    return Protocol(
        "pvtseg",
        f"{NETWORK_SIZE_RULE}, with threshold {threshold:g}. {IMAGES_RULE} A score "
        "with nothing to count is 1. Distances are in pixels; where one of the two "
        "masks is empty, hausdorff and hd95 are the image's diagonal.",
        measure,
        lambda statistics: columns(SCORES, statistics),
        image_means=SCORES,
        at_threshold=pvtseg,
    )


def pvtseg_verbatim() -> Protocol:
    """Builds PVTSeg's protocol with *logits* above 0.5, probabilities above 0.62."""
    return replace(pvtseg(LOGIT_HALF), name="pvtseg-verbatim", at_threshold=None)
