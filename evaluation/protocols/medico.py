"""The "medico" protocol: each image is scored at its mask's size, then averaged."""

import numpy as np

from evaluation.cases import Case, at_original_size
from evaluation.protocols.base import (
    DEFAULT_THRESHOLD,
    IMAGE_SCORES,
    IMAGES_RULE,
    ORIGINAL_SIZE_RULE,
    Protocol,
    columns,
    image_scores,
)
from metrics.confusion import count_pixels


def medico(threshold: float = DEFAULT_THRESHOLD) -> Protocol:
    """Builds the protocol that takes the mean over images at the original size."""

    def measure(case: Case) -> np.ndarray:
        truth, probability = at_original_size(case)
        counts = count_pixels(truth, probability > threshold)
        both_empty = counts[:3].sum() == 0
        return np.array(image_scores(counts, empty=float(both_empty)))

    return Protocol(
        "medico",
        f"{ORIGINAL_SIZE_RULE}, with threshold {threshold:g}. {IMAGES_RULE} A score "
        "with nothing to count is 1 where both masks are empty, else 0.",
        measure,
        lambda statistics: columns(IMAGE_SCORES, statistics),
        image_means=IMAGE_SCORES,
        original_size=True,
        at_threshold=medico,
    )
