"""Weighted F-measure: an error's weight depends on where it is.

Reference: Margolin, Zelnik-Manor and Tal, "How to Evaluate Foreground Maps?", CVPR
2014. The values equal PySODMetrics'. The computation is several times faster, because
terms that matter only around the foreground are computed only there.
"""

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

WINDOW = 7  # side of the Gaussian in pixels
SIGMA = 5
HALF_WEIGHT_DISTANCE = 5  # pixels; a false positive's weight grows from 1 to 2
EPSILON = np.spacing(1)


def weighted_f_measure(truth: np.ndarray, probability: np.ndarray) -> float:
    """Computes the weighted F-measure (beta 1).

    Args:
        truth: `(H, W)` mask, 0/1 or bool.
        probability: `(H, W)` float64 map in [0, 1].

    Returns:
        A score in [0, 1]; 0 for an empty truth.
    """
    truth = truth.astype(bool)
    if not truth.any():
        return 0.0
    error = np.abs(probability - truth)
    box = _box_around(truth, margin=WINDOW // 2)
    near_truth, near_error = truth[box], error[box]
    smoothed = _smooth_dependent_error(near_truth, near_error)
    error_inside = np.minimum(smoothed, near_error)[near_truth]

    distance = cv2.distanceTransform(
        (~truth).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    wrong = ~truth & (error > 0)
    importance = 2 - np.exp(np.log(0.5) / HALF_WEIGHT_DISTANCE * distance[wrong])
    false_positive = np.sum(error[wrong] * importance)
    true_positive = error_inside.size - error_inside.sum()
    recall = 1 - error_inside.mean()
    precision = true_positive / (true_positive + false_positive + EPSILON)
    return float(2 * recall * precision / (recall + precision + EPSILON))


def _box_around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Returns the smallest box around the mask with a margin, clipped to the image."""
    slices = []
    for axis in (1, 0):
        used = np.flatnonzero(mask.any(axis=axis))
        slices.append(slice(max(0, used[0] - margin), used[-1] + margin + 1))
    return slices[0], slices[1]


def _smooth_dependent_error(truth: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Blurs the error; each background pixel first takes its nearest foreground's."""
    nearest = distance_transform_edt(
        ~truth, return_distances=False, return_indices=True
    )
    kernel = cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_64F)
    return cv2.sepFilter2D(
        error[tuple(nearest)],
        cv2.CV_64F,
        kernel,
        kernel,
        borderType=cv2.BORDER_CONSTANT,
    )
