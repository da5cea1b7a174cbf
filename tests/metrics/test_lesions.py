"""Counting polyps one by one."""

import numpy as np
import pytest

from metrics.lesions import count_lesions, touches_border


def draw(*boxes, shape=(20, 20)):
    mask = np.zeros(shape, np.uint8)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = 1
    return mask


def counts(*masks, **options):
    found = count_lesions(*masks, **options)
    return found.lesions, found.found, found.false_positives


TWO = draw((1, 1, 5, 5), (10, 10, 14, 14))


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (TWO, (2, 2, 0)),
        (draw((1, 1, 5, 5)), (2, 1, 0)),
        (draw((1, 1, 5, 5), (17, 1, 19, 3)), (2, 1, 1)),
        # 4×2 of 4×4 pixels: IoU exactly 0.5 is not above it.
        (draw((1, 1, 5, 3)), (2, 0, 1)),
        # One finding over both, 13×13 = 169 pixels of which 32 are polyp.
        (draw((1, 1, 14, 14)), (2, 0, 1)),
        (draw(), (2, 0, 0)),
    ],
)
def test_matches(prediction, expected):
    assert counts(TWO, prediction) == expected


def test_empty_truth():
    assert counts(draw(), TWO) == (0, 0, 2)
    assert counts(draw(), draw()) == (0, 0, 0)


def test_specks_are_left_out_but_not_the_only_polyp():
    speck, polyp = draw((1, 1, 2, 3)), draw((10, 10, 14, 14))
    both = speck | polyp
    assert counts(both, polyp, smallest=3) == (1, 1, 0)
    assert counts(polyp, both, smallest=3) == (1, 1, 0)
    assert counts(both, polyp, smallest=2) == (2, 1, 0)
    assert counts(speck, draw(), smallest=3) == (1, 0, 0)
    assert counts(draw(), speck, smallest=3) == (0, 0, 0)


def test_diagonal_neighbours_are_one_polyp():
    assert count_lesions(np.eye(4), np.eye(4)).lesions == 1


@pytest.mark.parametrize(
    ("box", "expected"),
    [((0, 5, 3, 8), True), ((5, 18, 8, 20), True), ((1, 1, 19, 19), False)],
)
def test_border(box, expected):
    assert touches_border(draw(box)) is expected


def test_which_polyps_are_found():
    truth = draw((1, 1, 5, 5), (10, 10, 16, 16))
    found = count_lesions(truth, draw((10, 10, 16, 16)))
    assert (found.areas, found.is_found) == ((16, 36), (False, True))
