"""Compares models on the same images, and seeds of one model."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evaluation.analysis.statistics import bootstrap_scores, interval
from evaluation.protocols.base import Protocol
from evaluation.scoring import SetScores


@dataclass
class Difference:
    """The difference of one score between two models on the same cases.

    Attributes:
        a, b: the models.
        protocol, score: what is compared.
        difference: score of a minus score of b.
        low, high: its 95 % interval over the same bootstrap samples for both models;
            None where all cases are of one group.
        p_value: of the Wilcoxon signed-rank test over groups; None for scores that
            are not means over images, and where all cases are of one group.
        p_holm: the same after Holm's correction for all tests made together.
    """

    a: str
    b: str
    protocol: str
    score: str
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    p_holm: float | None = None


def compare(models: dict[str, SetScores]) -> list[Difference]:
    """Compares every pair of models, score by score.

    Args:
        models: label → scores on one and the same set.
    """
    found = []
    for (name_a, a), (name_b, b) in combinations(models.items(), 2):
        for protocol in a.protocols:
            found += _compare_pair(name_a, a, name_b, b, protocol)
    correct_by_holm(found)
    return found


def _compare_pair(
    name_a: str, a: SetScores, name_b: str, b: SetScores, protocol: Protocol
) -> list[Difference]:
    rows_a, rows_b = a.statistics[protocol.name], b.statistics[protocol.name]
    set_a, set_b = protocol.scores(rows_a.mean(0)), protocol.scores(rows_b.mean(0))
    samples_a, samples_b = bootstrap_scores(a, protocol), bootstrap_scores(b, protocol)
    images_a, images_b = protocol.scores(rows_a), protocol.scores(rows_b)
    groups = a.column("group")
    found = []
    for score in set_a:
        ends = interval(samples_a[score] - samples_b[score], groups)
        low, high = ends or (None, None)
        p_value = None
        if score in protocol.image_means and ends:
            p_value = _signed_rank(images_a[score] - images_b[score], groups)
        difference = float(set_a[score] - set_b[score])
        found.append(
            Difference(
                name_a, name_b, protocol.name, score, difference, low, high, p_value
            )
        )
    return found


def _signed_rank(differences: np.ndarray, groups: np.ndarray) -> float:
    """Tests the groups' mean differences; two-sided p value, 1 when all are zero."""
    from scipy.stats import wilcoxon  # slow to import

    _, members = np.unique(groups, return_inverse=True)
    means = np.bincount(members, differences) / np.bincount(members)
    return float(wilcoxon(means).pvalue) if np.any(means) else 1.0


def correct_by_holm(differences: list[Difference]) -> None:
    """Sets `p_holm`: Holm's correction for all tests of the list together."""
    from statsmodels.stats.multitest import multipletests

    tested = [d for d in differences if d.p_value is not None]
    if not tested:
        return
    corrected = multipletests([d.p_value for d in tested], method="holm")[1]
    for difference, p_holm in zip(tested, corrected, strict=True):
        difference.p_holm = float(p_holm)


def mean_and_deviation(models: dict[str, SetScores]) -> dict[str, dict[str, list]]:
    """Summarises seeds of one model: protocol → score → [mean, sample deviation]."""
    tables = [scores.table() for scores in models.values()]
    return {
        protocol: {
            name: [
                float(np.mean([table[protocol][name] for table in tables])),
                float(np.std([table[protocol][name] for table in tables], ddof=1)),
            ]
            for name in tables[0][protocol]
        }
        for protocol in tables[0]
    }
