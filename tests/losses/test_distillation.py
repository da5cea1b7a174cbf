"""The loss of a student against a plain NumPy twin."""

import numpy as np
import pytest

from losses import distillation_loss


def twin(t, p) -> float:
    dice = [
        1 - (2 * (a * b).sum() + 1) / ((a**2 + b**2).sum() + 1)
        for a, b in zip(t, p, strict=True)
    ]
    entropy = -t * np.log(p) - (1 - t) * np.log(1 - p)
    return np.mean(dice) + 2 * entropy.mean()


def test_agrees_with_the_twin():
    rng = np.random.default_rng(0)
    teacher, guess = rng.uniform(0.05, 0.95, (2, 3, 8, 6, 1)).astype("float32")
    expected = twin(teacher.astype(float), guess.astype(float))
    assert float(distillation_loss(teacher, guess)) == pytest.approx(expected, rel=1e-5)


def test_is_lowest_at_the_teacher_s_own_map():
    teacher = np.full((1, 8, 8, 1), 0.3, "float32")
    at, below, above = (
        float(distillation_loss(teacher, teacher + shift)) for shift in (0, -0.1, 0.1)
    )
    assert at < below and at < above
