"""The benchmark of Predict.py on videos, on a tiny film and model."""

import json
import os
import time
from pathlib import Path

import pytest

from cli.command import UserError
from deploy.sources import open_source
from tests.deploy.conftest import GreenDetector
from tools import bench_video
from tools.bench_rows import Row


def test_all_figures_are_measured_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
    monkeypatch.setattr(bench_video, "load_runtime", lambda *_, **__: GreenDetector())
    monkeypatch.setattr(bench_video, "SIZES", ((96, 128),))
    arguments = ["--model_path", "best.xml", "--frames", "24", "--rounds", "1"]
    arguments += ["--json", str(tmp_path / "b.json"), "--cores", "0"]
    bench_video.main(bench_video.parse_args(arguments))
    (row,) = json.loads((tmp_path / "b.json").read_text())["rows"]
    assert row["size"] == [96, 128]
    assert list(row["stage_ms"]) == list(bench_video.STAGES)
    for figures in (row["frames_per_second"], row["cpu_ms"], row["stage_ms"]):
        assert all(value > 0 for value in figures.values())
    assert "128x96" in capsys.readouterr().out


def test_film_has_the_size_and_the_frames_asked_for(tmp_path):
    bench_video.draw_film(tmp_path / "film.mp4", (64, 96), 30)
    frames = [frame.image for frame in open_source(str(tmp_path / "film.mp4"))]
    assert len(frames) == 30 and frames[0].shape == (64, 96, 3)
    assert (frames[0] != frames[15]).any()


def test_the_fastest_export_is_measured(tmp_path, monkeypatch):
    class Slower(GreenDetector):
        def __init__(self, path):
            self.seconds = 0.002 * ("float" in path.name)

        def run(self, frames):
            time.sleep(self.seconds)
            return super().run(frames)

    rows = [
        Row("keras compiled", True, "float32", "a.h5"),
        Row("openvino", False, "float32", "plain.xml"),
        Row("openvino", True, "float32", "float.xml"),
        Row("openvino", True, "int8", "int8.xml"),
    ]
    loaded = []
    monkeypatch.setattr(bench_video, "export_rows", lambda *_: rows)
    monkeypatch.setattr(
        bench_video,
        "load_runtime",
        lambda path, threads: loaded.append(path.name) or Slower(path),
    )
    assert bench_video.fastest_export(Path("a.h5"), tmp_path, 1) == Path("int8.xml")
    assert loaded == ["float.xml", "int8.xml"]
    rows[1:] = []
    with pytest.raises(UserError, match="no runtime is installed"):
        bench_video.fastest_export(Path("a.h5"), tmp_path, 1)


def test_cores_that_are_not_there_are_named():
    with pytest.raises(UserError, match=r"may not use \[9999\]"):
        bench_video.main(bench_video.parse_args(["--cores", "9999"]))
