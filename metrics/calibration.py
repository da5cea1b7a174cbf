"""Calibration of the pixels: do predicted probabilities match observed frequencies.

Reference: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, logit

BINS = 15
LOGITS = np.linspace(-24, 24, 961)  # a float32 beyond is 0 or 1
TEMPERATURES = 0.1, 20.0  # between which one is looked for


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
    return _sum_in_bins(values, np.ones_like(values), truth.ravel())


def _sum_in_bins(
    probability: np.ndarray, pixels: np.ndarray, polyp: np.ndarray
) -> np.ndarray:
    """The sums of `calibration_sums`, given how many pixels have each probability."""
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    return np.stack(
        [
            np.bincount(bins, weights=weights, minlength=BINS)
            for weights in (pixels, probability * pixels, polyp)
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


def logit_counts(truth: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Counts pixels by the logit of their probability, to fit a temperature on.

    Args:
        truth: mask 0/1 of any shape.
        probability: of the same shape, in [0, 1].

    Returns:
        `(961, 2)` float64: other pixels and polyp pixels at each of `LOGITS`; to be
        added up over images.
    """
    with np.errstate(divide="ignore"):
        values = logit(probability.ravel().astype(np.float64))
    step = LOGITS[1] - LOGITS[0]
    places = np.rint((values.clip(LOGITS[0], LOGITS[-1]) - LOGITS[0]) / step)
    polyp = truth.ravel().astype(bool)
    return np.stack(
        [
            np.bincount(places[chosen].astype(np.int64), minlength=len(LOGITS))
            for chosen in (~polyp, polyp)
        ],
        axis=-1,
    ).astype(np.float64)


def fit_temperature(counts: np.ndarray) -> float:
    """Finds the temperature of the smallest cross entropy.

    Formula:
        `argmin over T of -Σ over pixels log p_T(truth)`, `p_T = sigmoid(logit(p) / T)`

    Args:
        counts: `(961, 2)` of validation images; see `logit_counts`.

    Returns:
        T in [0.1, 20]; above 1 where the probabilities are too sure.
    """

    def cross_entropy(log_temperature: float) -> float:
        scaled = LOGITS / np.exp(log_temperature)
        terms = counts * np.stack([log_expit(-scaled), log_expit(scaled)], axis=-1)
        return -float(terms.sum())

    bounds = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(cross_entropy, bounds=bounds).x))


def sums_at_temperature(counts: np.ndarray, temperature: float) -> np.ndarray:
    """The sums of `calibration_sums` after division of the logits by a temperature.

    Args:
        counts: `(961, 2)`; see `logit_counts`.
        temperature: above 0.
    """
    probability = expit(LOGITS / temperature)
    return _sum_in_bins(probability, counts.sum(axis=1), counts[:, 1])


def calibrated(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Divides the logits of probabilities by a temperature; 0.5 stays 0.5.

    Args:
        probability: of any shape, in [0, 1].
        temperature: above 0; see `fit_temperature`.
    """
    with np.errstate(divide="ignore"):
        return expit(logit(probability) / temperature)
