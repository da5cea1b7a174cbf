"""Calibration sums and the expected calibration error, by hand."""

import numpy as np
import pytest

from metrics.calibration import (
    calibration_curve,
    calibration_sums,
    expected_calibration_error,
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
