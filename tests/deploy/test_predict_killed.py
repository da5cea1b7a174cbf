"""Recordings of runs that were killed, or whose disk was full."""

import csv
import random
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cli.command import UserError
from deploy.recording import PIECE_SECONDS, VideoWriter
from deploy.sources import Frame

ROOT = Path(__file__).resolve().parents[2]
FPS = 25
SIZE = (96, 128)  # height, width
IN_FLIGHT = 25  # most frames between reading and the table
# Predicts an endless film, and prints the number of each frame that was asked for.
RUN = f"""
import resource, sys, time
from pathlib import Path
import numpy as np
from deploy.predict import predict
from deploy.segment import FrameSegmenter
from deploy.sources import Frame, Source
from tests.deploy.conftest import GreenDetector, green_square

class Film(Source):
    is_video, fps = True, {FPS}
    def __iter__(self):
        noise = np.random.default_rng(0)
        for number in range(2000):
            print(number, flush=True)
            frame = green_square(*{SIZE}, 32, number % 90, 32)
            frame[:16] = noise.integers(0, 256, frame[:16].shape)
            time.sleep(0.002)
            yield Frame(str(number), frame, number / self.fps, 0.0)

if limit := int(sys.argv[2]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
segmenter = FrameSegmenter(GreenDetector())
summary = predict(Film("film", None), segmenter, Path(sys.argv[1]))
print(*summary.problems, sep="\\n")
"""


def start(out_dir, largest_file=0):
    command = [sys.executable, "-c", RUN, str(out_dir), str(largest_file)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)


def read(path):
    """The frames of a video, and the time of the last one in seconds."""
    capture, frames, seconds = cv2.VideoCapture(str(path)), [], 0.0
    while (result := capture.read())[0]:
        frames.append(result[1])
        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    return frames, seconds


def rows_of(out_dir):
    """The whole lines of the table."""
    text = (out_dir / "predictions.csv").read_text()
    return list(csv.DictReader(text[: text.rindex("\n") + 1].splitlines()))


def left_of(mask):
    return cv2.boundingRect(mask[..., 0])[0]


def kill_one_run(out_dir, frame):
    """Kills a run soon after it asks for a frame; checks what it has left behind."""
    with start(out_dir) as process:
        for line in process.stdout:
            if int(line) == frame:
                process.kill()
                break
        rest = process.stdout.read()
    asked = max(int(number) for number in (str(frame) + "\n" + rest).splitlines())
    rows = rows_of(out_dir)
    assert asked - IN_FLIGHT <= len(rows) <= asked
    for name in ("overlay.mp4", "masks.mkv"):
        frames, seconds = read(out_dir / name)
        assert seconds == pytest.approx((len(frames) - 1) / FPS, abs=0.002)
        assert len(frames) <= len(rows) + 1
        assert float(rows[-1]["seconds"]) - seconds <= 2 * PIECE_SECONDS
    shown = (len(frames) - 1) % 90
    assert abs(left_of(frames[-1]) - shown) <= 4


def test_a_killed_run_leaves_what_came_before(tmp_path):
    kill_one_run(tmp_path / "out", frame=250)


@pytest.mark.slow
def test_twenty_killed_runs_leave_what_came_before(tmp_path):
    chance = random.Random(1)
    for number in range(20):
        kill_one_run(tmp_path / str(number), chance.randrange(80, 1500))


def test_full_disk_leaves_what_came_before(tmp_path):
    with start(tmp_path, largest_file=300_000) as process:
        output, errors = process.communicate(timeout=300)
    assert "Traceback" not in errors
    assert (
        output.splitlines()[-1]
        == f"stopped: {tmp_path / 'overlay.mp4'}: File too large"
    )
    rows = rows_of(tmp_path)
    for name in ("overlay.mp4", "masks.mkv"):
        frames, seconds = read(tmp_path / name)
        assert len(frames) > FPS
        assert float(rows[-1]["seconds"]) - seconds <= 2 * PIECE_SECONDS


def test_masks_without_a_polyp_are_written_as_soon(tmp_path):
    """Black frames are so small that no limit of bytes would end a piece."""
    writer = VideoWriter(tmp_path, FPS)
    black = np.zeros(SIZE, np.uint8)
    for number in range(10 * FPS):
        frame = Frame("0", np.dstack([black] * 3), number / FPS, 0.0)
        writer.write(frame, black, frame.image)
        if number % FPS == 0 and number > 2 * FPS:
            for name in ("overlay.mp4", "masks.mkv"):
                assert frame.seconds - read(tmp_path / name)[1] <= 2 * PIECE_SECONDS
    writer.close()
    assert read(tmp_path / "masks.mkv")[1] == pytest.approx(frame.seconds)


def write_video(out_dir, size, times, fps=FPS):
    writer = VideoWriter(out_dir, fps)
    mask = np.zeros(size, np.uint8)
    mask[10:20, 30:50] = 1
    overlay = np.full((*size, 3), (200, 100, 50), np.uint8)
    for seconds in times:
        writer.write(Frame("0", overlay, seconds, 0.0), mask, overlay)
    writer.close()
    return mask


def test_masks_are_lossless_and_colours_kept(tmp_path):
    mask = write_video(tmp_path, (97, 131), [0, 0.04])
    frames, _ = read(tmp_path / "masks.mkv")
    np.testing.assert_array_equal(frames[1][..., 0], mask * 255)
    frames, _ = read(tmp_path / "overlay.mp4")
    assert frames[1].shape == (96, 130, 3)
    np.testing.assert_allclose(frames[1][50, 60], (50, 100, 200), atol=6)


def test_frames_keep_their_times(tmp_path):
    """A gap stays a gap, and two frames of one moment do not stop the recording."""
    write_video(tmp_path, SIZE, [0, 0.04, 0.04, 3.5])
    for name in ("overlay.mp4", "masks.mkv"):
        frames, seconds = read(tmp_path / name)
        assert len(frames) == 4 and seconds == pytest.approx(3.5, abs=0.002)


@pytest.mark.parametrize("fps", [0.01, 90_000])
def test_absurd_frame_rates_are_recorded(tmp_path, fps):
    write_video(tmp_path, SIZE, [0, 1, 7200], fps)
    assert read(tmp_path / "overlay.mp4")[1] == pytest.approx(7200, abs=0.002)


def test_missing_pyav_is_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match="PyAV.*pip install -r requirements-deploy.txt"):
        VideoWriter(tmp_path, FPS)
