"""Scores one test set: every case once, by every protocol."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from evaluation.cases import Case
from evaluation.protocols import Protocol, pvtseg


@dataclass
class SetScores:
    """What is kept of a scored set: a few numbers per case and no image.

    Attributes:
        protocols: the protocols scored by.
        cases: one dict of facts per case: name, group, centre, size, per-image scores.
        statistics: protocol name → `(N, K)` statistics of the cases.
    """

    protocols: list[Protocol]
    cases: list[dict] = field(default_factory=list)
    statistics: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.cases)

    def column(self, key: str) -> np.ndarray:
        """One fact of every case, as an array."""
        return np.array([case[key] for case in self.cases])

    def table(self) -> dict[str, dict[str, float]]:
        """The scores of the set: protocol → score → value."""
        return {
            protocol.name: {
                name: float(value)
                for name, value in protocol.scores(
                    self.statistics[protocol.name].mean(axis=0)
                ).items()
            }
            for protocol in self.protocols
        }

    def ranked(self) -> np.ndarray:
        """Case indices from worst to best per-image Dice."""
        return np.argsort(self.column("dice"), kind="stable")


def score_cases(cases: Iterable[Case], protocols: list[Protocol]) -> SetScores:
    """Scores a stream of predicted cases; each is dropped once it is measured."""
    per_image = pvtseg()
    facts, statistics = [], {protocol.name: [] for protocol in protocols}
    for case in cases:
        for protocol in protocols:
            statistics[protocol.name].append(protocol.measure(case))
        facts.append(_facts(case, per_image))
    return SetScores(
        protocols, facts, {name: np.stack(rows) for name, rows in statistics.items()}
    )


def _facts(case: Case, per_image: Protocol) -> dict:
    scores = per_image.scores(per_image.measure(case))
    return {
        "name": case.name,
        "group": case.group,
        "centre": case.centre or "",
        "height": case.truth.shape[0],
        "width": case.truth.shape[1],
        "polyp_pixels": int(case.truth.sum()),
        **{name: float(value) for name, value in scores.items()},
    }
