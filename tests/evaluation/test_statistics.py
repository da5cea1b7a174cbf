"""Intervals and tests against SciPy, and what clustering does to them."""

import numpy as np
import pytest
from scipy import stats

from evaluation.protocols import build_protocols
from evaluation.scoring import SetScores
from evaluation.statistics import (
    Difference,
    cluster_weights,
    compare,
    correct_by_holm,
    intervals,
    mean_and_deviation,
)


def fake_scores(dice: np.ndarray, groups=None) -> SetScores:
    """A set scored by medico, every score of an image being its Dice."""
    groups = [str(i) for i in range(len(dice))] if groups is None else groups
    return SetScores(
        protocols=build_protocols(["medico"]),
        threshold=0.5,
        cases=[{"group": group} for group in groups],
        statistics={"medico": np.repeat(dice[:, None], 6, axis=1)},
        calibration=np.zeros((15, 3)),
        curves=np.zeros((2, 256)),
    )


def test_interval_is_the_percentile_bootstrap():
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


def test_like_images_of_a_group_widen_the_interval():
    dice = np.repeat(np.random.default_rng(0).random(10), 20)
    alone = intervals(fake_scores(dice))["medico"]["dice"]
    grouped = intervals(fake_scores(dice, np.repeat(range(10), 20).astype(str)))
    grouped = grouped["medico"]["dice"]
    assert grouped[1] - grouped[0] > 3 * (alone[1] - alone[0])


def test_comparison():
    rng = np.random.default_rng(0)
    b = rng.random(40) * 0.8
    a = b + rng.normal(0.05, 0.03, 40)
    found = {d.score: d for d in compare({"A": fake_scores(a), "B": fake_scores(b)})}
    dice = found["dice"]
    assert (dice.a, dice.b, dice.protocol) == ("A", "B", "medico")
    assert dice.difference == pytest.approx((a - b).mean())
    assert 0 < dice.low < dice.difference < dice.high
    assert dice.p_value == pytest.approx(stats.wilcoxon(a - b).pvalue)
    # Six equal p values: Holm multiplies all by six.
    assert dice.p_holm == pytest.approx(6 * dice.p_value)


def test_holm_by_hand():
    found = [
        Difference("a", "b", "medico", "dice", 0, 0, 0, p) for p in (0.03, 0.01, None)
    ]
    correct_by_holm([*found, Difference("a", "b", "medico", "iou", 0, 0, 0, 0.04)])
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1; never below the one before: 0.06, not 0.04.
    assert found[0].p_holm == pytest.approx(0.06)
    assert found[1].p_holm == pytest.approx(0.03)
    assert found[2].p_holm is None


def test_a_model_does_not_differ_from_itself():
    scores = fake_scores(np.linspace(0, 1, 9))
    for difference in compare({"A": scores, "B": scores}):
        assert (difference.low, difference.difference, difference.high) == (0, 0, 0)
        assert difference.p_value == difference.p_holm == 1


def test_pooled_scores_have_no_signed_rank_test():
    scores = fake_scores(np.linspace(0, 1, 9))
    scores.protocols = build_protocols(["lgps"])
    scores.statistics = {"lgps": np.ones((9, 4))}
    found = compare({"A": scores, "B": scores})
    assert all(d.p_value is None and d.p_holm is None for d in found)


def test_seeds():
    models = {str(i): fake_scores(np.full(3, v)) for i, v in enumerate((0.7, 0.8, 0.9))}
    assert mean_and_deviation(models)["medico"]["dice"] == pytest.approx([0.8, 0.1])
