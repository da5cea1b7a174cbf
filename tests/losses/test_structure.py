"""PraNet's structure loss against a plain NumPy twin."""

import numpy as np
import pytest

from losses import structure_loss


def twin_structure_loss(t, p) -> float:
    """Window by window, image by image."""
    t, p = t[..., 0].astype("float64"), p[..., 0].astype("float64")
    losses = []
    for truth, guess in zip(t, p, strict=True):
        padded = np.pad(truth, 15)
        mean = np.array(
            [
                [padded[y : y + 31, x : x + 31].mean() for x in range(truth.shape[1])]
                for y in range(truth.shape[0])
            ]
        )
        weight = 1 + 5 * np.abs(mean - truth)
        entropy = -truth * np.log(guess) - (1 - truth) * np.log(1 - guess)
        overlap = (weight * truth * guess).sum()
        union = (weight * (truth + guess)).sum() - overlap
        iou = (overlap + 1) / (union + 1)
        losses.append((weight * entropy).sum() / weight.sum() + 1 - iou)
    return np.mean(losses)


def test_agrees_with_the_twin():
    rng = np.random.default_rng(0)
    truth = np.zeros((2, 40, 48, 1), "float32")
    truth[0, :12, 5:30] = 1  # touches the frame's edge, where zeros are averaged in
    guess = rng.uniform(0.05, 0.95, truth.shape).astype("float32")
    expected = twin_structure_loss(truth, guess)
    assert float(structure_loss(truth, guess)) == pytest.approx(expected, rel=1e-5)


def test_a_perfect_prediction_costs_nothing_and_a_wrong_one_much():
    truth = np.zeros((1, 32, 32, 1), "float32")
    truth[:, 8:20, 8:20] = 1
    assert float(structure_loss(truth, truth)) == pytest.approx(0, abs=1e-5)
    assert float(structure_loss(truth, 1 - truth)) > 10
