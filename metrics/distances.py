"""Distances between two masks: Hausdorff, HD95, and the "HD" of PVTSeg's tables.

Two empty masks have the distance 0. Where only one is empty, the distance is undefined
and the image's diagonal is taken, the largest distance that two pixels can have.
Leaving such images out would favour a model that finds nothing.
"""

import cv2
import numpy as np
from scipy.spatial.distance import directed_hausdorff

ROBUST_PERCENTILE = 95


def mask_boundary(mask: np.ndarray) -> np.ndarray:
    """Marks a mask's boundary: foreground pixels with a 4-neighbour outside the mask.

    Args:
        mask: `(H, W)` 0/1 or bool. Pixels beyond the image border are background.

    Returns:
        `(H, W)` bool.
    """
    mask = mask.astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inner = cv2.erode(mask, cross, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return (mask - inner).astype(bool)


def hausdorff_distances(
    truth: np.ndarray, prediction: np.ndarray
) -> tuple[float, float]:
    """Computes the Hausdorff distance and HD95 between the boundaries of two masks.

    Args:
        truth: `(H, W)` mask, 0/1 or bool.
        prediction: `(H, W)` mask, 0/1 or bool.

    Returns:
        Hausdorff distance and HD95, both in pixels. HD95 is the larger of the two
        directed 95th percentiles.

    Example:
        Two single pixels, 3 rows and 4 columns apart, are `(5.0, 5.0)` apart.
    """
    filled = [bool(truth.any()), bool(prediction.any())]
    if not any(filled):
        return 0.0, 0.0
    if not all(filled):
        diagonal = float(np.hypot(truth.shape[0] - 1, truth.shape[1] - 1))
        return diagonal, diagonal
    # Distances between boundaries depend on nothing outside their common box.
    rows, columns = np.nonzero(truth.astype(bool) | prediction.astype(bool))
    box = (
        slice(rows.min(), rows.max() + 1),
        slice(columns.min(), columns.max() + 1),
    )
    edges = [mask_boundary(mask)[box] for mask in (truth, prediction)]
    directed = [
        _distance_to(edges[1])[edges[0]],
        _distance_to(edges[0])[edges[1]],
    ]
    hausdorff = max(float(d.max()) for d in directed)
    robust = max(float(np.percentile(d, ROBUST_PERCENTILE)) for d in directed)
    return hausdorff, robust


def _distance_to(edge: np.ndarray) -> np.ndarray:
    """Euclidean distance (pixels) of every pixel to the nearest True pixel."""
    return cv2.distanceTransform(
        (~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )


def row_hausdorff(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Computes the "HD" of PVTSeg's tables, for which each *row* of a mask is a point.

    This is SciPy's `directed_hausdorff` on the two mask matrices, truth to prediction
    only. It is not a distance between boundaries (a mask moved 50 pixels down has the
    distance 0); it is here for comparison with the published tables.

    Args:
        truth: `(H, W)` mask, 0/1.
        prediction: `(H, W)` mask, 0/1.
    """
    return float(directed_hausdorff(truth, prediction)[0])
