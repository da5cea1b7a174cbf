"""The rows of the benchmark: what each of them runs."""

import numpy as np
import pytest

from models.shipped import SHIPPED_WEIGHTS
from tools.bench_rows import Row, _load


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["keras eager", "keras predict", "keras compiled"])
def test_a_row_of_keras_computes_a_map(runtime):
    row = Row(runtime, False, "float32", str(SHIPPED_WEIGHTS["lgps"]))
    frame = np.zeros((256, 256, 3), np.uint8)
    probability = _load(row, threads=2)(frame)
    assert probability.shape == (256, 256)
    assert 0 <= probability.min() <= probability.max() <= 1
