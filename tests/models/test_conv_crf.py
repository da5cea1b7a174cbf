"""Mean-field ConvCRF against a twin in plain loops, and what it is for."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.conv_crf import MeanFieldCRF

SETTINGS = {
    "filter_size": 5,
    "iterations": 3,
    "theta_gamma": 1.5,
    "theta_alpha": 4.0,
    "theta_beta": 30.0,
    "smoothness_weight": 0.8,
    "appearance_weight": 1.3,
}
COMPATIBILITY = np.array([[0.9, -0.2], [0.1, 1.1]])


def random_inputs(*size: int, batch: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, (batch, *size, 1)).astype("float32")
    return logits, rng.uniform(-0.3, 0.3, (batch, *size, 3)).astype("float32")


def loop_mean_field(logits: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """The formula of the docstring with blur 1, one pair of pixels at a time.

    Args:
        logits: `(h, w)`.
        guide: `(h, w, 3)` in [-1, 1].
    """
    cells = list(itertools.product(*map(range, logits.shape)))
    reach = SETTINGS["filter_size"] // 2

    def kernels(p, q) -> np.ndarray:
        dy, dx = p[0] - q[0], p[1] - q[1]
        if not 0 < abs(dy) + abs(dx) <= reach:
            return np.zeros(2)
        place = dy**2 + dx**2
        colour = np.sum((127.5 * (guide[p].astype(float) - guide[q])) ** 2)
        return np.exp([
            -place / (2 * SETTINGS["theta_gamma"] ** 2),
            -place / (2 * SETTINGS["theta_alpha"] ** 2)
            - colour / (2 * SETTINGS["theta_beta"] ** 2),
        ])  # fmt: skip

    sums = {p: sum(kernels(p, q) for q in cells) for p in cells}
    weights = [SETTINGS["smoothness_weight"], SETTINGS["appearance_weight"]]
    foreground = {p: 1 / (1 + np.exp(-float(logits[p]))) for p in cells}
    unary = {p: np.log([1 - f, f]) for p, f in foreground.items()}
    scores = dict(unary)
    for _ in range(SETTINGS["iterations"]):
        beliefs = {p: np.exp(s) / np.exp(s).sum() for p, s in scores.items()}
        for p in cells:
            message = np.zeros(2)
            for q in cells:
                k = kernels(p, q) / np.sqrt(sums[p] * sums[q])
                message += weights @ k * beliefs[q]
            scores[p] = unary[p] + message @ COMPATIBILITY
    result = np.zeros(logits.shape)
    for p in cells:
        result[p] = scores[p][1] - scores[p][0]
    return result


def test_against_plain_loops():
    logits, guide = random_inputs(5, 6)
    layer = MeanFieldCRF(blur=1, **SETTINGS)
    layer.build([logits.shape, guide.shape])
    layer.compatibility.assign(COMPATIBILITY)
    got = layer([logits, guide])
    expected = loop_mean_field(logits[0, ..., 0], guide[0])
    assert np.abs(expected - logits[0, ..., 0]).max() > 0.5  # it does something
    np.testing.assert_allclose(got[0, ..., 0], expected, atol=1e-4)


@pytest.mark.parametrize("iterations, reached", [(1, 2), (2, 4)])
def test_messages_stay_within_the_diamond(iterations, reached):
    """Filter size 5 passes a message 2 cells on per step, counted along the axes."""
    logits = np.zeros((1, 13, 13, 1), "float32")
    guide = np.zeros((1, 13, 13, 3), "float32")
    layer = MeanFieldCRF(filter_size=5, iterations=iterations, blur=1)
    before = layer([logits, guide])
    logits[0, 6, 6] = 3
    changed = np.abs(layer([logits, guide]) - before)[0, ..., 0] > 1e-4
    rows, columns = np.indices((13, 13))
    diamond = np.abs(rows - 6) + np.abs(columns - 6) <= reached
    np.testing.assert_array_equal(changed, diamond)


def test_removes_salt_and_keeps_the_edge_of_the_image():
    """Left half of the image is dark background, right half bright foreground."""
    rng = np.random.default_rng(0)
    truth = np.zeros((24, 24))
    truth[:, 12:] = 1
    guide = np.repeat(np.where(truth, 0.6, -0.6)[None, ..., None], 3, axis=-1)
    salt = rng.random(truth.shape) < 0.1
    logits = np.where(truth != salt, 1.5, -1.5)[None, ..., None]
    layer = MeanFieldCRF(filter_size=7, blur=1)
    refined = layer([logits.astype("float32"), guide.astype("float32")])
    wrong = (np.asarray(refined)[0, ..., 0] > 0) != (truth == 1)
    assert salt.sum() > 40 and salt[:, 11:13].any()
    assert wrong.sum() == 0


def test_gradients_reach_logits_guide_and_weights():
    logits, guide = (tf.constant(x) for x in random_inputs(8, 9))
    layer = MeanFieldCRF(blur=2, **SETTINGS)
    with tf.GradientTape() as tape:
        tape.watch([logits, guide])
        loss = tf.reduce_sum(layer([logits, guide]) ** 2)
    sources = [logits, guide, *(weight.value for weight in layer.trainable_weights)]
    assert len(sources) == 4
    for gradient in tape.gradient(loss, sources):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_config_round_trip():
    layer = MeanFieldCRF(blur=2, name="crf", **SETTINGS)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.get_config() == layer.get_config()
    assert SETTINGS.items() <= again.get_config().items()
    inputs = random_inputs(6, 5)
    np.testing.assert_array_equal(again(inputs), layer(inputs))


@pytest.mark.parametrize("filter_size", [1, 4])
def test_bad_filter_size(filter_size):
    with pytest.raises(ValueError, match=f"Received: filter_size={filter_size}"):
        MeanFieldCRF(filter_size=filter_size)


def test_dynamic_size_inside_a_model():
    """One model for every size, the guide larger than the logits, as in training."""
    logits = keras.Input((None, None, 1))
    guide = keras.Input((None, None, 3))
    model = keras.Model([logits, guide], MeanFieldCRF(filter_size=5)([logits, guide]))
    assert model.output_shape == (None, None, None, 1)
    compiled = tf.function(lambda *inputs: model(inputs))
    for height, width in ((8, 12), (7, 10)):
        small, _ = random_inputs(height, width, batch=2)
        _, large = random_inputs(4 * height, 4 * width, batch=2)
        y = compiled(small, large)
        assert y.shape == (2, height, width, 1) and np.isfinite(y).all()
        np.testing.assert_allclose(y, model([small, large]), atol=1e-5)


@pytest.mark.parametrize("height, width", [(16, 16), (13, 18), (14, 15), (3, 5)])
def test_blur_treats_all_sides_alike(height, width):
    """Mirrored inputs give the mirrored result, whether 4 divides the size or not."""
    logits, guide = random_inputs(height, width)
    layer = MeanFieldCRF(filter_size=5, blur=4)
    plain = np.asarray(layer([logits, guide]))
    assert plain.shape == logits.shape
    assert np.abs(plain - logits).max() > 0.5
    for axis, size in ((1, height), (2, width)):
        mirrored = layer([np.flip(logits, axis).copy(), np.flip(guide, axis).copy()])
        # An odd rest cannot be padded alike on both sides.
        if (-size % 4) % 2 == 0:
            np.testing.assert_allclose(np.flip(mirrored, axis), plain, atol=1e-4)


def test_large_logits_stay_finite():
    logits = np.array([-1e4, 1e4, 0, 80], "float32").reshape(1, 2, 2, 1)
    y = np.asarray(
        MeanFieldCRF(filter_size=3, blur=1)([logits, np.zeros((1, 2, 2, 3))])
    )
    assert np.isfinite(y).all() and y[0, 0, 0, 0] < -9000 and y[0, 0, 1, 0] > 9000
