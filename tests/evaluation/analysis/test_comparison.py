"""Differences between models, their tests against SciPy's, and seeds of one model."""

import numpy as np
import pytest
from scipy import stats

from evaluation.analysis.comparison import (
    Difference,
    compare,
    correct_by_holm,
    mean_and_deviation,
)
from evaluation.protocols import build_protocols


def test_comparison(fake_scores):
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


def test_a_model_does_not_differ_from_itself(fake_scores):
    scores = fake_scores(np.linspace(0, 1, 9))
    for difference in compare({"A": scores, "B": scores}):
        assert (difference.low, difference.difference, difference.high) == (0, 0, 0)
        assert difference.p_value == difference.p_holm == 1


def test_one_group_has_no_interval_and_no_test(fake_scores):
    models = {
        name: fake_scores(np.full(5, dice), ["one video"] * 5)
        for name, dice in (("A", 0.8), ("B", 0.7))
    }
    for difference in compare(models):
        assert difference.difference == pytest.approx(0.1)
        ends = (difference.low, difference.high)
        assert (*ends, difference.p_value, difference.p_holm) == (None,) * 4


def test_pooled_scores_have_no_signed_rank_test(fake_scores):
    scores = fake_scores(np.linspace(0, 1, 9))
    scores.protocols = build_protocols(["lgps"])
    scores.statistics = {"lgps": np.ones((9, 4))}
    found = compare({"A": scores, "B": scores})
    assert all(d.p_value is None and d.p_holm is None for d in found)


def test_seeds(fake_scores):
    models = {str(i): fake_scores(np.full(3, v)) for i, v in enumerate((0.7, 0.8, 0.9))}
    assert mean_and_deviation(models)["medico"]["dice"] == pytest.approx([0.8, 0.1])
