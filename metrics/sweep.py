"""Scores at all 256 thresholds of an 8-bit map at once, from two histograms.

Index t of every curve is of the prediction `map >= 255 - t`, so the thresholds fall, as
in PySODMetrics.
"""

import numpy as np

LEVELS = 256
EPSILON = np.spacing(1)


def sweep_counts(truth: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Counts pixels at each threshold.

    Args:
        truth: `(H, W)` mask, 0/1 or bool.
        levels: `(H, W)` uint8 map.

    Returns:
        `(256, 4)` int64 tp, fp, fn, tn, as `metrics.confusion` takes them.
    """
    codes = levels.astype(np.uint16).ravel()
    codes[truth.ravel() > 0] += LEVELS
    histogram = np.bincount(codes, minlength=2 * LEVELS)
    fp, tp = np.cumsum(histogram.reshape(2, LEVELS)[:, ::-1], axis=1)
    return np.stack([tp, fp, tp[-1] - tp, fp[-1] - fp], axis=-1)


def e_measure_curve(counts: np.ndarray) -> np.ndarray:
    """Computes the enhanced-alignment measure (E-measure) at each threshold.

    Formula:
        ξ = 2ab / (a² + b²), with a and b truth and binary prediction, each minus its
        own mean; the measure is the mean over pixels of (1 + ξ)² / 4.

    Only four pairs (a, b) occur, one per cell of the confusion matrix. For an empty
    (full) truth, the measure is the share of pixels predicted background (foreground).

    Args:
        counts: `(..., 4)` tp, fp, fn, tn.

    Returns:
        `(...)` in [0, 1] (the mean is over H·W - 1, as published).

    Reference: Fan et al., IJCAI 2018.
    """
    tp, fp, fn, tn = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    pixels = tp + fp + fn + tn
    truth_mean, found_mean = (tp + fn) / pixels, (tp + fp) / pixels
    total = np.zeros_like(tp)
    for cell, in_truth, found in ((tp, 1, 1), (fp, 0, 1), (fn, 1, 0), (tn, 0, 0)):
        a, b = in_truth - truth_mean, found - found_mean
        alignment = 2 * a * b / (a**2 + b**2 + EPSILON)
        total += cell * (1 + alignment) ** 2 / 4
    total = np.where(truth_mean == 0, fn + tn, total)
    total = np.where(truth_mean == 1, tp + fp, total)
    return total / (np.maximum(pixels - 1, 1) + EPSILON)
