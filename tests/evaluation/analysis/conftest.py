"""Fixtures of the analysis tests: sets that are scored without any image."""

from collections.abc import Callable

import numpy as np
import pytest

from evaluation.protocols import build_protocols
from evaluation.scoring import SetScores


@pytest.fixture
def fake_scores() -> Callable[..., SetScores]:
    """Makes a set scored by medico, every score of an image being its Dice."""

    def make(dice: np.ndarray, groups=None) -> SetScores:
        groups = [str(i) for i in range(len(dice))] if groups is None else groups
        return SetScores(
            protocols=build_protocols(["medico"]),
            threshold=0.5,
            cases=[{"group": group} for group in groups],
            statistics={"medico": np.repeat(dice[:, None], 6, axis=1)},
            calibration=np.zeros((15, 3)),
            curves=np.zeros((2, 256)),
        )

    return make
