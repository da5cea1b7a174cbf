"""Test.py and New_Test.py as a user runs them, with a tiny untrained network."""

import csv
import json

import cv2
import numpy as np
import pytest

import New_Test
import Test
from data import demo
from data.cli import UserError

SCORES = {"dice", "iou", "recall", "precision", "f2", "accuracy"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    from models import build_model

    path = tmp_path_factory.mktemp("runs") / "tiny" / "best.h5"
    path.parent.mkdir()
    build_model("lgps", (64, 64, 3)).save(path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A prepared set, a raw one, and a folder that is neither."""
    root = tmp_path_factory.mktemp("data")
    size = ["--image_size", "64", "--test", "5", "--train", "2"]
    demo.main(demo.parse_args(["--out_dir", str(root / "prepared"), *size]))
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        folder = root / "raw" / kind
        folder.mkdir(parents=True)
        for name, (height, width) in {"a": (60, 80), "b": (90, 70)}.items():
            picture = rng.integers(0, 255, (height, width, 3), np.uint8)
            if kind == "masks":
                picture[:] = 0
                picture[20:40, 20:40] = 255
            cv2.imwrite(str(folder / f"{name}.png"), picture)
    (root / "splits").mkdir()
    return root


def run(script, *arguments):
    script.main(script.parse_args([str(argument) for argument in arguments]))


def test_test_scores_every_set(checkpoint, data, tmp_path, capsys):
    run(
        Test, "--model_path", checkpoint, "--data_path", data, "--out_dir", tmp_path,
        "--batch_size", 2,
    )  # fmt: skip
    printed = capsys.readouterr().out
    for name, images in (("demo", 5), ("raw", 2)):
        folder = tmp_path / "tiny" / name
        metrics = json.loads((folder / "metrics.json").read_text())
        assert (metrics["dataset"], metrics["images"]) == (name, images)
        assert metrics["model"] == "tiny"
        assert set(metrics["protocols"]["lgps"]) == SCORES
        assert set(metrics["protocols"]["pvtseg"]) > SCORES
        assert metrics["images_per_second"] > 0
        rows = list(csv.DictReader((folder / "per_image.csv").open()))
        mean = np.mean([float(row["dice"]) for row in rows])
        assert mean == pytest.approx(metrics["protocols"]["pvtseg"]["dice"])
        assert cv2.imread(str(folder / "qualitative.png")).shape[1] > 800
        assert "| dice" in (folder / "README.md").read_text()
        assert f"tiny on {name}, {images} images" in printed


def test_batch_size_does_not_change_scores(checkpoint, data, tmp_path):
    tables = []
    for size in (1, 4):
        run(
            Test, "--model_path", checkpoint, "--data_path", data / "prepared",
            "--out_dir", tmp_path / str(size), "--batch_size", size,
        )  # fmt: skip
        file = tmp_path / str(size) / "tiny" / "demo" / "metrics.json"
        tables.append(json.loads(file.read_text())["protocols"]["pvtseg"])
    assert tables[0] == pytest.approx(tables[1], abs=1e-4)


def test_new_test_takes_a_raw_folder(checkpoint, data, tmp_path, capsys):
    run(
        New_Test, "--model_path", checkpoint, "--data_path", data / "raw",
        "--out_dir", tmp_path,
    )  # fmt: skip
    assert "2 pairs in images + masks" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "tiny/raw/per_image.csv").open()))
    assert [(row["name"], row["height"], row["width"]) for row in rows] == [
        ("a", "60", "80"),
        ("b", "90", "70"),
    ]


def test_new_test_scores_only_listed_names(checkpoint, data, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("b\n")
    run(
        New_Test, "--model_path", checkpoint, "--data_path", data / "raw",
        "--names", names, "--out_dir", tmp_path,
    )  # fmt: skip
    assert json.loads((tmp_path / "tiny/raw/metrics.json").read_text())["images"] == 1
    names.write_text("b\nc\n")
    with pytest.raises(UserError, match="1 of 2 listed cases are not there.* c"):
        run(
            New_Test, "--model_path", checkpoint, "--data_path", data / "raw",
            "--names", names,
        )  # fmt: skip


def test_mistakes_are_named(checkpoint, data, tmp_path):
    with pytest.raises(UserError, match="Preprocess_SEG.py"):
        run(Test, "--model_path", checkpoint, "--data_path", data / "splits")
    wrong = tmp_path / "wrong.h5"
    wrong.write_text("no network")
    with pytest.raises(UserError, match="wrong.h5"):
        run(New_Test, "--model_path", wrong, "--data_path", data / "raw")
    with pytest.raises(UserError, match="names must differ"):
        run(New_Test, "--model_path", wrong, wrong, "--data_path", data / "raw")
