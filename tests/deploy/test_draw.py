"""What is drawn onto a frame, and that all else stays as it was."""

import cv2
import numpy as np
import pytest

from deploy.draw import HEAT_FROM, draw_overlay
from deploy.predict import predict
from deploy.segment import FrameSegmenter, find_polyps
from deploy.sources import open_source
from tests.deploy.conftest import green_square


def test_overlay_marks_the_polyp_and_leaves_the_frame_alone(detector):
    frame = green_square(120, 160, 40, 60, 40)
    before = frame.copy()
    overlay = draw_overlay(frame, FrameSegmenter(detector)(frame))
    np.testing.assert_array_equal(frame, before)
    changed = (overlay != frame).any(axis=2)
    assert changed[40:80, 60:100].mean() > 0.5
    assert not changed[90:, :40].any()


@pytest.mark.parametrize("heatmap", [True, False])
def test_pixels_outside_what_is_drawn_are_those_of_the_frame(heatmap):
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    probability = np.zeros((300, 400), np.float32)
    cv2.circle(probability, (250, 180), 50, 0.9, cv2.FILLED)
    cv2.circle(probability, (100, 250), 20, 0.8, cv2.FILLED)
    probability = cv2.GaussianBlur(probability, (0, 0), 12)
    finding = find_polyps(probability, 0.5, frame[..., 0].size)
    assert len(finding.boxes) == 2
    changed = (draw_overlay(frame, finding, heatmap) != frame).any(axis=2)

    line = np.ones((5, 5), np.uint8)  # the outline of a frame this wide: 1 pixel
    edge = cv2.dilate(finding.mask, line) - cv2.erode(finding.mask, line)
    drawn = edge.astype(bool)
    drawn[:20, :150] = True  # the text
    if heatmap:
        drawn |= probability > HEAT_FROM - 1 / 255
    assert changed[180, 250] == heatmap
    assert changed[edge.astype(bool)].any() and changed[:20, :150].any()
    assert not changed[~drawn].any()


def test_frame_without_a_polyp_stays_as_it_is(detector):
    frame = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    finding = find_polyps(np.full((90, 90), 0.2, np.float32), 0.5, 90 * 90)
    np.testing.assert_array_equal(draw_overlay(frame, finding), frame)


def predict_picture_and_film(tmp_path, detector, **options):
    """Writes both into one folder; returns which of their four files are there."""
    frame = green_square(96, 128, 24, 64, 32)
    cv2.imwrite(str(tmp_path / "a.png"), frame[..., ::-1])
    code = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(tmp_path / "b.avi"), code, 25, (128, 96))
    writer.write(frame)
    writer.release()
    out = tmp_path / "out"
    for name in ("a.png", "b.avi"):
        source = open_source(str(tmp_path / name))
        predict(source, FrameSegmenter(detector), out, **options)
    names = ("masks/a.png", "masks.mkv", "overlays/a.jpg", "overlay.mp4")
    return [(out / name).exists() for name in names]


@pytest.mark.parametrize("overlay", ["heatmap", "contour", "none"])
def test_what_is_written(tmp_path, detector, overlay):
    is_drawn = overlay != "none"
    written = predict_picture_and_film(tmp_path, detector, overlay=overlay)
    assert written == [True, True, is_drawn, is_drawn]
    if is_drawn:
        middle = cv2.imread(str(tmp_path / "out/overlays/a.jpg"))[36:44, 76:84]
        is_green = (np.abs(middle - np.array([0.0, 255, 0])) < 12).all()
        assert is_green == (overlay == "contour")


def test_what_is_not_kept_does_not_stay_from_the_run_before(tmp_path, detector):
    assert predict_picture_and_film(tmp_path, detector) == [True] * 4
    nothing = {"overlay": "none", "masks": False}
    assert predict_picture_and_film(tmp_path, detector, **nothing) == [False] * 4
    assert (tmp_path / "out/predictions.csv").exists()


def test_specks_without_a_box_are_not_outlined():
    probability = np.zeros((100, 100), np.float32)
    probability[20:60, 20:60] = 0.9
    probability[90:92, 90:92] = 0.9  # 4 of 10,000 pixels: no box
    finding = find_polyps(probability, 0.5, 10_000)
    frame = np.full((100, 100, 3), 90, np.uint8)
    drawn = (draw_overlay(frame, finding, heatmap=False) != frame).any(axis=-1)
    assert drawn[18:62, 18:62].any() and not drawn[85:, 85:].any()
