"""LGPS discriminator, with the published and the real ConvCRF."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.discriminator import build_discriminator


def inputs(height: int, width: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (2, height, width, 3)).astype("float32")
    return [image, rng.random((2, height, width, 1)).astype("float32")]


@pytest.fixture(scope="module", params=["published", "meanfield"])
def model(request) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_discriminator((None, None, 3), crf=request.param)


def test_number_of_parameters(model):
    # The four 3×3 convolutions (4 · 10) give way to 2 kernel weights and a 2×2 matrix.
    expected = {"published": 1_557_353, "meanfield": 1_557_353 - 40 + 6}
    assert model.count_params() == expected[model.name.removeprefix("discriminator_")]


def test_output_grid(model):
    assert build_discriminator((256, 256, 3)).output_shape == (None, 8, 8, 1)
    for height, width, grid in ((64, 96, (2, 3)), (48, 80, (2, 3))):
        y = model(inputs(height, width))
        assert y.shape == (2, *grid, 1) and y.dtype == "float32"


def test_published_output_cannot_say_fake():
    """Sigmoid of a sigmoid: from sigmoid(0) = 0.5 to sigmoid(1) = 0.731."""
    model = build_discriminator((32, 32, 3))
    rng = np.random.default_rng(1)
    for scale in (0.1, 10):
        model.set_weights([rng.normal(0, scale, w.shape) for w in model.get_weights()])
        y = np.asarray(model(inputs(32, 32)))
        assert 0.5 <= y.min() and y.max() <= 0.7311


def test_meanfield_output_is_unbounded_logits():
    model = build_discriminator((32, 32, 3), crf="meanfield")
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(0, 0.3, w.shape) for w in model.get_weights()])
    y = np.asarray(model(inputs(32, 32)))
    assert y.min() < 0 or y.max() > 1


def test_it_sees_image_and_mask(model):
    image, mask = inputs(64, 64)
    y = np.asarray(model([image, mask]))
    assert np.abs(y - model([image, 1 - mask])).max() > 0
    assert np.abs(y - model([-image, mask])).max() > 0


def test_every_trainable_weight_gets_a_finite_gradient(model):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(inputs(64, 96)) - 2) ** 2)
    variables = [weight.value for weight in model.trainable_weights]
    for weight, gradient in zip(
        model.trainable_weights, tape.gradient(loss, variables), strict=True
    ):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("crf", ["published", "meanfield"])
def test_mixed_precision_gives_finite_float32(policy, crf):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        mixed = build_discriminator((64, 64, 3), crf=crf)
    finally:
        keras.config.set_dtype_policy(before)
    y = mixed(inputs(64, 64))
    assert y.dtype == "float32" and np.isfinite(y).all()


def test_save_and_load(model, tmp_path):
    model.save(tmp_path / "discriminator.keras")
    loaded = keras.saving.load_model(tmp_path / "discriminator.keras")
    x = inputs(64, 64)
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)


def test_unknown_crf():
    with pytest.raises(ValueError, match="published, meanfield. Received: 'none'"):
        build_discriminator(crf="none")
