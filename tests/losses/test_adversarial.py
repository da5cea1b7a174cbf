"""Losses of the two players, for probabilities and for logits."""

import numpy as np
import pytest
import tensorflow as tf

from losses import adversarial_loss, discriminator_loss

SHAPE = (2, 3, 3, 1)


def filled(value: float, dtype: str = "float32") -> np.ndarray:
    return np.full(SHAPE, value, dtype)


def cross_entropy(label: float, p: float) -> float:
    return -(label * np.log(p) + (1 - label) * np.log(1 - p))


def test_discriminator_loss_by_hand():
    # Real 0.8 against 0.9: -(0.9 ln 0.8 + 0.1 ln 0.2) = 0.200829 + 0.160944
    # Fake 0.3 against 0:   -ln 0.7 = 0.356675
    got = float(discriminator_loss(filled(0.8), filled(0.3)))
    assert got == pytest.approx(0.361773 + 0.356675, abs=1e-5)


def test_adversarial_loss_by_hand():
    # The generator wants its 0.3 called real: -ln 0.3
    assert float(adversarial_loss(filled(0.3))) == pytest.approx(1.203973, abs=1e-5)


def test_logits_are_probabilities_before_the_sigmoid():
    real, fake = np.log(0.8 / 0.2), np.log(0.3 / 0.7)
    got = float(discriminator_loss(filled(real), filled(fake), from_logits=True))
    assert got == pytest.approx(0.361773 + 0.356675, abs=1e-5)
    got = float(adversarial_loss(filled(fake), from_logits=True))
    assert got == pytest.approx(1.203973, abs=1e-5)


def test_mean_over_all_patches():
    rng = np.random.default_rng(0)
    real, fake = rng.uniform(0.1, 0.9, (2, *SHAPE)).astype("float32")
    expected = cross_entropy(0.9, real).mean() + cross_entropy(0, fake).mean()
    assert float(discriminator_loss(real, fake)) == pytest.approx(expected, abs=1e-5)
    expected = cross_entropy(1, fake).mean()
    assert float(adversarial_loss(fake)) == pytest.approx(expected, abs=1e-5)


def test_label_smoothing_is_one_sided():
    """The best answer to a true mask is 0.9, to a prediction 0."""
    reals = [0.8, 0.9, 0.99]
    losses = [float(discriminator_loss(filled(r), filled(0.1))) for r in reals]
    assert min(losses) == losses[1]
    fakes = [0.0, 0.1, 0.2]
    losses = [float(discriminator_loss(filled(0.9), filled(f))) for f in fakes]
    assert min(losses) == losses[0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("extreme", [0.0, 1.0])
def test_certain_probabilities_stay_finite(dtype, extreme):
    output = tf.cast(filled(extreme), dtype)
    with tf.GradientTape() as tape:
        tape.watch(output)
        total = discriminator_loss(output, output) + adversarial_loss(output)
    assert np.isfinite(float(total))
    assert np.isfinite(tf.cast(tape.gradient(total, output), "float32")).all()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("extreme", [-6e4, 6e4])
def test_extreme_logits_stay_finite(dtype, extreme):
    output = filled(extreme, dtype)
    total = discriminator_loss(output, output, from_logits=True)
    total += adversarial_loss(output, from_logits=True)
    assert np.isfinite(float(total))
