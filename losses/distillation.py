"""What a network loses when its maps differ from those of its teachers."""

import keras
from keras import ops

from losses.overlap import squared_dice_loss

CROSS_ENTROPY_WEIGHT = 2.0


def distillation_loss(
    teacher: keras.KerasTensor, y_pred: keras.KerasTensor
) -> keras.KerasTensor:
    """How far a network's maps are from those of its teachers.

    Formula:
        mean over images of `1 - (2·Σtp + 1) / (Σt² + Σp² + 1)`, plus
        `2 · mean over pixels of -(t·log p + (1 - t)·log(1 - p))`

    Args:
        teacher: `(B, H, W, 1)` probabilities t of the teachers.
        y_pred: `(B, H, W, 1)` probabilities p.

    Returns:
        Scalar. It is lowest where p equals t, and 0 only if these are 0 and 1.
    """
    teacher = ops.cast(teacher, "float32")
    y_pred = ops.cast(y_pred, "float32")
    cross_entropy = ops.mean(ops.binary_crossentropy(teacher, y_pred))
    return squared_dice_loss(teacher, y_pred) + CROSS_ENTROPY_WEIGHT * cross_entropy
