"""The PVTSeg segmentation loss."""

import keras
from keras import ops

from losses.overlap import dice_loss

DICE_SMOOTH = 1.0


def pvtseg_loss(
    y_true: keras.KerasTensor, y_pred: keras.KerasTensor
) -> keras.KerasTensor:
    """Mean binary cross-entropy plus the pooled soft Dice loss (smooth 1).

    Args:
        y_true: `(B, H, W, 1)` masks in [0, 1].
        y_pred: `(B, H, W, 1)` probabilities.

    Returns:
        Scalar, 0 for a perfect prediction.
    """
    cross_entropy = ops.binary_crossentropy(
        ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
    )
    return ops.mean(cross_entropy) + dice_loss(y_true, y_pred, smooth=DICE_SMOOTH)


@keras.saving.register_keras_serializable(package="polyp")
class PVTSegLoss(keras.losses.Loss):
    """`pvtseg_loss` as a Keras loss object."""

    def __init__(self, name: str = "pvtseg_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        return pvtseg_loss(y_true, y_pred)
