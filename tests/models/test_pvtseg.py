"""PVTSeg: size, shape, gradients, saving, precision, parity with PyTorch."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.demo import draw_frame
from losses.pvtseg import PVTSegLoss
from models import IMAGE_CONVENTIONS, build_model
from models.pvtseg import AlignCornersUpSampling2D
from tools.check_parity import FIXTURE_SIZES, random_image, random_parameter
from tools.convert_pth import convert

FIXTURE = Path(__file__).parent / "pvtseg_b0_parity.npz"
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return build_model("pvtseg", (None, None, 3), encoder="pvt_v2_b0")


def images(*shape):
    return np.random.default_rng(0).uniform(size=shape).astype("float32")


def test_b3_has_the_published_number_of_parameters():
    model = build_model("pvtseg")

    def count(layer):
        return sum(int(np.prod(w.shape)) for w in layer.trainable_weights)

    # PyTorch counts no moving averages: 2 × 64 of them in each of 19 batch norms.
    assert count(model) == 45_306_945
    assert count(model.get_layer("pvt_v2_b3")) == 44_725_696
    assert model.count_params() == 45_306_945 + 19 * 2 * 64


def test_any_size_divisible_by_32(model):
    for height, width in ((32, 32), (64, 96)):
        y = keras.ops.convert_to_numpy(model(images(2, height, width, 3)))
        assert y.shape == (2, height, width, 1) and y.dtype == "float32"
        assert 0 <= y.min() < y.max() <= 1


def test_every_trainable_weight_gets_a_finite_gradient(model):
    with tf.GradientTape() as tape:
        loss = keras.ops.mean(keras.ops.square(model(images(2, 64, 64, 3)) - 1))
    variables = [w.value for w in model.trainable_weights]
    for weight, gradient in zip(
        model.trainable_weights, tape.gradient(loss, variables), strict=True
    ):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_save_and_load(model, tmp_path, name):
    path = tmp_path / name
    model.save(path)
    x = images(1, 64, 96, 3)
    expected = model(x)
    # Without custom_objects, and as weights at another size than it was saved with.
    assert np.allclose(keras.models.load_model(path)(x), expected, atol=1e-6)
    resized = build_model("pvtseg", (64, 96, 3), encoder="pvt_v2_b0")
    resized.load_weights(path)
    assert np.allclose(resized(x), expected, atol=1e-6)


@pytest.mark.slow
def test_learns_four_frames_by_heart():
    keras.utils.set_random_seed(0)
    frames = [draw_frame(seed, 64) for seed in range(4)]
    x = IMAGE_CONVENTIONS["pvtseg"].prepare(np.float32([image for image, _ in frames]))
    y = np.float32([mask for _, mask in frames])[..., None]
    model = build_model("pvtseg", (64, 64, 3), encoder="pvt_v2_b0")
    model.compile(keras.optimizers.Adam(1e-3), loss=PVTSegLoss(), jit_compile=False)
    for _ in range(10):
        model.fit(x, y, batch_size=4, epochs=10, verbose=0)
        predicted = model.predict(x, verbose=0) > 0.5
        dice = 2 * (predicted * y).sum() / (predicted.sum() + y.sum())
        if dice > 0.95:
            return
    pytest.fail(f"Dice {dice:.3f} after 100 steps")


def test_mixed_precision_stays_finite_and_float32_outside():
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = build_model("pvtseg", (64, 64, 3), encoder="pvt_v2_b0")
        for training in (False, True):
            y = model(images(2, 64, 64, 3), training=training)
            assert y.dtype == "float32" and np.isfinite(y).all()
        assert model.get_layer("c4_conv_0").compute_dtype == "float16"
    finally:
        keras.mixed_precision.set_global_policy(before)


def test_align_corners_by_hand():
    # Row i of 4 reads between rows i / 3 of 2: 0, 1, 2, 3 from 0 and 3.
    x = np.array([0, 3], "float32").reshape(1, 2, 1, 1)
    y = keras.ops.convert_to_numpy(AlignCornersUpSampling2D(2)(x))
    assert y.shape == (1, 4, 2, 1)
    assert y[0, :, 0, 0] == pytest.approx([0, 1, 2, 3], abs=1e-6)
    assert np.array_equal(y[:, :, 0], y[:, :, 1])


def test_align_corners_against_tensorflow():
    x = images(2, 5, 7, 3)
    expected = tf.compat.v1.image.resize_bilinear(x, (20, 28), align_corners=True)
    assert np.allclose(AlignCornersUpSampling2D(4)(x), expected, atol=1e-6)


def test_parity_with_pytorch(model):
    """The fixture is PyTorch's output, written by tools/check_parity.py."""
    fixture = np.load(FIXTURE)
    state = {
        key: random_parameter(key, tuple(shape))
        for key, shape in json.loads(str(fixture["shapes"])).items()
    }
    model.set_weights(convert(state, "fixture").get_weights())
    encoder = model.get_layer("pvt_v2_b0")
    logits = keras.Model(model.input, model.get_layer("y").output)
    for height, width in FIXTURE_SIZES:
        name = f"{height}x{width}"
        image = random_image((height, width))
        difference = np.abs(logits(image) - fixture[f"logits_{name}"])
        assert difference.max() <= TOLERANCE
        for stage, output in enumerate(encoder(image), start=1):
            expected = fixture[f"stage{stage}_{name}"]
            difference = np.abs(output - expected) / expected.std()
            assert difference.max() <= TOLERANCE
