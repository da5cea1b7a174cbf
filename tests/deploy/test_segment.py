"""From frames to findings: sizes, boxes, borders, smoothing."""

import cv2
import numpy as np
import pytest

from deploy.segment import FrameSegmenter, View, find_polyps
from tests.deploy.conftest import green_square


def test_finding_is_at_the_original_size(detector):
    finding = FrameSegmenter(detector)(green_square(96, 128, 24, 64, 32))
    assert finding.mask.shape == finding.probability.shape == (96, 128)
    ((x, y, width, height),) = finding.boxes
    assert abs(x - 64) <= 4 and abs(y - 24) <= 4
    assert abs(width - 32) <= 8 and abs(height - 32) <= 8
    # 32² of 96·128 pixels = 8.3 %
    assert finding.area_percent == pytest.approx(8.3, abs=1.5)


def test_boxes_are_sorted_and_specks_dropped():
    probability = np.zeros((100, 100), np.float32)
    probability[10:20, 10:20] = 0.9
    probability[50:80, 40:70] = 0.8
    probability[90:92, 90:92] = 1.0  # 4 pixels of 10,000: below 5 in 10,000
    finding = find_polyps(probability, 0.5, 10_000)
    assert finding.boxes == [(40, 50, 30, 30), (10, 10, 10, 10)]
    assert finding.mask.sum() == 1004  # the mask is the thresholded map
    assert finding.area_percent == pytest.approx(10.0)


def test_border_is_found_and_never_polyp(detector):
    frame = np.zeros((100, 160, 3), np.uint8)
    frame[:, 40:120] = green_square(100, 80, 40, 30, 20)
    frame[45:55, 2:12] = (0, 255, 0)  # a green sign beside the view
    view, (rows, columns) = View().update(frame)
    assert abs(columns.start - 40) <= 2 and abs(columns.stop - 120) <= 2
    assert rows == slice(0, 100)
    assert not view[:, :37].any()
    finding = FrameSegmenter(detector, view="cropped")(frame)
    assert len(finding.boxes) == 1
    assert not finding.mask[:, :37].any()
    # The square is 20² of a view of 80·100 pixels, not of the whole frame.
    assert finding.area_percent == pytest.approx(5.0, abs=1.5)


def test_nothing_is_found_in_the_corners_of_a_round_view(detector):
    frame = np.zeros((96, 96, 3), np.uint8)
    cv2.circle(frame, (48, 48), 47, (120, 120, 120), cv2.FILLED)
    frame[:10, :10] = (0, 255, 0)
    finding = FrameSegmenter(detector, view="cropped")(frame)
    assert not finding.boxes and finding.probability.max() == 0


def test_the_whole_frame_is_shown_and_measured(detector):
    frame = np.zeros((100, 160, 3), np.uint8)
    frame[:, 40:120] = green_square(100, 80, 40, 30, 20)
    frame[40:60, :20] = (0, 255, 0)
    finding = FrameSegmenter(detector, view="whole")(frame)
    assert len(finding.boxes) == 2 and finding.mask[:, :37].any()
    # Two squares of 20² in a frame of 160·100 pixels.
    assert finding.area_percent == pytest.approx(5.0, abs=1.5)


def test_an_unknown_view_is_refused(detector):
    with pytest.raises(ValueError, match="must be one of whole, cropped. Received: x"):
        FrameSegmenter(detector, view="x")


@pytest.mark.parametrize(
    "options",
    [{"threshold": v} for v in (float("nan"), -1, 0, 1, "auto")]
    + [{"smooth": v} for v in (1, -0.1, float("nan"))],
)
def test_other_numbers_are_refused(options, detector):
    (name,) = options
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received"):
        FrameSegmenter(detector, **options)


def test_frames_of_another_size_have_a_view_of_their_own():
    view = View()
    view.update(np.full((64, 64, 3), 200, np.uint8))
    frame = np.full((32, 96, 3), 200, np.uint8)
    frame[:, :48] = 3
    mask, _ = view.update(frame)
    assert mask.shape == (32, 96) and mask.mean() == 0.5


def test_dark_lumen_belongs_to_the_view():
    frame = np.full((96, 96, 3), 90, np.uint8)
    frame[30:60, 30:60] = 5
    view, _ = View().update(frame)
    assert view.all()


def test_view_does_not_shrink_in_a_dark_moment():
    view = View()
    frame = np.full((64, 64, 3), 200, np.uint8)
    view.update(frame)
    frame[:, :32] = 3
    assert View().update(frame)[0].mean() == 0.5
    assert view.update(frame)[0].all()


def test_smoothing_remembers_and_forgets_at_a_cut(detector):
    segmenter = FrameSegmenter(detector, smooth=0.75)
    with_polyp = green_square(64, 64, 16, 16, 16)
    without = green_square(64, 64, 0, 0, 0)
    assert segmenter(with_polyp).probability.max() == 1
    # 0.75·1 + 0.25·0
    assert segmenter(without).probability.max() == pytest.approx(0.75)
    assert segmenter(np.full((64, 64, 3), 250, np.uint8)).probability.max() == 0
