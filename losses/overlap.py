"""Overlap losses, pooled over the whole batch or per image."""

import keras
from keras import ops

DICE_SMOOTH = 1e-15
IOU_SMOOTH = 1e-6
IMAGE_SMOOTH = 1.0  # pixel; an image without polyp still has a gradient
FOREGROUND_WEIGHT = 0.7


def dice_loss(
    y_true: keras.KerasTensor, y_pred: keras.KerasTensor, smooth: float = DICE_SMOOTH
) -> keras.KerasTensor:
    """Soft Dice loss of a batch seen as one image.

    Formula:
        `1 - (2·Σtp + smooth) / (Σt + Σp + smooth)`

    Args:
        y_true: `(B, H, W, 1)` masks in [0, 1].
        y_pred: `(B, H, W, 1)` probabilities.
        smooth: keeps 0/0 at Dice 1; 1e-15 in LGPS, 1 in PVTSeg.

    Returns:
        Scalar in [0, 1].

    Example:
        >>> dice_loss([1., 1., 0., 0.], [1., 0., 0., 0.])  # 1 - 2/3
        0.33333334
    """
    y_true, y_pred = _as_floats(y_true, y_pred)
    overlap = ops.sum(y_true * y_pred)
    total = ops.sum(y_true) + ops.sum(y_pred)
    return 1 - (2 * overlap + smooth) / (total + smooth)


def dice_per_image_loss(
    y_true: keras.KerasTensor, y_pred: keras.KerasTensor
) -> keras.KerasTensor:
    """Soft Dice loss of each image, averaged, so that small polyps count as large ones.

    Formula:
        mean over images of `1 - (2·Σtp + 1) / (Σt + Σp + 1)`

    Args:
        y_true: `(B, H, W, 1)` masks in [0, 1].
        y_pred: `(B, H, W, 1)` probabilities.

    Returns:
        Scalar in [0, 1).
    """
    y_true, y_pred = _as_floats(y_true, y_pred)
    overlap = ops.sum(y_true * y_pred, axis=(1, 2, 3))
    total = ops.sum(y_true + y_pred, axis=(1, 2, 3))
    dice = (2 * overlap + IMAGE_SMOOTH) / (total + IMAGE_SMOOTH)
    return 1 - ops.mean(dice)


def squared_dice_loss(a: keras.KerasTensor, b: keras.KerasTensor) -> keras.KerasTensor:
    """Soft Dice loss of two maps of each image, averaged; 0 where they are the same.

    Formula:
        mean over images of `1 - (2·Σab + 1) / (Σa² + Σb² + 1)`

    Args:
        a, b: `(B, H, W, 1)` probabilities.

    Returns:
        Scalar in [0, 1).
    """
    a, b = _as_floats(a, b)
    overlap = 2 * ops.sum(a * b, axis=(1, 2, 3))
    total = ops.sum(a**2 + b**2, axis=(1, 2, 3))
    return ops.mean(1 - (overlap + IMAGE_SMOOTH) / (total + IMAGE_SMOOTH))


def weighted_iou_loss(
    y_true: keras.KerasTensor, y_pred: keras.KerasTensor
) -> keras.KerasTensor:
    """One minus 0.7 foreground IoU plus 0.3 background IoU, of the whole batch.

    Formula:
        `1 - 0.7·IoU(t, p) - 0.3·IoU(1 - t, 1 - p)`, where
        `IoU(a, b) = (Σab + 1e-6) / (Σa + Σb - Σab + 1e-6)`

    Args:
        y_true: `(B, H, W, 1)` masks in [0, 1].
        y_pred: `(B, H, W, 1)` probabilities.

    Returns:
        Scalar in [0, 1].
    """
    y_true, y_pred = _as_floats(y_true, y_pred)
    foreground = _soft_iou(y_true, y_pred)
    background = _soft_iou(1 - y_true, 1 - y_pred)
    return 1 - FOREGROUND_WEIGHT * foreground - (1 - FOREGROUND_WEIGHT) * background


def _soft_iou(a: keras.KerasTensor, b: keras.KerasTensor) -> keras.KerasTensor:
    overlap = ops.sum(a * b)
    return (overlap + IOU_SMOOTH) / (ops.sum(a) + ops.sum(b) - overlap + IOU_SMOOTH)


def _as_floats(y_true, y_pred) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Both as float32 of one shape: sums over millions of pixels need the range."""
    y_true = ops.cast(y_true, "float32")
    y_pred = ops.cast(y_pred, "float32")
    if y_true.shape != y_pred.shape:
        raise ValueError(
            "`y_true` and `y_pred` must have the same shape. "
            f"Received: {tuple(y_true.shape)} and {tuple(y_pred.shape)}"
        )
    return y_true, y_pred
