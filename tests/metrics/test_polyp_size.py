"""The bins of polyp sizes, each with its limit inside."""

import numpy as np

from metrics.polyp_size import size_bin


def test_size_bins():
    sizes = [0, 1, 100**2, 100**2 + 1, 200**2, 200**2 + 1, np.nan]
    assert [size_bin(size) for size in sizes] == [
        "none", "small", "small", "medium", "medium", "large", "",
    ]  # fmt: skip
