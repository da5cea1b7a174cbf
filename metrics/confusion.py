"""Pixel counts of two masks, and the scores computed from them.

Pixels are counted once; every score is a function of the counts: of one image's, of
many images' (`(N, 4)`), or of their sum, which pools the pixels of all images. The
score where there is nothing to count (0 / 0) differs between publications, so it is an
argument, `empty`.
"""

import numpy as np


def count_pixels(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Counts true and false, positive and negative pixels.

    Args:
        truth: `(H, W)` mask, 0/1 or bool; `(N, H, W)` to pool N images.
        prediction: mask of the same shape, 0/1 or bool.

    Returns:
        `(4,)` int64: true positives, false positives, false negatives, true negatives.

    Raises:
        ValueError: when the shapes differ.

    Example:
        The pooled Dice of N images: `dice_score(count_pixels(truths, predictions))`.
    """
    if truth.shape != prediction.shape:
        raise ValueError(
            "Arguments `truth` and `prediction` must have the same shape. "
            f"Received: {truth.shape} and {prediction.shape}"
        )
    truth, prediction = truth.astype(bool), prediction.astype(bool)
    tp = np.count_nonzero(truth & prediction)
    fp = np.count_nonzero(prediction) - tp
    fn = np.count_nonzero(truth) - tp
    return np.array([tp, fp, fn, truth.size - tp - fp - fn], np.int64)


def safe_ratio(
    numerator: np.ndarray, denominator: np.ndarray, empty: float | np.ndarray
) -> np.ndarray:
    """Divides element by element; the result is `empty` where the denominator is 0."""
    numerator = np.asarray(numerator, np.float64)
    denominator = np.asarray(denominator, np.float64)
    out = np.broadcast_to(np.float64(empty), denominator.shape).copy()
    return np.divide(numerator, denominator, out=out, where=denominator != 0)


def dice_score(counts: np.ndarray, empty: float | np.ndarray = 1.0) -> np.ndarray:
    """Dice = 2 tp / (2 tp + fp + fn), of counts `(..., 4)`, in [0, 1]."""
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return safe_ratio(2 * tp, 2 * tp + fp + fn, empty)


def iou_score(counts: np.ndarray, empty: float | np.ndarray = 1.0) -> np.ndarray:
    """Intersection over union (Jaccard) = tp / (tp + fp + fn), in [0, 1]."""
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return safe_ratio(tp, tp + fp + fn, empty)


def mean_iou_score(counts: np.ndarray) -> np.ndarray:
    """Mean of the IoU of foreground and of background, as Keras `MeanIoU` gives it.

    A class that is in neither mask is left out of the mean, as in Keras.
    """
    background = np.asarray(counts)[..., [3, 2, 1, 0]]
    both = np.stack([iou_score(counts, np.nan), iou_score(background, np.nan)])
    return np.nanmean(both, axis=0)


def recall_score(counts: np.ndarray, empty: float | np.ndarray = 1.0) -> np.ndarray:
    """Recall (sensitivity) = tp / (tp + fn), in [0, 1]."""
    tp, _, fn, _ = np.moveaxis(counts, -1, 0)
    return safe_ratio(tp, tp + fn, empty)


def precision_score(counts: np.ndarray, empty: float | np.ndarray = 1.0) -> np.ndarray:
    """Precision = tp / (tp + fp), in [0, 1]."""
    tp, fp, _, _ = np.moveaxis(counts, -1, 0)
    return safe_ratio(tp, tp + fp, empty)


def f2_score(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """F2 = 5 P R / (4 P + R), in [0, 1]; 0 when precision and recall are both 0."""
    return safe_ratio(5 * precision * recall, 4 * precision + recall, 0.0)


def accuracy_score(counts: np.ndarray) -> np.ndarray:
    """Accuracy = (tp + tn) / all pixels, in [0, 1]."""
    tp, fp, fn, tn = np.moveaxis(counts, -1, 0)
    return safe_ratio(tp + tn, tp + fp + fn + tn, 0.0)
