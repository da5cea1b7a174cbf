"""Batch normalisation statistics taken afresh over given images."""

import keras
import numpy as np

from training.recalibrate import recalibrate


def test_statistics_are_those_of_all_given_images():
    inputs = keras.Input((4, 4, 2))
    network = keras.Model(
        inputs, keras.layers.BatchNormalization(momentum=0.999)(inputs)
    )
    rng = np.random.default_rng(0)
    # Batches of different mean: the variance between them counts too.
    batches = [
        rng.normal(shift, 2, (6, 4, 4, 2)).astype("float32") for shift in (0, 5, 9)
    ]
    recalibrate(network, batches, lambda images: network(images, training=True))
    _, _, mean, variance = network.get_weights()
    everything = np.concatenate(batches)
    np.testing.assert_allclose(mean, everything.mean(axis=(0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(variance, everything.var(axis=(0, 1, 2)), rtol=1e-4)


def test_weights_stay_and_a_network_without_batch_norm_is_left_alone():
    inputs = keras.Input((4, 4, 2))
    network = keras.Model(inputs, keras.layers.Conv2D(1, 1)(inputs))
    before = network.get_weights()
    recalibrate(network, [np.ones((1, 4, 4, 2), "float32")], network)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
