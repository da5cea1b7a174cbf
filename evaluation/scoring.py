"""Scores a test set: each case is measured once, by every protocol."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cli.parallel import map_in_order
from evaluation.cases import Case
from evaluation.protocols.base import DEFAULT_THRESHOLD, Protocol, at_network_size
from evaluation.protocols.pvtseg import pvtseg
from evaluation.video.regions import MIN_AREA
from metrics.calibration import calibration_sums
from metrics.confusion import dice_score, iou_score
from metrics.lesions import count_lesions, touches_border
from metrics.polyp_size import SIZE_BINS, size_bin
from metrics.sweep import LEVELS, sweep_counts


@dataclass
class SetScores:
    """The numbers that are kept of a scored set: some per case, and no image.

    Attributes:
        protocols: the protocols the set was scored by.
        threshold: the threshold of the per-image facts.
        cases: one dict of facts per case; see `_facts`.
        statistics: protocol name → `(N, K)` statistics of the cases.
        calibration: `(15, 3)` sums over all pixels; see `metrics.calibration`.
        curves: `(2, 256)` mean per-image Dice and IoU at map ≥ 255, 254, … 0 of 255.
    """

    protocols: list[Protocol]
    threshold: float
    cases: list[dict]
    statistics: dict[str, np.ndarray]
    calibration: np.ndarray
    curves: np.ndarray

    def __len__(self) -> int:
        return len(self.cases)

    def column(self, key: str) -> np.ndarray:
        """Returns one fact of every case, `(N,)`."""
        return np.array([case[key] for case in self.cases])

    def table(self) -> dict[str, dict[str, float]]:
        """Returns the scores of the set: protocol → score → value."""
        return {
            protocol.name: {
                name: float(value)
                for name, value in protocol.scores(
                    self.statistics[protocol.name].mean(axis=0)
                ).items()
            }
            for protocol in self.protocols
        }


def score_cases(
    cases: Iterable[Case],
    protocols: list[Protocol],
    threshold: float = DEFAULT_THRESHOLD,
) -> SetScores:
    """Scores a stream of predicted cases; no case is kept once it is measured.

    Args:
        cases: predicted cases.
        protocols: the protocols to score by.
        threshold: the threshold of the per-image facts.
    """
    per_image = pvtseg(threshold)

    def measure(case: Case):
        statistics = {protocol.name: protocol.measure(case) for protocol in protocols}
        truth, probability = at_network_size(case)
        levels = np.rint(probability * (LEVELS - 1)).astype(np.uint8)
        counts = sweep_counts(truth, levels)
        curves = np.stack([dice_score(counts), iou_score(counts)])
        facts = _facts(case, per_image, truth, probability > threshold)
        return statistics, facts, calibration_sums(truth, probability), curves

    facts, statistics = [], {protocol.name: [] for protocol in protocols}
    calibration, curves = 0.0, 0.0
    for measured in map_in_order(measure, cases):
        for name, row in measured[0].items():
            statistics[name].append(row)
        facts.append(measured[1])
        calibration, curves = calibration + measured[2], curves + measured[3]
    return SetScores(
        protocols=protocols,
        threshold=threshold,
        cases=facts,
        statistics={name: np.stack(rows) for name, rows in statistics.items()},
        calibration=calibration,
        curves=curves / len(facts),
    )


def _facts(
    case: Case, per_image: Protocol, truth: np.ndarray, prediction: np.ndarray
) -> dict:
    """Measures a case for its row in `per_image.csv`.

    Scores, regions and distances are at the network's size; `polyp_pixels` is the
    polyps' area at the frame's own size, NaN where that is unknown. `small_polyps` and
    the like count single polyps by their own area, 0 where that is unknown.
    """
    scores = per_image.scores(per_image.measure(case))
    lesions = count_lesions(truth, prediction, MIN_AREA * truth.size)
    height, width = case.source_size or (np.nan, np.nan)
    sizes = [size_bin(n * height * width / truth.size) for n in lesions.areas]
    found = [size for size, hit in zip(sizes, lesions.is_found, strict=True) if hit]
    of_size = {}
    for size in SIZE_BINS:
        of_size |= {f"{size}_polyps": sizes.count(size)}
        of_size |= {f"{size}_polyps_found": found.count(size)}
    return {
        "name": case.name,
        "group": case.group,
        "centre": case.centre or "",
        "height": height,
        "width": width,
        "polyp_pixels": float(np.mean(case.truth) * height * width),
        **{name: float(value) for name, value in scores.items()},
        "polyps": lesions.lesions,
        "polyps_found": lesions.found,
        **of_size,
        "false_positives": lesions.false_positives,
        "predicted_pixels": int(np.count_nonzero(prediction)),
        "touches_border": touches_border(truth),
    }
