"""Streaming scores for the progress bar: mean over images at threshold 0.5."""

import keras
from keras import ops

THRESHOLD = 0.5


def per_image_dice(
    y_true: keras.KerasTensor,
    y_pred: keras.KerasTensor,
    threshold: float = THRESHOLD,
) -> keras.KerasTensor:
    """Dice (F1) of each image, `(B,)`; 1 when truth and prediction are both empty.

    Args:
        y_true: `(B, H, W, 1)` masks 0/1.
        y_pred: `(B, H, W, 1)` probabilities.
        threshold: the prediction is polyp above it.
    """
    overlap, total = _overlap_and_total(y_true, y_pred, threshold)
    return ops.where(total > 0, 2 * overlap / ops.maximum(total, 1), 1.0)


def per_image_iou(
    y_true: keras.KerasTensor, y_pred: keras.KerasTensor
) -> keras.KerasTensor:
    """Intersection over union of each image, `(B,)`; 1 when both are empty."""
    overlap, total = _overlap_and_total(y_true, y_pred, THRESHOLD)
    union = total - overlap
    return ops.where(union > 0, overlap / ops.maximum(union, 1), 1.0)


def _overlap_and_total(y_true, y_pred, threshold):
    y_true = ops.cast(y_true > 0.5, "float32")
    y_pred = ops.cast(y_pred > threshold, "float32")
    overlap = ops.sum(y_true * y_pred, axis=(1, 2, 3))
    total = ops.sum(y_true, axis=(1, 2, 3)) + ops.sum(y_pred, axis=(1, 2, 3))
    return overlap, total


def segmentation_metrics() -> list[keras.metrics.Metric]:
    """The metrics both models are trained with: `dice` and `iou`."""
    return [
        keras.metrics.MeanMetricWrapper(per_image_dice, name="dice"),
        keras.metrics.MeanMetricWrapper(per_image_iou, name="iou"),
    ]
