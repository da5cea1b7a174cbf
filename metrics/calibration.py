"""Calibration of the pixels: do predicted probabilities match observed frequencies."""

import numpy as np

BINS = 15


def calibration_sums(truth: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Sums an image's pixels in bins of predicted probability.

    Args:
        truth: `(H, W)` mask 0/1.
        probability: `(H, W)` in [0, 1].

    Returns:
        `(15, 3)` float64: pixels, sum of their probabilities, polyp pixels; to be
        added up over images.
    """
    values = probability.ravel().astype(np.float64)
    bins = np.minimum((values * BINS).astype(np.int64), BINS - 1)
    return np.stack(
        [
            np.bincount(bins, weights=weights, minlength=BINS)
            for weights in (np.ones_like(values), values, truth.ravel())
        ],
        axis=-1,
    )


def calibration_curve(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Computes the calibration curve over the bins that hold pixels.

    Args:
        sums: `(15, 3)`; see `calibration_sums`.

    Returns:
        Mean probability, share of polyp pixels in the bin, and the bin's share of all
        pixels; each `(used bins,)` in [0, 1].
    """
    used = sums[sums[:, 0] > 0]
    pixels, probability, polyp = used.T
    return probability / pixels, polyp / pixels, pixels / pixels.sum()


def expected_calibration_error(sums: np.ndarray) -> float:
    """Computes the expected calibration error (ECE), in [0, 1].

    Formula:
        `Σ over bins (share of all pixels) · |share of polyp pixels - mean probability|`

    Args:
        sums: `(15, 3)`; see `calibration_sums`.
    """
    probability, polyp, share = calibration_curve(sums)
    return float(np.sum(share * np.abs(polyp - probability)))
