"""Batch normalisation statistics taken afresh over given images."""

import keras
import numpy as np

from data.demo import write_prepared
from training.options import Stage
from training.recalibrate import recalibrate
from training.recipes import new_options
from training.run import load_samples, recalibration_images


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


def test_frozen_layers_keep_their_statistics():
    inputs = keras.Input((4, 4, 2))
    frozen = keras.layers.BatchNormalization(trainable=False)
    after = keras.layers.BatchNormalization()
    network = keras.Model(inputs, after(frozen(inputs)))
    frozen.moving_mean.assign([5.0, 5.0])
    images = np.full((3, 4, 4, 2), 7, "float32")
    recalibrate(network, [images], lambda images: network(images, training=True))
    np.testing.assert_array_equal(frozen.moving_mean.numpy(), [5, 5])
    np.testing.assert_allclose(after.moving_mean.numpy(), [2, 2], rtol=1e-2)


def test_images_are_augmented_and_the_same_at_each_pass(tmp_path):
    write_prepared(tmp_path / "demo", 12, 4, 32, seed=0)
    given = {"data_path": [str(tmp_path / "demo")], "bn_recalibrate": 8}
    stage = Stage(1, ((32, 1.0),))
    passes = {}
    for name in ("none", "mild"):
        options = new_options(given | {"augmentation": name, "batch_size": 4})
        samples, _ = load_samples(options)
        dataset = recalibration_images(samples, (32, 32), stage, options)
        first, second = (np.concatenate(list(dataset)) for _ in range(2))
        assert first.shape == (8, 32, 32, 3)
        np.testing.assert_array_equal(first, second)
        passes[name] = first
    assert not np.isclose(passes["none"], passes["mild"], atol=1e-3).all()
