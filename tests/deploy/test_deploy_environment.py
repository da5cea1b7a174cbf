"""Predict.py with the packages of requirements-deploy.txt alone, OpenCV 4 and 5."""

import csv
import subprocess
import sys
import venv
from pathlib import Path

import cv2
import numpy as np
import pytest

import Export
from data.demo import draw_frame

ROOT = Path(__file__).resolve().parents[2]
SIZE = (120, 160)  # height, width
FRAMES = 12
TIMES = ("decode_ms", "model_ms", "draw_ms")


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.avi"
    code = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), code, 25, SIZE[::-1])
    frame = draw_frame(3, SIZE)[0][..., ::-1]
    for number in range(FRAMES):
        writer.write(np.roll(frame, 3 * number, axis=1))
    writer.release()
    return path


def environment(folder, opencv):
    """Makes it; returns its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    requirements = ["-r", ROOT / "requirements-deploy.txt", f"opencv-python{opencv}"]
    made = subprocess.run([*pip, *requirements], capture_output=True, text=True)
    if "No matching distribution" in made.stderr:
        pytest.skip(made.stderr.strip().splitlines()[-1])
    assert made.returncode == 0, made.stderr
    return python


def run(python, *arguments):
    command = [python, "Predict.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def rows_of(out_dir):
    """The table without the times."""
    with open(out_dir / "predictions.csv") as stream:
        rows = list(csv.DictReader(stream))
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def masks_of(out_dir):
    capture, masks = cv2.VideoCapture(str(out_dir / "masks.mkv")), []
    while (read := capture.read())[0]:
        masks.append(read[1])
    return np.stack(masks)


def test_what_predict_imports_needs_no_other_packages():
    others = "tensorflow keras scipy skimage h5py matplotlib"  # of requirements.txt
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({others.split()}));"
        "import Predict, deploy, deploy.archive, deploy.export_cache, deploy.segmenter"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.slow
@pytest.mark.parametrize("opencv", ["<5", ">=5"])
def test_a_film_has_the_masks_of_the_whole_environment(
    tmp_path, network, film, opencv, monkeypatch
):
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # nothing in it
    model, out_of = tmp_path / "tiny.xml", {}
    arguments = ["--model_path", str(network), "--out", str(model)]
    assert Export.main(Export.parse_args(arguments)) == 0
    python = environment(tmp_path / "environment", opencv)
    for name, each in {"whole": Path(sys.executable), "deploy": python}.items():
        out_of[name] = tmp_path / name
        arguments = ["--source", film, "--model_path", model, "--out_dir", out_of[name]]
        done = run(each, *arguments)
        assert done.returncode == 0 and "terminate called" not in done.stderr
        assert f"{FRAMES} frames" in done.stdout
        assert (out_of[name] / "overlay.mp4").stat().st_size > 0
    masks = {name: masks_of(out_dir) for name, out_dir in out_of.items()}
    assert len(masks["deploy"]) == FRAMES and 0 < np.mean(masks["deploy"] > 0) < 1
    np.testing.assert_array_equal(masks["deploy"], masks["whole"])
    assert rows_of(out_of["deploy"]) == rows_of(out_of["whole"])

    done = run(python, "--source", film, "--out_dir", tmp_path / "none")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: TensorFlow is not installed")
