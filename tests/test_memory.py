"""Predict.py may run for hours: neither its memory nor its open files grow."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest

from data.demo import draw_frames

ROOT = Path(__file__).resolve().parents[1]
FRAMES, WARM_UP = 3000, 500
SIDE = 64  # pixels, of the frames
DRAWN = 50  # different frames, shown in turn

# Runs Predict.py with a model that notes memory and open files as frames come to it.
NOTING = """
import json, os, sys
from pathlib import Path
import Predict
import deploy.segmenter

warm_up, last, *flags = sys.argv[1:]
load = deploy.segmenter.load_runtime

def resident_kib():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])

def noting(*args, **kwargs):
    runtime = load(*args, **kwargs)
    run, notes, calls = runtime.run, {}, 0

    def run_and_note(frames):
        nonlocal calls
        calls += 1
        if calls in (int(warm_up), int(last)):
            notes[calls] = resident_kib(), len(os.listdir("/proc/self/fd"))
            if calls == int(last):
                print("notes", json.dumps(list(notes.values())))
        return run(frames)

    runtime.run = run_and_note
    return runtime

deploy.segmenter.load_runtime = noting
raise SystemExit(Predict.main(Predict.parse_args(flags)))
"""


@pytest.fixture
def video(tmp_path) -> Path:
    """Drawn frames as a video."""
    frames, _, _ = draw_frames(first_seed=0, count=DRAWN, size=SIDE)
    path = tmp_path / "drawn.avi"
    code = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), code, 25.0, (SIDE, SIDE))
    for number in range(FRAMES):
        writer.write(cv2.cvtColor(frames[number % DRAWN], cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.fixture
def model(tmp_path) -> Path:
    """A model that takes milliseconds a frame."""
    path = tmp_path / "model.xml"
    flags = ["--format", "openvino", "--image_size", SIDE, SIDE, "--out", path]
    run(ROOT / "Export.py", *flags)
    return path


def run(*command) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("openvino"), reason="no OpenVINO here")
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc here")
def test_flat_over_three_thousand_frames(video, model, tmp_path):
    flags = ["--source", video, "--model_path", model, "--smooth", 0.6]
    out = run("-c", NOTING, WARM_UP, FRAMES, *flags, "--out_dir", tmp_path / "out")
    (line,) = [line for line in out.splitlines() if line.startswith("notes ")]
    (memory, files), (memory_after, files_after) = json.loads(line[6:])
    print(
        f"\nframe {WARM_UP}: {memory / 1024:.1f} MiB, {files} open files;"
        f" frame {FRAMES}: {memory_after / 1024:.1f} MiB, {files_after} open files"
    )
    assert f"{FRAMES} frames" in out
    assert memory_after <= 1.02 * memory
    assert files_after <= 1.02 * files
