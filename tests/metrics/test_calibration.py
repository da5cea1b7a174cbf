"""Calibration sums, the expected calibration error and temperatures, by hand."""

import numpy as np
import pytest

from metrics.calibration import (
    calibrated,
    calibration_curve,
    calibration_sums,
    expected_calibration_error,
    fit_temperature,
    logit_counts,
    sums_at_temperature,
)


def test_error_by_hand():
    # Four pixels at 0.9, three of them polyp; six at 0.1, none of them.
    probability = np.array([[0.9] * 4 + [0.1] * 6])
    truth = np.array([[1, 1, 1, 0] + [0] * 6])
    sums = calibration_sums(truth, probability)
    mean, polyp, share = calibration_curve(sums)
    assert mean == pytest.approx([0.1, 0.9])
    assert polyp == pytest.approx([0, 0.75])
    assert share == pytest.approx([0.6, 0.4])
    # 0.6 · |0 - 0.1| + 0.4 · |0.75 - 0.9|
    assert expected_calibration_error(sums) == pytest.approx(0.12)


def test_certain_and_right_is_calibrated():
    truth = np.eye(5)
    assert expected_calibration_error(calibration_sums(truth, truth)) == 0


def test_images_add_up():
    rng = np.random.default_rng(0)
    truth, probability = rng.integers(0, 2, (2, 6, 6)), rng.random((2, 6, 6))
    together = calibration_sums(truth, probability)
    apart = sum(
        calibration_sums(*pair) for pair in zip(truth, probability, strict=True)
    )
    np.testing.assert_allclose(apart, together)


def test_temperature_by_hand():
    # Of ten pixels with logit 4, eight are polyp: the probability with the smallest
    # cross entropy is 0.8, so 4 / T = log(0.8 / 0.2) and T = 4 / 1.3863 = 2.885.
    probability = np.full(10, 1 / (1 + np.exp(-4)))
    truth = np.array([1] * 8 + [0] * 2)
    counts = logit_counts(truth, probability)
    temperature = fit_temperature(counts)
    assert temperature == pytest.approx(2.885, abs=0.001)
    np.testing.assert_allclose(calibrated(probability, temperature), 0.8, atol=1e-4)
    # |0.8 - 0.98201| without, 0 with the temperature.
    error = expected_calibration_error
    assert error(sums_at_temperature(counts, 1)) == pytest.approx(0.18201, abs=1e-4)
    assert error(sums_at_temperature(counts, temperature)) < 1e-4


def test_temperature_recovers_what_was_divided():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (40, 40, 20))
    truth = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    too_sure = 1 / (1 + np.exp(-2.5 * logits))
    assert fit_temperature(logit_counts(truth, too_sure)) == pytest.approx(2.5, abs=0.1)


def test_certain_pixels_have_finite_logits():
    truth = np.array([0, 1])
    counts = logit_counts(truth, np.array([0.0, 1.0]))
    assert counts[0].tolist() == [1, 0]
    assert counts[-1].tolist() == [0, 1]
    assert calibrated(np.array([0.0, 0.5, 1.0]), 2.0).tolist() == [0, 0.5, 1]
    # The pixels of several images add up.
    np.testing.assert_array_equal(
        logit_counts(np.tile(truth, 2), np.tile([0.0, 1.0], 2)), 2 * counts
    )
