"""Distances of shapes whose distance is known."""

import numpy as np
import pytest
from scipy.spatial.distance import directed_hausdorff

from metrics.distances import hausdorff_distances, mask_boundary, row_hausdorff


def square(top: int, left: int, side: int, size: int = 100) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def test_two_pixels():
    assert hausdorff_distances(square(10, 10, 1), square(13, 14, 1)) == (5.0, 5.0)


def test_same_mask():
    assert hausdorff_distances(square(10, 10, 20), square(10, 10, 20)) == (0.0, 0.0)


def test_shifted_square():
    # Moved 7 pixels to the right: the left edge is 7 from the other left edge.
    hausdorff, robust = hausdorff_distances(square(10, 10, 20), square(10, 17, 20))
    assert hausdorff == 7
    assert 0 < robust <= 7


def test_hd95_forgives_a_speck():
    # A speck far from a square of 76 boundary pixels: under 5 % of the boundary.
    speck = square(10, 10, 20)
    speck[90, 90] = 1
    hausdorff, robust = hausdorff_distances(square(10, 10, 20), speck)
    assert hausdorff == pytest.approx(np.hypot(90 - 29, 90 - 29))
    assert robust == 0


@pytest.mark.parametrize("swap", [False, True])
def test_empty_masks(swap):
    empty, some = np.zeros((4, 5), np.uint8), np.ones((4, 5), np.uint8)
    assert hausdorff_distances(empty, empty) == (0, 0)
    pair = (some, empty) if swap else (empty, some)
    assert hausdorff_distances(*pair) == (5, 5)  # from corner to corner: 3, 4 → 5


def test_against_all_pairs_of_boundary_pixels():
    rng = np.random.default_rng(0)
    masks = [rng.random((23, 31)) > 0.9 for _ in range(2)]
    points = [np.argwhere(mask_boundary(mask)) for mask in masks]
    there, back = (
        np.linalg.norm(a[:, None] - b[None], axis=-1).min(axis=1)
        for a, b in (points, points[::-1])
    )
    hausdorff, robust = hausdorff_distances(*masks)
    assert hausdorff == pytest.approx(max(there.max(), back.max()), abs=1e-5)
    expected = max(np.percentile(there, 95), np.percentile(back, 95))
    assert robust == pytest.approx(expected, abs=1e-5)
    exact = max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0])
    assert hausdorff == pytest.approx(exact, abs=1e-5)


def test_full_mask_has_its_boundary_at_the_image_border():
    assert mask_boundary(np.ones((4, 5))).sum() == 14


def test_row_hausdorff_is_blind_to_vertical_shift():
    # The published "HD": a mask 50 pixels lower has the same rows, so it scores 0.
    assert row_hausdorff(square(10, 10, 20), square(60, 10, 20)) == 0
    assert hausdorff_distances(square(10, 10, 20), square(60, 10, 20))[0] == 50


def test_row_hausdorff_by_hand():
    # Rows 1110 and 0000 of the truth; the prediction has rows 1000 and 0000. Row 1110
    # is √2 from 1000; the other way round the answer is 1 (1000 to 0000).
    truth = np.array([[1, 1, 1, 0], [0, 0, 0, 0]])
    prediction = np.array([[1, 0, 0, 0], [0, 0, 0, 0]])
    assert row_hausdorff(truth, prediction) == pytest.approx(np.sqrt(2))
    assert row_hausdorff(prediction, truth) == pytest.approx(1)
