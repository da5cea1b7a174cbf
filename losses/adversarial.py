"""Losses of the two players of the LGPS GAN."""

import keras
from keras import ops

REAL_LABEL = 0.9  # one-sided label smoothing, as published


def discriminator_loss(
    real_output: keras.KerasTensor,
    fake_output: keras.KerasTensor,
    from_logits: bool = False,
) -> keras.KerasTensor:
    """Cross-entropy of calling true masks real (0.9) and predictions fake (0).

    Args:
        real_output: discriminator's `(B, h, w, 1)` for true masks.
        fake_output: the same for predicted masks.
        from_logits: whether these are logits (mean-field ConvCRF) or probabilities.

    Returns:
        Scalar.
    """
    real = _mean_cross_entropy(REAL_LABEL, real_output, from_logits)
    fake = _mean_cross_entropy(0.0, fake_output, from_logits)
    return real + fake


def adversarial_loss(
    fake_output: keras.KerasTensor, from_logits: bool = False
) -> keras.KerasTensor:
    """Cross-entropy of the generator's aim: its predictions called real (1)."""
    return _mean_cross_entropy(1.0, fake_output, from_logits)


def _mean_cross_entropy(
    label: float, output: keras.KerasTensor, from_logits: bool
) -> keras.KerasTensor:
    output = ops.cast(output, "float32")  # float16 cannot hold the clip at 1e-7
    labels = ops.full_like(output, label)
    return ops.mean(ops.binary_crossentropy(labels, output, from_logits=from_logits))
