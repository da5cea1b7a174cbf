"""Bootstrap intervals against SciPy's, and the effect of groups on them."""

import numpy as np
import pytest
from scipy import stats

from evaluation.analysis.statistics import cluster_weights, intervals
from evaluation.report.tables import format_interval


def test_interval_is_the_percentile_bootstrap(fake_scores):
    dice = np.random.default_rng(0).beta(5, 1, 80)
    low, high = intervals(fake_scores(dice))["medico"]["dice"]
    expected = stats.bootstrap(
        (dice,), np.mean, n_resamples=5000, method="percentile", rng=1
    ).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.006)


def test_groups_are_drawn_whole():
    weights = cluster_weights(np.array(["a", "a", "b"]), resamples=500)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    # Two groups: twice a, twice b, or one of each.
    assert sorted(set(np.round(weights[:, 2], 6))) == pytest.approx([0, 1 / 3, 1])


def test_like_images_of_a_group_widen_the_interval(fake_scores):
    dice = np.repeat(np.random.default_rng(0).random(10), 20)
    alone = intervals(fake_scores(dice))["medico"]["dice"]
    grouped = intervals(fake_scores(dice, np.repeat(range(10), 20).astype(str)))
    grouped = grouped["medico"]["dice"]
    assert grouped[1] - grouped[0] > 3 * (alone[1] - alone[0])
    one = intervals(fake_scores(dice, np.full(len(dice), "one")))["medico"]["dice"]
    assert one is None and format_interval("dice", one) == "–"
