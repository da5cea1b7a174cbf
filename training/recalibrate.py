"""Re-estimates batch normalisation statistics over training images ("precise BN").

Keras's MobileNetV2 averages its statistics with momentum 0.999, so they trail the
weights by a thousand steps: in a short run the same weights score far below what they
are worth. Statistics taken afresh over a few hundred training images show it.
"""

from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf


def batch_normalisations(
    network: keras.Model,
) -> list[keras.layers.BatchNormalization]:
    """All batch normalisation layers of a network, nested models included."""
    return [
        layer
        for layer in network._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


class BatchNormRecalibration(keras.callbacks.Callback):
    """Recalibrates before each validation, so that scores and checkpoints hold it.

    Attributes:
        images: dataset of prepared image batches, the same at each pass; to be set
            before `fit`.
    """

    def __init__(self):
        super().__init__()
        self.images: tf.data.Dataset | None = None
        self._forward = None

    def on_train_begin(self, logs=None):
        network = self.model.network
        if self._forward is None:
            self._forward = tf.function(lambda images: network(images, training=True))

    def on_test_begin(self, logs=None):
        recalibrate(self.model.network, self.images, self._forward)


def recalibrate(
    network: keras.Model,
    batches: Iterable[tf.Tensor],
    run: Callable[[tf.Tensor], tf.Tensor],
) -> None:
    """Replaces the moving statistics by those of the given images, in place.

    Means are averaged over the batches; variances are taken within and between them.
    Weights are not changed, nor are frozen layers, which use their statistics.

    Args:
        network: the network; each layer's statistics are those of inputs that the
            layers before normalised by their batch.
        batches: prepared images `(B, H, W, 3)`; every batch counts the same.
        run: calls the network in training mode (compiled once by the caller).
    """
    layers = [layer for layer in batch_normalisations(network) if layer.trainable]
    if not layers:
        return
    means = [0.0] * len(layers)
    squares = [0.0] * len(layers)
    count = 0
    for images in batches:
        for layer in layers:
            # From zero, one update leaves exactly (1 - momentum) x the batch's value.
            layer.moving_mean.assign(np.zeros(layer.moving_mean.shape))
            layer.moving_variance.assign(np.zeros(layer.moving_variance.shape))
        run(images)
        count += 1
        for i, layer in enumerate(layers):
            share = 1 - layer.momentum
            mean = _values(layer.moving_mean) / share
            variance = _values(layer.moving_variance) / share
            means[i] += mean
            squares[i] += variance + mean**2
    for layer, mean, square in zip(layers, means, squares, strict=True):
        mean = mean / count
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(np.maximum(square / count - mean**2, 0))


def _values(variable: keras.Variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable).astype(np.float64)
