"""The fused batch normalisations compute what Keras's and PyTorch's own do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.batch_normalization import (
    FusedBatchNormalization,
    fuse_batch_normalisation,
)


@pytest.fixture(params=["fused kernel", "elementwise"])
def kernel(request, monkeypatch):
    """Both ways to compute; TensorFlow has the fused one, other backends do not."""
    if request.param == "elementwise":
        monkeypatch.setattr(keras.backend, "backend", lambda: "another")


def _network() -> keras.Model:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 12, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    return keras.Model(inputs, keras.layers.Conv2D(1, 1)(keras.layers.ReLU()(x)))


def _step(network, images) -> tuple[np.ndarray, list, list]:
    with tf.GradientTape() as tape:
        outputs = network(images, training=True)
        loss = tf.reduce_sum(outputs**2)
    gradients = tape.gradient(loss, network.trainable_variables)
    return outputs.numpy(), gradients, network.get_weights()


def test_same_outputs_gradients_and_moving_statistics(kernel):
    images = np.random.default_rng(0).normal(2, 3, (5, 8, 12, 3)).astype("float32")
    plain, fused = _network(), _network()
    fuse_batch_normalisation(fused)
    for expected, got in zip(_step(plain, images), _step(fused, images), strict=True):
        for a, b in zip(expected, got, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)
    moving_variance = fused.get_weights()[5]
    assert not np.allclose(moving_variance, 1)  # it did move


def test_inference_and_saving_stay_keras(tmp_path):
    images = np.random.default_rng(1).normal(size=(2, 8, 12, 3)).astype("float32")
    network = _network()
    expected = network(images, training=False).numpy()
    fuse_batch_normalisation(network)
    network.save(tmp_path / "fused.keras")
    loaded = keras.saving.load_model(tmp_path / "fused.keras")
    np.testing.assert_array_equal(network(images, training=False), expected)
    np.testing.assert_array_equal(loaded(images, training=False), expected)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_stays_finite(policy, kernel):
    keras.config.set_dtype_policy(policy)
    try:
        network = _network()
    finally:
        keras.config.set_dtype_policy("float32")
    fuse_batch_normalisation(network)
    outputs, gradients, _ = _step(network, np.ones((2, 8, 12, 3), "float32"))
    assert all(np.isfinite(np.asarray(g, "float32")).all() for g in gradients)


def test_pytorchs_is_the_keras_norm_with_unbiased_variance(kernel):
    x = np.random.default_rng(0).uniform(0, 3, (2, 4, 4, 5)).astype("float32")
    x += np.arange(5)
    fused = FusedBatchNormalization(momentum=0.9, epsilon=1e-5)
    plain = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    assert np.allclose(fused(x, training=True), plain(x, training=True), atol=1e-5)
    assert np.allclose(fused.moving_mean, plain.moving_mean, atol=1e-6)
    # 0.9 of the initial 1, 0.1 of the batch's: n - 1 = 31 under the sum, not n = 32.
    expected = 0.9 + 0.1 * x.reshape(32, 5).var(axis=0, ddof=1)
    assert np.allclose(fused.moving_variance, expected, atol=1e-6)
