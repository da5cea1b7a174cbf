"""The LGPS segmentation loss."""

import keras
from keras import ops

from losses.overlap import dice_loss, weighted_iou_loss

BCE_WEIGHT, IOU_WEIGHT, DICE_WEIGHT = 0.4, 0.3, 0.3


def lgps_loss(
    y_true: keras.KerasTensor, y_pred: keras.KerasTensor
) -> keras.KerasTensor:
    """Cross-entropy, weighted IoU and Dice, pooled over the batch.

    Formula:
        `0.4·BCE + 0.3·weighted_iou_loss + 0.3·dice_loss`

    Args:
        y_true: `(B, H, W, 1)` masks in [0, 1].
        y_pred: `(B, H, W, 1)` probabilities.

    Returns:
        Scalar, 0 for a perfect prediction.
    """
    overlap = IOU_WEIGHT * weighted_iou_loss(y_true, y_pred)
    overlap += DICE_WEIGHT * dice_loss(y_true, y_pred)
    cross_entropy = ops.binary_crossentropy(
        ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
    )
    return BCE_WEIGHT * ops.mean(cross_entropy) + overlap


@keras.saving.register_keras_serializable(package="polyp")
class LGPSLoss(keras.losses.Loss):
    """`lgps_loss` as a Keras loss object."""

    def __init__(self, name: str = "lgps_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        return lgps_loss(y_true, y_pred)
