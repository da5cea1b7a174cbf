"""PraNet's structure loss: pixels near an edge of the mask count up to six times."""

import keras
from keras import ops

from losses.overlap import dice_per_image_loss

WINDOW = 31  # side of the neighbourhood, pixels
EDGE_WEIGHT = 5.0


def structure_loss(
    y_true: keras.KerasTensor, y_pred: keras.KerasTensor
) -> keras.KerasTensor:
    """Edge-weighted cross-entropy and IoU, per image (Fan et al., PraNet, 2020).

    Formula:
        with `w = 1 + 5·|mean31(t) - t|`, the mean over a 31×31 window with zeros
        beyond the frame: `Σw·bce / Σw + 1 - (Σw·tp + 1) / (Σw·(t + p - tp) + 1)`,
        averaged over the images.

    Args:
        y_true: `(B, H, W, 1)` masks in [0, 1].
        y_pred: `(B, H, W, 1)` probabilities.

    Returns:
        Scalar, 0 for a perfect prediction.
    """
    y_true = ops.cast(y_true, "float32")
    y_pred = ops.cast(y_pred, "float32")
    margin = WINDOW // 2
    mean = ops.pad(y_true, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    # A mean over a square is one over rows and one over columns, in far fewer sums.
    for window in ((WINDOW, 1), (1, WINDOW)):
        mean = ops.average_pool(mean, window, strides=1, data_format="channels_last")
    weight = 1 + EDGE_WEIGHT * ops.abs(mean - y_true)

    def per_image(values):
        return ops.sum(weight * values, axis=(1, 2, 3))

    cross_entropy = per_image(ops.binary_crossentropy(y_true, y_pred))
    cross_entropy /= ops.sum(weight, axis=(1, 2, 3))
    overlap = per_image(y_true * y_pred)
    union = per_image(y_true + y_pred) - overlap
    return ops.mean(cross_entropy + 1 - (overlap + 1) / (union + 1))


@keras.saving.register_keras_serializable(package="polyp")
class StructureLoss(keras.losses.Loss):
    """`structure_loss` as a Keras loss object."""

    def __init__(self, name: str = "structure_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        return structure_loss(y_true, y_pred)


def structure_dice_loss(
    y_true: keras.KerasTensor, y_pred: keras.KerasTensor
) -> keras.KerasTensor:
    """`structure_loss` plus `dice_per_image_loss`; shapes and ranges as there."""
    return structure_loss(y_true, y_pred) + dice_per_image_loss(y_true, y_pred)


@keras.saving.register_keras_serializable(package="polyp")
class StructureDiceLoss(keras.losses.Loss):
    """`structure_dice_loss` as a Keras loss object."""

    def __init__(self, name: str = "structure_dice_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        return structure_dice_loss(y_true, y_pred)
