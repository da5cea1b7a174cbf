"""Polyps over frames: who is who, and which are reported."""

import csv

import cv2
import numpy as np
import pytest

import Predict
from cli.command import UserError
from deploy.predict import predict
from deploy.segment import FrameSegmenter, find_polyps, without_boxes
from deploy.sources import open_source
from evaluation.video.tracking import MEMORY, Tracker, iou
from tests.deploy.conftest import green_square


def numbers(tracker, *boxes):
    return [track.number for track in tracker.update(list(boxes))]


def test_iou():
    # 5 · 10 common of 100 + 100 - 50
    assert iou((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert iou((0, 0, 10, 10), (10, 10, 5, 5)) == 0
    assert iou((3, 4, 5, 6), (3, 4, 5, 6)) == 1


def test_polyps_keep_their_numbers_when_they_move_and_swap_places_in_the_list():
    tracker = Tracker()
    assert numbers(tracker, (0, 0, 40, 40), (100, 0, 20, 20)) == [1, 2]
    assert numbers(tracker, (104, 2, 42, 30), (5, 3, 40, 40)) == [3, 1]
    assert numbers(tracker, (102, 1, 22, 21), (10, 3, 40, 40)) == [2, 1]


def test_one_track_gets_the_box_that_overlaps_most():
    tracker = Tracker()
    numbers(tracker, (0, 0, 40, 40))
    assert numbers(tracker, (12, 0, 40, 40), (2, 0, 40, 40)) == [2, 1]


def test_polyp_out_of_sight_is_remembered_for_a_while():
    tracker, box = Tracker(), (0, 0, 40, 40)
    assert numbers(tracker, box) == [1]
    for _ in range(MEMORY - 1):
        assert numbers(tracker) == []
    assert numbers(tracker, box) == [1]
    for _ in range(MEMORY):
        numbers(tracker)
    assert numbers(tracker, box) == [2]


def test_reported_when_seen_in_two_of_the_last_three_frames():
    tracker, box = Tracker((2, 3)), (0, 0, 40, 40)
    reported = []
    for is_seen in (1, 0, 1, 0, 0, 1):
        tracker.update([box] * is_seen)
        reported.append(tracker.reports)
    assert reported == [False, False, True, False, False, False]


def test_regions_are_taken_out():
    probability = np.zeros((100, 100), np.float32)
    probability[10:50, 10:50] = 0.9
    probability[60:80, 60:80] = 0.9
    finding = find_polyps(probability, 0.5, 100 * 100)
    left = without_boxes(finding, [(10, 10, 40, 40)])
    assert left.boxes == [(60, 60, 20, 20)] and left.mask.sum() == 400
    assert left.area_percent == pytest.approx(4)
    assert finding.mask.sum() == 2000
    assert without_boxes(left, left.boxes).area_percent == 0


def test_specks_are_no_part_of_the_area_before_and_after():
    probability = np.zeros((100, 100), np.float32)
    probability[10:50, 10:50] = 0.9
    probability[60:80, 60:80] = 0.9
    probability[90:92, 5:95:10] = 0.9  # 9 specks of 2 pixels, below 0.05 %
    finding = find_polyps(probability, 0.5, 100 * 100)
    left = without_boxes(finding, [(10, 10, 40, 40)])
    # 20² of 100² pixels, and the specks stay in the mask.
    assert left.area_percent == pytest.approx(4) and left.mask.sum() == 418


def film(path, sides):
    code = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), code, 25, (128, 96))
    for side in sides:
        writer.write(green_square(96, 128, 32, 40, side))
    writer.release()


def test_hold_decides_what_is_reported_and_outlined(tmp_path, detector):
    film(tmp_path / "film.avi", [32, 0, 32, 32, 0, 0])
    overlays = {}
    for hold in (1, 1), (2, 3):
        out = tmp_path / str(hold[0])
        source = open_source(str(tmp_path / "film.avi"))
        segmenter = FrameSegmenter(detector, is_video=True)
        summary = predict(source, segmenter, out, overlay="contour", hold=hold)
        with open(out / "predictions.csv") as stream:
            rows = list(csv.DictReader(stream))
        assert [row["track"] for row in rows] == ["1", "", "1", "1", "", ""]
        assert [row["count"] for row in rows] == ["1", "0", "1", "1", "0", "0"]
        positive = "101100" if hold == (1, 1) else "001110"
        assert "".join(row["polyp"] for row in rows) == positive
        assert summary.positive == 3
        capture = cv2.VideoCapture(str(out / "overlay.mp4"))
        overlays[hold] = capture.read()[1].astype(int)
    # In the first frame, only the one without hold has an outline and a text.
    assert np.abs(overlays[1, 1] - overlays[2, 3]).max() > 60


@pytest.mark.parametrize("text", ["3", "0/2", "3/2", "a/b", "1/2/3", "-1/2"])
def test_wrong_hold(text, capsys):
    with pytest.raises(SystemExit):
        Predict.parse_args(["--source", "film.avi", f"--hold={text}"])
    error = capsys.readouterr().err
    assert f"must be N/M, whole numbers with 1 <= N <= M, received {text}" in error


def test_hold_is_for_videos(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), green_square(32, 32, 8, 8, 8))
    args = Predict.parse_args(["--source", str(tmp_path), "--hold", "2/3"])
    with pytest.raises(UserError, match="--hold is for videos"):
        Predict.main(args)
