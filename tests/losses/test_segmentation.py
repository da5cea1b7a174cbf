"""The LGPS and PVTSeg losses: weights, numbers by hand, corner cases, a NumPy twin."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from losses import LGPSLoss, PVTSegLoss, lgps_loss, pvtseg_loss

TRUTH = np.array([1, 1, 0, 0], "float32").reshape(1, 2, 2, 1)
HALF = np.full_like(TRUTH, 0.5)
EMPTY, FULL = np.zeros_like(TRUTH), np.ones_like(TRUTH)
# Cross-entropy of a certain mistake: Keras clips probabilities to [1e-7, 1 - 1e-7].
CERTAIN_MISTAKE = -np.log(1e-7)  # 16.118
LOSSES = {"lgps": lgps_loss, "pvtseg": pvtseg_loss}


def twin(name: str, t: np.ndarray, p: np.ndarray) -> float:
    t, p = t.astype("float64"), p.astype("float64")
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    bce = -np.mean(t * np.log(clipped) + (1 - t) * np.log(1 - clipped))
    both, either = (t * p).sum(), t.sum() + p.sum()
    if name == "pvtseg":
        return bce + 1 - (2 * both + 1) / (either + 1)
    outside = ((1 - t) * (1 - p)).sum()
    foreground = (both + 1e-6) / (either - both + 1e-6)
    background = (outside + 1e-6) / (2 * t.size - either - outside + 1e-6)
    iou_loss = 1 - 0.7 * foreground - 0.3 * background
    dice_loss = 1 - (2 * both + 1e-15) / (either + 1e-15)
    return 0.4 * bce + 0.3 * iou_loss + 0.3 * dice_loss


def test_lgps_loss_by_hand():
    # BCE ln 2 = 0.693147; weighted IoU loss 2/3; Dice 2·1 / (2 + 2), so loss 1/2.
    # 0.4 · 0.693147 + 0.3 · 0.666667 + 0.3 · 0.5 = 0.277259 + 0.2 + 0.15
    assert float(lgps_loss(TRUTH, HALF)) == pytest.approx(0.627259, abs=1e-5)


def test_lgps_loss_weighs_0_4_0_3_0_3(monkeypatch):
    """Terms of 1000, 100 and 10 can be read off the sum."""
    monkeypatch.setattr("losses.lgps.weighted_iou_loss", lambda *_: 100.0)
    monkeypatch.setattr("losses.lgps.dice_loss", lambda *_: 10.0)
    monkeypatch.setattr(
        "losses.lgps.ops.binary_crossentropy", lambda *_: tf.fill((2, 2), 1000.0)
    )
    assert float(lgps_loss(TRUTH, HALF)) == pytest.approx(400 + 30 + 3)


def test_pvtseg_loss_by_hand():
    # BCE ln 2, Dice loss 1 - (2·1 + 1) / (4 + 1) = 0.4
    assert float(pvtseg_loss(TRUTH, HALF)) == pytest.approx(1.093147, abs=1e-5)


@pytest.mark.parametrize(
    "truth, prediction, lgps, pvtseg",
    [
        (TRUTH, TRUTH, 0, 0),
        (EMPTY, EMPTY, 0, 0),
        # Everything wrong. LGPS: 0.4 · 16.118 + 0.3 + 0.3;
        # PVTSeg: 16.118 + 1 - 1 / (sum of both masks + 1)
        (TRUTH, 1 - TRUTH, 0.4 * CERTAIN_MISTAKE + 0.6, CERTAIN_MISTAKE + 0.8),
        (EMPTY, FULL, 0.4 * CERTAIN_MISTAKE + 0.6, CERTAIN_MISTAKE + 0.8),
        (FULL, EMPTY, 0.4 * CERTAIN_MISTAKE + 0.6, CERTAIN_MISTAKE + 0.8),
    ],
)
def test_corner_cases(truth, prediction, lgps, pvtseg):
    # float32 holds 1 - 1e-7 to six parts in a hundred of the rest.
    assert float(lgps_loss(truth, prediction)) == pytest.approx(lgps, abs=0.1)
    assert float(pvtseg_loss(truth, prediction)) == pytest.approx(pvtseg, abs=0.25)
    if lgps == 0:
        assert abs(float(lgps_loss(truth, prediction))) < 1e-5
        assert abs(float(pvtseg_loss(truth, prediction))) < 1e-5


@pytest.mark.parametrize("name", LOSSES)
def test_against_numpy(name):
    rng = np.random.default_rng(0)
    truth = (rng.random((3, 11, 7, 1)) > 0.6).astype("float32")
    prediction = rng.uniform(0.01, 0.99, truth.shape).astype("float32")
    got = float(LOSSES[name](truth, prediction))
    assert got == pytest.approx(twin(name, truth, prediction), abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_float16_is_finite(name):
    truth = np.ones((1, 256, 256, 1), "float16")
    truth[:, :128] = 0
    for prediction in (truth, 1 - truth, np.full_like(truth, 0.5)):
        assert np.isfinite(float(LOSSES[name](truth, prediction)))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_at_certainty(name):
    prediction = tf.constant(1 - TRUTH)
    with tf.GradientTape() as tape:
        tape.watch(prediction)
        loss = LOSSES[name](TRUTH, prediction)
    assert np.isfinite(tape.gradient(loss, prediction)).all()


@pytest.mark.parametrize("name", LOSSES)
def test_bad_shape(name):
    with pytest.raises(ValueError):
        LOSSES[name](TRUTH, TRUTH[:, :1])


@pytest.mark.parametrize("loss, name", [(LGPSLoss(), "lgps"), (PVTSegLoss(), "pvtseg")])
def test_loss_objects(loss, name):
    assert float(loss(TRUTH, HALF)) == pytest.approx(float(LOSSES[name](TRUTH, HALF)))
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss) and again.name == f"{name}_loss"
