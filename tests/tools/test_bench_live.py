"""The benchmark of live streams, on tiny frames and a model that costs nothing."""

import json
import os

import pytest

from tests.deploy.conftest import GreenDetector
from tools import bench_live, bench_video


def test_ages_are_measured_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
    monkeypatch.setattr(bench_video, "load_runtime", lambda *_, **__: GreenDetector())
    monkeypatch.setattr(bench_live, "SIZES", ((96, 128),))
    arguments = ["--model_path", "best.xml", "--seconds", "1", "--fps", "20"]
    arguments += ["--json", str(tmp_path / "b.json"), "--cores", "0"]
    bench_live.main(bench_live.parse_args(arguments))
    rows = json.loads((tmp_path / "b.json").read_text())["rows"]
    assert [row["way"] for row in rows] == list(bench_live.WAYS)
    for row in rows:
        p50, p95, largest = row["age_ms"]
        assert 0 < p50 <= p95 <= largest
        assert 0 <= row["dropped"] < 1
        # 20 frames of a stream of 20 frames a second.
        assert row["frames_per_second"] == pytest.approx(20 * (1 - row["dropped"]), 0.5)
    assert "128x96" in capsys.readouterr().out
