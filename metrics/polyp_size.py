"""Names the size of a polyp: small, medium or large, as PolypGen does."""

import numpy as np

NO_POLYP = "none"
# The largest area of each bin, in pixels of the original image.
SIZE_BINS = {"small": 100**2, "medium": 200**2, "large": np.inf}


def size_bin(polyp_pixels: float) -> str:
    """Names the bin of an area: `NO_POLYP` for 0, "" for NaN, as it is unknown."""
    if np.isnan(polyp_pixels):
        return ""
    if polyp_pixels == 0:
        return NO_POLYP
    return next(name for name, most in SIZE_BINS.items() if polyp_pixels <= most)
