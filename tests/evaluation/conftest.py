"""Fixtures of the evaluation tests: small cases made by hand, and sets of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evaluation.cases import Case, CaseSet


@pytest.fixture
def make_case() -> Callable[..., Case]:
    """Makes a predicted case from a truth and a map."""

    def make(truth, probability, name="case", **changes) -> Case:
        truth = np.asarray(truth, np.uint8)
        fields = {
            "name": name,
            "group": name,
            "centre": None,
            "image": np.full((*truth.shape, 3), 120, np.uint8),
            "truth": truth,
            "prepared": True,
            "grey_truth": lambda: truth.astype(np.float32),
            "probability": np.asarray(probability, np.float32),
        }
        return Case(**{**fields, **changes})

    return make


@pytest.fixture
def make_case_set(tmp_path) -> Callable[..., CaseSet]:
    """Makes a set out of cases."""

    def make(cases: list[Case], name: str = "toy", path: Path = tmp_path) -> CaseSet:
        return CaseSet(
            name=name,
            path=path,
            names=[case.name for case in cases],
            read=cases.__getitem__,
            origin=name,
            original_size=False,
        )

    return make
