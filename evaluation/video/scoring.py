"""Scores of all sequences of a set, with intervals over sequences."""

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from evaluation.analysis.statistics import INTERVAL, cluster_weights
from evaluation.video.frames import IOU_LIMITS, Frame
from evaluation.video.sequences import (
    DICE,
    FOUND,
    WINDOWS,
    Ratios,
    Rule,
    frame_ratios,
    mask_ratios,
    sequence_ratios,
    window_name,
)
from metrics.confusion import safe_ratio

SHARES_OF_POLYPS = {FOUND, *map(window_name, WINDOWS)}


@dataclass(frozen=True)
class Video:
    """How to judge a set as video.

    Attributes:
        fps: frames per second of the frames on disk.
        hold: (N, M): judge also with only the regions that were seen in N of the last
            M frames; None: not.
    """

    fps: float
    hold: tuple[int, int] | None = None


@dataclass(frozen=True)
class Score:
    """A score of all sequences.

    Attributes:
        value: None where there is nothing to count.
        interval: 95 %; None for fewer than two sequences.
    """

    value: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class VideoScores:
    """The measured frames of a set, and what is computed of them.

    Attributes:
        frames: all frames, those of a sequence one after the other.
        fps: frames per second, as the user stated.
        threshold: of the predictions.
        hold: (N, M) as in `Rule`; None: not asked for.
        trained: names of the frames that the model was trained on, as far as known.
    """

    frames: list[Frame]
    fps: float
    threshold: float
    hold: tuple[int, int] | None = None
    trained: frozenset[str] = frozenset()

    @cached_property
    def sequences(self) -> dict[str, list[Frame]]:
        """The frames of each sequence."""
        return {
            name: list(frames)
            for name, frames in groupby(self.frames, lambda frame: frame.sequence)
        }

    @property
    def rules(self) -> list[Rule]:
        """The rules of detection: both IoU limits, with `hold` too where asked for."""
        holds = [None] if self.hold is None else [None, self.hold]
        return [Rule(iou, hold) for hold in holds for iou in IOU_LIMITS]

    def table(self, rule: Rule) -> dict[str, Score]:
        """Scores all sequences under a rule."""
        sequences = self.sequences.values()
        return _total([sequence_ratios(one, self.fps, rule) for one in sequences])

    def mask_table(self) -> dict[str, Score]:
        """Scores the masks of all sequences."""
        return _total([mask_ratios(frames) for frames in self.sequences.values()])

    @property
    def unseen_known(self) -> bool:
        """Whether it is known that some frames were trained on and others were not."""
        names = {frame.name for frame in self.frames}
        return bool(self.trained) and not names <= self.trained

    def unseen_table(self, rule: Rule) -> dict[str, Score]:
        """Scores the frames that the model was not trained on, one by one.

        There must be one: see `unseen_known`.
        """
        unseen = [
            [frame for frame in frames if frame.name not in self.trained]
            for frames in self.sequences.values()
        ]
        return _total(
            [
                {**frame_ratios(one, self.fps, rule), DICE: mask_ratios(one)[DICE]}
                for one in unseen
                if one
            ]
        )

    def worst_first(self) -> list[str]:
        """Orders the sequences: the share of right frames at the strict IoU, Dice."""
        rule = Rule(max(IOU_LIMITS))

        def key(name: str) -> tuple[float, float]:
            frames = self.sequences[name]
            right = sum(map(rule.is_right, frames)) / len(frames)
            dice, count = mask_ratios(frames)[DICE]
            return right, dice / count if count else 1.0

        return sorted(self.sequences, key=key)

    def free_response(self) -> np.ndarray:
        """Computes the free-response curve.

        Returns:
            `(len(THRESHOLDS), len(IOU_LIMITS), 2)`: share of the polyps of all frames
            that are found (NaN without a polyp), false regions per frame.
        """
        counts = sum(frame.curve for frame in self.frames)
        found, missed, false = np.moveaxis(counts, -1, 0)
        sensitivity = safe_ratio(found, found + missed, np.nan)
        return np.stack([sensitivity, false / len(self.frames)], axis=-1)


def _total(rows: list[Ratios]) -> dict[str, Score]:
    """Joins the ratios of sequences."""
    weights = cluster_weights(np.arange(len(rows)))
    scores = {}
    for name in rows[0]:
        sums, divisors = np.array([row[name] for row in rows], float).T
        if not divisors.any():
            scores[name] = Score(None, None)
            continue
        value = float(sums.sum() / divisors.sum())
        if np.count_nonzero(divisors) < 2:
            scores[name] = Score(value, None)
        elif name in SHARES_OF_POLYPS:  # one observation a sequence
            scores[name] = Score(value, _wilson(int(sums.sum()), int(divisors.sum())))
        else:
            with np.errstate(invalid="ignore"):  # a sample may hold nothing to count
                samples = (weights @ sums) / (weights @ divisors)
            low, high = np.nanpercentile(samples, INTERVAL)
            scores[name] = Score(value, (float(low), float(high)))
    return scores


def _wilson(count: int, total: int) -> tuple[float, float]:
    """Wilson's interval of a share, which is no point where all or none are found."""
    from statsmodels.stats.proportion import proportion_confint  # slow to import

    low, high = proportion_confint(count, total, method="wilson")
    return float(low), float(high)
