"""Bootstrap intervals of a set's scores.

Images of one video sequence or patient resemble each other, so they are resampled
together: a bootstrap sample draws groups, not images.
"""

import numpy as np

from evaluation.protocols.base import Protocol
from evaluation.scoring import SetScores

RESAMPLES = 2000
SEED = 0
INTERVAL = (2.5, 97.5)  # percentiles: 95 %


def cluster_weights(
    groups: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED
) -> np.ndarray:
    """Draws bootstrap samples of whole groups.

    Args:
        groups: `(N,)` group of each case.
        resamples: the number of samples.
        seed: of the random numbers.

    Returns:
        `(resamples, N)` weights of the cases in each sample's mean; rows sum to 1.
    """
    names, members = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
    weights = draws[:, members].astype(np.float64)
    return weights / weights.sum(axis=1, keepdims=True)


def bootstrap_scores(scores: SetScores, protocol: Protocol) -> dict[str, np.ndarray]:
    """Computes the scores of every bootstrap sample: name → `(resamples,)`."""
    weights = cluster_weights(scores.column("group"))
    return protocol.scores(weights @ scores.statistics[protocol.name])


def intervals(scores: SetScores) -> dict[str, dict[str, list[float] | None]]:
    """Computes 95 % intervals: protocol → score → [low, high]; None of one group."""
    groups = scores.column("group")
    return {
        protocol.name: {
            name: interval(values, groups)
            for name, values in bootstrap_scores(scores, protocol).items()
        }
        for protocol in scores.protocols
    }


def interval(samples: np.ndarray, groups: np.ndarray) -> list[float] | None:
    """The 95 % percentile interval of bootstrap samples, `[low, high]`.

    Args:
        samples: `(resamples,)` values of a score.
        groups: `(N,)` group of each case; with one group only there is no interval.
    """
    if len(np.unique(groups)) < 2:
        return None
    return np.percentile(samples, INTERVAL).tolist()
