"""LGPS: size, shape, range, gradients, saving, precision, encoder weights."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from models import build_model
from models.lgps import DECODER_BLOCKS, build_encoder, load_encoder_weights

IMAGENET_FILE = (
    Path(__file__).parents[3]
    / "shared/weights/mobilenet_v2_imagenet_block13.weights.h5"
)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_model("lgps", (None, None, 3))


@pytest.fixture(scope="module")
def mobilenet() -> keras.Model:
    keras.utils.set_random_seed(1)
    whole = keras.applications.MobileNetV2((32, 32, 3), include_top=False, weights=None)
    randomise(whole, seed=5)
    return whole


@pytest.fixture(scope="module")
def built_encoder() -> keras.Model:
    return build_encoder((32, 32, 3))


@pytest.fixture
def encoder(built_encoder) -> keras.Model:
    """An encoder that holds nothing of what an earlier test loaded."""
    randomise(built_encoder, seed=7)
    return built_encoder


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def randomise(model: keras.Model, seed: int) -> None:
    """Gives every weight its own values, batch normalisation statistics included."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        near = 1 if weight.name in ("gamma", "moving_variance") else 0
        weight.assign(near + rng.uniform(-0.1, 0.1, weight.shape))


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def test_published_number_of_parameters(model):
    assert model.count_params() == 1_084_961
    assert trainable(model) == 1_066_145
    assert model.layers[1].count_params() == 616_256  # the encoder
    plain = build_model("lgps", (None, None, 3), use_se=False)
    assert plain.count_params() == 1_081_425
    assert trainable(plain) == 1_062_609


@pytest.mark.parametrize("use_se", [True, False])
def test_blocks_are_found_by_name(use_se):
    model = build_model("lgps", (64, 32, 3), use_se=use_se)
    for (name, stride), channels in zip(DECODER_BLOCKS, (144, 64, 32, 16), strict=True):
        output = model.get_layer(name).output
        assert output.shape == (None, 64 // stride, 32 // stride, channels)
        (conv, norm) = (
            model.get_layer(f"{name}_{part}") for part in ("conv1", "norm1")
        )
        assert norm.input is conv.output
        (consumer,) = model.get_layer(name)._outbound_nodes
        assert not consumer.operation.name.startswith(name)  # nothing of it follows
    assert model.get_layer("probability").output is model.output


def test_any_size_divisible_by_16(model):
    for height, width in ((32, 32), (48, 80)):
        y = keras.ops.convert_to_numpy(model(images(2, height, width, 3)))
        assert y.shape == (2, height, width, 1) and y.dtype == "float32"
        assert 0 <= y.min() < y.max() <= 1


def test_illegal_size_names_the_nearest():
    with pytest.raises(ValueError, match="nearest is 96×256. Received: 100×250"):
        build_model("lgps", (100, 250, 3))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_gives_float32_probabilities(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        mixed = build_model("lgps", (32, 32, 3))
    finally:
        keras.config.set_dtype_policy(before)
    for training in (False, True):
        y = mixed(images(2, 32, 32, 3), training=training)
        assert y.dtype == "float32"
        assert np.isfinite(y).all() and 0 <= np.min(y) <= np.max(y) <= 1
    assert mixed.layers[2].compute_dtype == policy.removeprefix("mixed_")


def test_every_trainable_weight_gets_a_finite_gradient(model):
    with tf.GradientTape() as tape:
        y = model(images(2, 48, 64, 3), training=False)
        loss = keras.ops.mean(keras.ops.square(y - 1))
    variables = [weight.value for weight in model.trainable_weights]
    for weight, gradient in zip(
        model.trainable_weights, tape.gradient(loss, variables), strict=True
    ):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path


def test_save_and_load(model, tmp_path):
    """As .keras; the .h5 files are tested with the checkpoints."""
    model.save(tmp_path / "model.keras")
    x = images(1, 32, 48, 3)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.allclose(loaded(x), model(x), atol=1e-6)


def test_encoder_weights_of_the_cut_encoder(encoder, tmp_path):
    path = tmp_path / "cut.weights.h5"
    encoder.save_weights(path)
    loaded = build_encoder((48, 32, 3), encoder_weights=str(path))
    for got, expected in zip(loaded.get_weights(), encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_encoder_weights_of_the_whole_mobilenet(encoder, mobilenet, tmp_path):
    """The file Keras's own applications ship: arrays by layer, in order."""
    path = tmp_path / "mobilenet_v2_no_top.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name for layer in mobilenet.layers]
        for layer in mobilenet.layers:
            group = file.create_group(layer.name)
            weights = layer.trainable_weights + layer.non_trainable_weights
            group.attrs["weight_names"] = [weight.name for weight in weights]
            for weight in weights:
                group[weight.name] = weight.numpy()
    load_encoder_weights(encoder, path)
    _check_features(encoder, mobilenet)


def test_encoder_weights_of_the_whole_mobilenet_as_saved_today(
    encoder, mobilenet, tmp_path
):
    mobilenet.save_weights(tmp_path / "whole.weights.h5")
    load_encoder_weights(encoder, tmp_path / "whole.weights.h5")
    _check_features(encoder, mobilenet)


def _check_features(encoder: keras.Model, mobilenet: keras.Model) -> None:
    names = [f"block_{block}_expand_relu" for block in (13, 1, 3, 6)]
    expected = keras.Model(
        mobilenet.input, [mobilenet.get_layer(name).output for name in names]
    )
    x = images(1, 32, 32, 3)
    for got, feature in zip(encoder(x), expected(x), strict=True):
        assert np.ptp(feature) > 0
        np.testing.assert_allclose(got, feature, atol=1e-5)


def test_missing_encoder_weights():
    with pytest.raises(ValueError, match="nowhere.weights.h5.*--encoder_weights none"):
        build_encoder((32, 32, 3), "nowhere.weights.h5")


def test_foreign_encoder_weights(encoder, tmp_path):
    text = tmp_path / "text.weights.h5"
    text.write_text("no weights at all")
    dense = tmp_path / "dense.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(dense)
    for path in (text, dense):
        with pytest.raises(ValueError, match=f"{path.name} does not fit") as caught:
            load_encoder_weights(encoder, path)
        assert "\n" not in str(caught.value)


def test_damaged_encoder_weights(encoder, tmp_path):
    path = tmp_path / "cut.weights.h5"
    encoder.save_weights(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(3):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(100, 20_000, 200)] = 255
        path.write_bytes(damaged.tobytes())
        with pytest.raises(ValueError, match="cut.weights.h5 does not fit"):
            load_encoder_weights(encoder, path)


def test_encoder_weights_that_lie_in_another_file(encoder, tmp_path):
    path, other = tmp_path / "link.weights.h5", tmp_path / "other.weights.h5"
    encoder.save_weights(other)
    with h5py.File(path, "w") as file:
        file["layers"] = h5py.ExternalLink(other.name, "layers")
    with pytest.raises(ValueError, match="it links to other places"):
        load_encoder_weights(encoder, path)


def test_encoder_weights_that_stop_short(encoder, tmp_path):
    """Keras alone would load what is there and leave the last layers random."""
    short = keras.Model(encoder.input, encoder.get_layer("block_12_add").output)
    short.save_weights(tmp_path / "short.weights.h5")
    with pytest.raises(ValueError, match="short.weights.h5 does not fit"):
        load_encoder_weights(encoder, tmp_path / "short.weights.h5")


def test_failed_download_names_the_ways_out(monkeypatch):
    def unreachable(**_):
        raise Exception("URL fetch failure on https://…: None -- no route\nmore")

    monkeypatch.setattr(keras.applications, "MobileNetV2", unreachable)
    with pytest.raises(ValueError) as caught:
        build_encoder((32, 32, 3), "imagenet")
    message = str(caught.value)
    assert "URL fetch failure" in message and "\n" not in message
    assert "--encoder_weights none" in message
    assert "--encoder_weights FILE" in message


def test_download_fits_any_size(monkeypatch):
    """Keras's 224 weights, asked for without a warning, serve another input size."""
    build, asked = keras.applications.MobileNetV2, []

    def offline(weights=None, **arguments):
        asked.append((weights, arguments["input_shape"]))
        return build(weights=None, **arguments)

    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    encoder = build_encoder((32, 48, 3), "imagenet")
    assert asked[0] == ("imagenet", (224, 224, 3))
    assert encoder.input_shape == (None, 32, 48, 3)


@pytest.mark.skipif(not IMAGENET_FILE.is_file(), reason="no ImageNet weights here")
def test_imagenet_file():
    encoder = build_encoder((32, 32, 3), str(IMAGENET_FILE))
    with h5py.File(IMAGENET_FILE) as file:
        kernel = file["layers/conv2d/vars/0"][()]
    np.testing.assert_array_equal(encoder.get_layer("Conv1").kernel, kernel)
