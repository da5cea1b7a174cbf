"""The inference rewrite computes what the generator computes."""

from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import ndtr

from models import IMAGE_CONVENTIONS, build_model
from models.checkpoints import Checkpoint
from models.inference import (
    build_inference_model,
    build_rgb_model,
    rational_gelu,
    replace_erf,
)
from models.pvt_v2 import exact_gelu


@pytest.fixture(
    scope="module", params=[(48, 32), (None, None)], ids=["fixed_size", "any_size"]
)
def size(request):
    return request.param


@pytest.fixture(scope="module", params=[True, False], ids=["se", "no_se"])
def generator(request, size):
    """LGPS whose every weight, batch normalisation statistics included, matters."""
    keras.utils.set_random_seed(0)
    model = build_model("lgps", (*size, 3), use_se=request.param)
    rng = np.random.default_rng(0)
    model.set_weights(
        [
            # Kernels keep their scale; vectors (biases, BN) become anything above 0.
            w if w.ndim > 1 else rng.uniform(0.5, 1.5, w.shape)
            for w in model.get_weights()
        ]
    )
    return model


def test_same_probabilities(generator):
    images = np.random.default_rng(1).uniform(-1, 1, (2, 48, 32, 3)).astype("f4")
    expected = np.asarray(generator(images))
    found = np.asarray(build_inference_model(generator)(images))
    assert np.ptp(expected) > 1e-3  # a saturated output would agree with anything
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_batch_normalisation_is_left():
    rewritten = build_inference_model(build_model("lgps", (32, 32, 3)))
    # 1,084,961 without the BN's γ, β, mean and variance, and with the encoder's biases.
    assert rewritten.count_params() == 1_055_969


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("rewrite", [True, False])
def test_rgb_model_prepares_its_input(generator, dtype, rewrite):
    images = np.random.default_rng(1).integers(0, 256, (2, 48, 32, 3)).astype(dtype)
    expected = np.asarray(generator(images / np.float32(127.5) - 1))
    checkpoint = Checkpoint(generator, "lgps", generator.input_shape[1:3], Path())
    model = build_rgb_model(checkpoint, rewrite, dtype=dtype)
    assert model.name == "lgps" and model.input.dtype == dtype
    assert (model.count_params() < generator.count_params()) == rewrite
    np.testing.assert_allclose(np.asarray(model(images)), expected, atol=1e-5)


def test_channel_order_and_range_are_inside_the_graph():
    """A network that gives its first channel tells which channel it was fed."""
    inputs = keras.Input((2, 2, 3))
    network = keras.Model(inputs, inputs[..., :1])
    frame = np.zeros((1, 2, 2, 3), np.uint8)
    frame[..., 2] = 255  # blue
    results = {}
    for name in IMAGE_CONVENTIONS:
        checkpoint = Checkpoint(network, name, (2, 2), Path())
        model = build_rgb_model(checkpoint, dtype="uint8")
        results[name] = float(np.asarray(model(frame)).mean())
    assert results == {"lgps": -1.0, "pvtseg": 1.0}


def test_other_models_pass_unchanged():
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(1, 1)])
    assert build_inference_model(model) is model


def test_gelu_without_erf():
    """GELU is x times the normal distribution function."""
    x = np.linspace(-9, 9, 2001).astype("f4")
    np.testing.assert_allclose(rational_gelu(x), x * ndtr(x.astype("f8")), atol=2e-6)


def test_every_gelu_is_replaced():
    model = build_model("pvtseg", (32, 32, 3), encoder="pvt_v2_b0")
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    expected = np.asarray(model(image))
    replace_erf(model)
    (encoder,) = (layer for layer in model.layers if isinstance(layer, keras.Model))
    functions = [getattr(layer, "activation", None) for layer in encoder.layers]
    assert exact_gelu not in functions and functions.count(rational_gelu) == 8
    np.testing.assert_allclose(np.asarray(model(image)), expected, atol=1e-5)
