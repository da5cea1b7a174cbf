"""Batch normalisation in one fused operation, for training.

Keras computes it in a dozen elementwise operations, each a pass over memory; on CPU
they take longer than all of LGPS's convolutions. TensorFlow's fused kernel (oneDNN,
cuDNN) gives the same numbers in two passes. The layers, their weights and what is
saved stay standard Keras: only how the layer computes is exchanged.
"""

import functools

import keras
import tensorflow as tf

from training.recalibrate import batch_normalisations


def fuse_batch_normalisation(network: keras.Model) -> None:
    """Makes a network's Keras batch normalisations use the fused kernel, in place.

    Layers of a class of their own, as PVTSeg's are, compute as they see fit.
    """
    for layer in batch_normalisations(network):
        if type(layer) is keras.layers.BatchNormalization and layer.axis in (-1, 3):
            layer.call = functools.partial(_fused_call, layer)


def _fused_call(
    layer: keras.layers.BatchNormalization,
    inputs: tf.Tensor,
    training: bool | None = None,
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """`BatchNormalization.call` for `(B, H, W, C)` inputs."""
    if not (training and layer.trainable):
        return type(layer).call(layer, inputs, training=training, mask=mask)
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=tf.cast(layer.gamma, tf.float32),
        offset=tf.cast(layer.beta, tf.float32),
        mean=[],
        variance=[],
        epsilon=layer.epsilon,
        is_training=True,
    )
    # The kernel gives the variance over N - 1, Keras averages the one over N.
    count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)
    variance *= (count - 1) / count
    for moving, batch in (
        (layer.moving_mean, mean),
        (layer.moving_variance, variance),
    ):
        moving.assign(moving * layer.momentum + batch * (1 - layer.momentum))
    return outputs
