"""Batch normalisation that trains in one fused operation.

Keras computes it in a dozen elementwise operations, each a pass over memory; on a CPU
they take longer than all of LGPS's convolutions. TensorFlow's fused kernel (oneDNN,
cuDNN) gives the same numbers in two passes.

LGPS keeps Keras's layers, so that its files load anywhere: `fuse_batch_normalisation`
exchanges how they compute. PVTSeg has layers of a class of its own, because PyTorch
averages another variance than Keras.
"""

import functools
from typing import Any

import keras


def fuse_batch_normalisation(network: keras.Model) -> None:
    """Makes a network's Keras batch normalisations use the fused kernel, in place.

    The layers, their weights and what is saved stay standard Keras.
    """
    for layer in network._flatten_layers():
        if type(layer) is keras.layers.BatchNormalization and layer.axis in (-1, 3):
            layer.call = functools.partial(_fused_call, layer)


def _fused_call(
    layer: keras.layers.BatchNormalization,
    inputs: Any,
    training: bool | None = None,
    mask: Any = None,
) -> Any:
    """`BatchNormalization.call` for `(B, H, W, C)` inputs."""
    if training and layer.trainable:
        return normalise_batch(layer, inputs, unbiased=False)
    return type(layer).call(layer, inputs, training=training, mask=mask)


@keras.saving.register_keras_serializable(package="polyp")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """PyTorch's batch normalisation: its moving variance is of the unbiased kind.

    Call args:
        inputs: `(B, H, W, C)`.
        training: whether to use, and average, the batch's own statistics.

    Returns:
        `(B, H, W, C)` in the policy's compute dtype.
    """

    def call(self, inputs, training=None):
        if training and self.trainable:
            return normalise_batch(self, inputs, unbiased=True)
        return super().call(inputs)


def normalise_batch(
    layer: keras.layers.BatchNormalization, inputs: Any, unbiased: bool
) -> Any:
    """Normalises a batch by its own statistics and averages them into the layer's.

    Args:
        layer: its weights and moving averages, which are updated.
        inputs: `(B, H, W, C)`.
        unbiased: average the variance over N - 1, as PyTorch does, not over N, as
            Keras does. The batch itself is normalised by the latter in both.

    Returns:
        `(B, H, W, C)` in the dtype of the inputs.
    """
    gamma, beta = (keras.ops.cast(w, "float32") for w in (layer.gamma, layer.beta))
    outputs, mean, variance = _fused_kernel(inputs, gamma, beta, layer.epsilon)
    if not unbiased:
        count = _positions(inputs)
        variance = variance * ((count - 1) / count)
    for moving, batch in (
        (layer.moving_mean, mean),
        (layer.moving_variance, variance),
    ):
        moving.assign(moving * layer.momentum + batch * (1 - layer.momentum))
    return outputs


def _fused_kernel(inputs: Any, gamma: Any, beta: Any, epsilon: float) -> tuple:
    """Normalised inputs, and the batch's `(C,)` mean and variance over N - 1."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.compat.v1.nn.fused_batch_norm(inputs, gamma, beta, epsilon=epsilon)
    x = keras.ops.cast(inputs, "float32")
    mean, variance = keras.ops.moments(x, axes=(0, 1, 2))
    outputs = keras.ops.batch_normalization(
        x, mean, variance, axis=-1, offset=beta, scale=gamma, epsilon=epsilon
    )
    count = _positions(inputs)
    variance = variance * count / keras.ops.maximum(count - 1, 1)
    return keras.ops.cast(outputs, inputs.dtype), mean, variance


def _positions(inputs: Any) -> Any:
    """N, over which statistics are taken: batch × height × width."""
    batch, height, width, _ = keras.ops.shape(inputs)
    return keras.ops.cast(batch * height * width, "float32")
