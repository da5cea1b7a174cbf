"""The 256-threshold sweep against plain thresholding and against PySODMetrics."""

import numpy as np
import py_sod_metrics
import pytest

from metrics.confusion import count_pixels, dice_score
from metrics.sweep import e_measure_curve, sweep_counts


@pytest.fixture
def pair():
    rng = np.random.default_rng(1)
    truth = np.zeros((20, 24), np.uint8)
    truth[4:12, 6:15] = 1
    levels = np.clip(truth * 140 + rng.normal(60, 50, truth.shape), 0, 255)
    return truth, levels.astype(np.uint8)


def test_counts_are_those_of_each_threshold(pair):
    truth, levels = pair
    counts = sweep_counts(truth, levels)
    for threshold in (255, 200, 128, 1, 0):
        expected = count_pixels(truth, levels >= threshold)
        assert counts[255 - threshold].tolist() == expected.tolist()


def test_two_pixels_by_hand():
    # One polyp pixel at 200, one background pixel at 100.
    counts = sweep_counts(np.array([[1, 0]]), np.array([[200, 100]], np.uint8))
    assert counts[255 - 201].tolist() == [0, 0, 1, 1]
    assert counts[255 - 200].tolist() == [1, 0, 0, 1]
    assert counts[255 - 100].tolist() == [1, 1, 0, 0]
    dice = dice_score(counts, empty=0.0)
    # 55 thresholds (255…201) give 0, 100 (200…101) give 1, 101 (100…0) give 2/3.
    assert dice.mean() == pytest.approx((100 + 101 * 2 / 3) / 256)


@pytest.mark.parametrize("truth_value", [None, 0, 1])
def test_e_measure_is_that_of_pysodmetrics(pair, truth_value):
    truth, levels = pair
    if truth_value is not None:
        truth = np.full_like(truth, truth_value)
    oracle = py_sod_metrics.Emeasure()
    oracle.step(levels, truth * 255, normalize=True)
    stretched = (levels - levels.min()) / np.ptp(levels)
    curve = e_measure_curve(sweep_counts(truth, (stretched * 255).astype(np.uint8)))
    expected = oracle.get_results()["em"]["curve"]
    np.testing.assert_allclose(curve, expected, atol=1e-9)
