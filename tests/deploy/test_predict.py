"""Predict.py's work on pictures and videos, whole and broken."""

import csv
import itertools
import signal
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import Predict
from cli.command import UserError
from deploy import predict as prediction
from deploy.recording import PictureWriter
from deploy.segment import FrameSegmenter
from deploy.sources import Frame, open_source
from deploy.threads import ahead
from tests.deploy.conftest import green_square

FRAMES = 60


@pytest.fixture
def video(tmp_path):
    """A green square that moves to the right, one pixel a frame."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (128, 96))
    for number in range(FRAMES):
        writer.write(green_square(96, 128, 32, number, 32))
    writer.release()
    return path


def run(source, detector, out_dir):
    summary = prediction.predict(
        open_source(str(source)), FrameSegmenter(detector), out_dir
    )
    with open(out_dir / "predictions.csv") as stream:
        return summary, list(csv.DictReader(stream))


def frames_of(path):
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


def test_pictures(tmp_path, detector):
    folder = tmp_path / "photos"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), green_square(90, 120, 30, 40, 30))
    cv2.imwrite(str(folder / "b.png"), green_square(50, 70, 0, 0, 0))
    (folder / "notes.txt").write_text("not a picture")
    summary, rows = run(folder, detector, tmp_path / "out")
    assert [(row["frame"], row["polyp"]) for row in rows] == [("a", "1"), ("b", "0")]
    assert not summary.problems and summary.positive == 1
    mask = cv2.imread(str(tmp_path / "out/masks/a.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (90, 120) and set(np.unique(mask)) == {0, 255}
    assert cv2.imread(str(tmp_path / "out/overlays/a.jpg")).shape == (90, 120, 3)


def test_broken_picture_is_named_and_the_others_done(tmp_path, detector):
    cv2.imwrite(str(tmp_path / "a.png"), green_square(64, 64, 8, 8, 16))
    (tmp_path / "b.png").write_bytes(b"no picture")
    summary, rows = run(tmp_path / "*.png", detector, tmp_path / "out")
    assert [row["frame"] for row in rows] == ["a"]
    assert len(summary.problems) == 1 and "b.png" in summary.problems[0]


def test_video(tmp_path, video, detector):
    summary, rows = run(video, detector, tmp_path / "out")
    assert summary.frames == len(rows) == FRAMES and not summary.problems
    lefts = [int(row["boxes"].split()[0]) for row in rows]
    assert abs(lefts[0]) <= 4 and abs(lefts[-1] - (FRAMES - 1)) <= 4
    assert rows[25]["seconds"] == "1.000"
    assert len(frames_of(tmp_path / "out/overlay.mp4")) == FRAMES
    masks = frames_of(tmp_path / "out/masks.mkv")
    assert len(masks) == FRAMES and set(np.unique(masks[0])) == {0, 255}


def test_progress_is_seen_while_a_video_is_read(
    tmp_path, video, detector, monkeypatch, capfd
):
    bar = prediction.tqdm
    always = {"disable": False, "mininterval": 0}
    monkeypatch.setattr(prediction, "tqdm", lambda **given: bar(**given | always))
    with open(2, "w", closefd=False) as screen, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", screen)
        run(video, detector, tmp_path / "out")
    assert f"{FRAMES // 2}/{FRAMES}" in capfd.readouterr().err


def test_termination_keeps_what_was_written(tmp_path, video, detector, monkeypatch):
    segment, seen = detector.run, itertools.count()

    def terminated(frames):
        if next(seen) == FRAMES // 2:  # several threads come here
            signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)
        return segment(frames)

    monkeypatch.setattr(detector, "run", terminated)
    summary, rows = run(video, detector, tmp_path / "out")
    assert summary.problems == ["interrupted"] and rows
    assert frames_of(tmp_path / "out/overlay.mp4")


def test_camera_frames_carry_the_time_that_passed(monkeypatch):
    class Camera:
        """Says 1000 frames a second, gives one in 20 ms, and three in all."""

        def __init__(self, address):
            self.left = 3

        def isOpened(self):
            return True

        def get(self, what):
            return 1000.0

        def grab(self):
            time.sleep(0.02)
            self.left -= 1
            return self.left >= 0

        def retrieve(self):
            return True, np.zeros((4, 4, 3), np.uint8)

        def release(self):
            self.left = None

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    source = open_source("4217")
    seconds = [frame.seconds for frame in source]
    assert seconds[0] < 0.01 and seconds[2] >= 0.04
    assert source._capture.left is None


def test_truncated_video_keeps_what_was_read(tmp_path, video, detector):
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2])
    summary, rows = run(video, detector, tmp_path / "out")
    assert 0 < summary.frames == len(rows) < FRAMES
    assert len(frames_of(tmp_path / "out/overlay.mp4")) == summary.frames
    assert any("ends early" in problem for problem in summary.problems)


def test_command_exit_codes(tmp_path, video, detector, monkeypatch, capsys):
    monkeypatch.setattr("deploy.segmenter.load_runtime", lambda *_, **__: detector)
    arguments = ["--model_path", "x.xml", "--out_dir", str(tmp_path / "out")]
    arguments += ["--source", str(video)]
    assert Predict.main(Predict.parse_args([*arguments, "--smooth", "0.5"])) == 0
    assert f"{FRAMES} frames" in capsys.readouterr().out
    video.write_bytes(video.read_bytes()[:-20_000])
    assert Predict.main(Predict.parse_args(arguments)) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--smooth", "1"], "--smooth: must be at least 0 and below 1, received 1"),
        (["--threshold", "0"], "--threshold: must be above 0 and below 1, received 0"),
        (["--threads", "0"], "--threads: must be at least 1, received 0"),
        (["--threads", "two"], "--threads: invalid int value: 'two'"),
    ],
)
def test_numbers_out_of_range(flags, message, capsys):
    with pytest.raises(SystemExit) as caught:
        Predict.parse_args(["--source", "film.avi", *flags])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize("source", ["nowhere", "nowhere/*.png", "4217"])
def test_nothing_to_read(source):
    with pytest.raises(UserError, match=source[:4]):
        open_source(source)


def test_video_of_any_ending_but_no_text(tmp_path, video):
    assert open_source(str(video.rename(tmp_path / "film.vob"))).count == FRAMES
    (tmp_path / "notes.txt").write_text("no film\n" * 500)
    with pytest.raises(UserError, match="notes.txt cannot be opened: no picture or"):
        open_source(str(tmp_path / "notes.txt"))


def test_pictures_of_one_stem_are_refused(tmp_path, monkeypatch):
    (tmp_path / "a.png").touch()
    monkeypatch.chdir(tmp_path)
    assert open_source(".").name == tmp_path.name
    (tmp_path / "a.jpg").touch()
    with pytest.raises(UserError, match=r"a\.jpg and .*a\.png have one name"):
        open_source(str(tmp_path))


def test_pipeline_passes_items_errors_and_stops():
    assert list(ahead(iter(range(100)), depth=2)) == list(range(100))

    def broken():
        yield 1
        raise OSError("gone")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(OSError, match="gone"):
        next(items)

    def endless():
        while True:
            yield 0

    items = ahead(endless())
    next(items)
    items.close()  # would hang if the thread did not stop


def test_an_error_ends_the_stages_before():
    def endless():
        while True:
            yield 0

    def broken(items):
        for _ in items:
            raise OSError("gone")
        yield 0

    before = threading.active_count()
    with pytest.raises(OSError, match="gone"):
        next(ahead(broken(ahead(endless()))))
    # Threads that run on would end the process with an abort.
    assert threading.active_count() == before


def test_picture_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    writer = PictureWriter(tmp_path)
    frame = Frame("a", np.zeros((8, 8, 3), np.uint8), 0.0, 0.0)
    writer.write(frame, np.ones((8, 8), np.uint8), None)
    before = (tmp_path / "masks/a.png").read_bytes()

    def full_disk(path, picture):
        Path(path).write_bytes(b"half")
        return False

    monkeypatch.setattr(cv2, "imwrite", full_disk)
    with pytest.raises(UserError, match="a.png cannot be written"):
        writer.write(frame, np.zeros((8, 8), np.uint8), None)
    assert (tmp_path / "masks/a.png").read_bytes() == before
    assert [file.name for file in (tmp_path / "masks").iterdir()] == ["a.png"]
