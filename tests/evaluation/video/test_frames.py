"""What is measured of each frame, on masks of 40×40 pixels that are drawn by hand."""

import numpy as np
import pytest

from deploy.segment import find_polyps
from evaluation.video.frames import THRESHOLDS, FrameReader
from evaluation.video.regions import MIN_AREA, find_regions


def mask(*boxes, size=40, value=1.0):
    """Draws boxes (x, y, width, height)."""
    picture = np.zeros((size, size), np.float32)
    for x, y, width, height in boxes:
        picture[y : y + height, x : x + width] = value
    return picture


@pytest.fixture
def read(make_case):
    """Measures (truth, map) pairs, of one sequence or of those that are named."""

    def run(*pairs, groups=None, hold=(1, 1)):
        reader = FrameReader(0.5, hold)
        for n, (truth, probability) in enumerate(pairs):
            group = groups[n] if groups else "a"
            reader.add(make_case(truth, probability, f"{n}", group=group))
        return reader.frames

    return run


def test_regions_are_those_that_predict_py_outlines():
    rng = np.random.default_rng(0)
    picture = np.kron(rng.random((20, 20)), np.ones((4, 4))).astype(np.float32)
    picture[:8, :8] = 0
    picture[0, 0] = 1  # a speck beside regions of 16 pixels: 0.05 % of 6400 is 3.2
    finding = find_polyps(picture, 0.7, picture.size)
    regions = find_regions(finding.mask, MIN_AREA * picture.size)
    assert regions.boxes == finding.boxes and len(regions) > 10
    assert (0, 0, 1, 1) not in regions.boxes
    assert (0, 0, 1, 1) in find_regions(finding.mask).boxes
    assert not len(find_regions(np.zeros((5, 5), np.uint8)))


def test_regions_and_polyps(read):
    # 10×10 polyp; found 10×10 moved by 5: 50 common, IoU 50 / 150. And a false region.
    (frame,) = read((mask((0, 0, 10, 10)), mask((5, 0, 10, 10), (30, 30, 5, 5))))
    assert frame.polyps == 1
    assert frame.ious == pytest.approx((50 / 150, 0))
    # Dice 2 · 50 / (100 + 125)
    assert frame.dice == pytest.approx(100 / 225)


def test_frame_without_polyp(read):
    (frame,) = read((mask(), mask((5, 0, 10, 10))))
    assert frame.polyps == 0 and frame.ious == (0,) and np.isnan(frame.dice)
    (silent,) = read((mask(), mask()))
    assert silent.ious == ()


def test_one_region_over_two_polyps_has_the_better_iou(read):
    # 20×10 found over polyps of 10×10 and 5×10: IoU 100 / 200 and 50 / 200.
    (frame,) = read((mask((0, 0, 10, 10), (15, 0, 5, 10)), mask((0, 0, 20, 10))))
    assert frame.polyps == 2 and frame.ious == (0.5,)


def test_slips_of_the_pen_are_no_polyp(read):
    truth = mask((0, 0, 50, 50), (80, 80, 2, 2), size=100)  # 4 px; 0.05 % are 5
    small = mask((80, 80, 2, 2), size=100)
    frames = read((truth, mask((70, 70, 20, 20), size=100)), (small, small))
    assert [frame.polyps for frame in frames] == [1, 1]  # the only region is a polyp
    assert frames[0].ious == (0,)


def test_consecutive_masks(read):
    one, moved, nothing = mask((0, 0, 10, 10)), mask((5, 0, 10, 10)), mask()
    frames = read((one, nothing), (moved, nothing), (nothing, one), (nothing, one))
    truths = [frame.truth_iou_before for frame in frames]
    found = [frame.iou_before for frame in frames]
    np.testing.assert_allclose(truths, [np.nan, 50 / 150, 0, np.nan])
    np.testing.assert_allclose(found, [np.nan, np.nan, 0, 1])


def test_a_new_sequence_starts_anew(read):
    one = mask((0, 0, 10, 10))
    frames = read(*[(one, one)] * 4, groups="aabb", hold=(2, 2))
    assert np.isnan([frame.iou_before for frame in frames]).tolist() == [1, 0, 1, 0]
    assert [frame.held for frame in frames] == [(0,), (1,), (0,), (1,)]


def test_curve_counts(read):
    # A polyp of 10×10, seen whole with 0.7; a false region with 0.3.
    probability = mask((0, 0, 10, 10), value=0.7) + mask((30, 30, 5, 5), value=0.3)
    (frame,) = read((mask((0, 0, 10, 10)), probability))
    for threshold, counts in zip(THRESHOLDS, frame.curve, strict=True):
        found = int(threshold < 0.7)
        expected = [found, 1 - found, int(threshold < 0.3)]
        if threshold not in (0.3, 0.7):  # float32
            assert counts.tolist() == [expected, expected]


def test_curve_at_two_iou_limits(read):
    (frame,) = read((mask((0, 0, 10, 10)), mask((5, 0, 10, 10))))
    loose, strict = frame.curve[THRESHOLDS.index(0.5)]
    assert loose.tolist() == [1, 0, 0] and strict.tolist() == [0, 1, 1]


def test_a_change_of_size_within_a_sequence_is_a_cut(read):
    one = mask((0, 0, 10, 10))
    frames = read((one, one), (one[:20], one[:20]))
    assert frames[1].iou_before == 0
