"""Tables and the page's section of videos, on drawn sequences."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from evaluation.report.video_page import timeline, video_section
from evaluation.report.video_tables import (
    format_score,
    video_metrics,
    video_tables,
    write_video_frames,
)
from evaluation.video.frames import FrameReader
from evaluation.video.scoring import Score, VideoScores
from evaluation.video.sequences import ALARMS, DICE, SENSITIVITY


def square(*places, size=40):
    picture = np.zeros((size, size), np.float32)
    for x, y in places:
        picture[y : y + 10, x : x + 10] = 1
    return picture


@pytest.fixture
def scores(make_case):
    """<a>: detected, missed, poorly detected beside a false region; b: no polyp."""
    reader = FrameReader(0.5)
    one = square((5, 5))
    frames = [
        ("b", square(), square()),
        ("<a>", one, one),
        ("<a>", one, square()),
        ("<a>", one, square((11, 5), (25, 25))),
    ]
    for n, (group, truth, found) in enumerate(frames):
        reader.add(make_case(truth, found, f"frame{n}", group=group))
    return VideoScores(reader.frames, 25, 0.5, (2, 3), frozenset({"frame1"}))


@pytest.mark.parametrize(
    ("name", "score", "text"),
    [
        (SENSITIVITY, Score(0.961, (0.92, 0.991)), "96.1 % (92.0–99.1)"),
        (ALARMS, Score(2.346, (0.0, 4.0)), "2.35 (0.00–4.00)"),
        (DICE, Score(0.9444, None), "0.944"),
        (SENSITIVITY, Score(None, None), "–"),
    ],
)
def test_scores_as_text(name, score, text):
    assert format_score(name, score) == text


def row(text, start):
    line = next(line for line in text.splitlines() if line.startswith(f"| {start} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_tables(scores):
    text = video_tables(scores)
    # Of three frames two are touched (the third at IoU 40 / 160), one covered.
    sensitivity = row(text, "sensitivity")
    assert [cell.split(" ")[0] for cell in sensitivity[1:3]] == ["66.7", "33.3"]
    assert row(text, "specificity")[1] == "100.0 %"
    # One false region, two by the strict rule, in 4 frames at 25 frames/s.
    alarms = [cell.split()[0] for cell in row(text, ALARMS)[1:3]]
    assert alarms == ["375.00", "750.00"]
    assert row(text, "<a>")[:5] == ["<a>", "3", "1", "3", "66.7 %"]
    for name in scores.table(scores.rules[0]):
        assert f"| {name} " in text
    assert "the other 3 are of 2 sequences" in text.lower()
    assert "1 of these sequences was not trained on at all" in text
    assert "in sight for more than 1, 3 and 5 s: 0, 0 and 0 of 1" in text
    assert "The set lasts 0.2 s" in text and "2 of the last 3 frames" in text


def test_frames_far_apart_are_noticed(make_case):
    for step, is_noticed in ((1, False), (6, True)):
        reader = FrameReader(0.5)
        for n in range(3):
            here = square((step * n, 5))
            reader.add(make_case(here, here, f"{n}", group="a"))
        text = video_tables(VideoScores(reader.frames, 25, 0.5))
        # A step of 6: 40 common pixels of 160, IoU 0.25.
        assert ("overlap with a mean IoU of only 0.25" in text) is is_noticed


def test_json_and_csv(scores, tmp_path):
    content = json.loads(json.dumps(video_metrics(scores), allow_nan=False))
    assert set(content["detection"]) == {
        "IoU > 0",
        "IoU > 0.5",
        "IoU > 0, hold 2/3",
        "IoU > 0.5, hold 2/3",
    }
    assert content["detection"]["IoU > 0"][SENSITIVITY]["value"] == 2 / 3
    assert content["sequences"]["b"]["IoU > 0"][SENSITIVITY] is None
    write_video_frames(tmp_path, scores)
    rows = list(csv.DictReader((tmp_path / "video_frames.csv").open()))
    assert [line["seconds"] for line in rows] == ["0.000", "0.000", "0.040", "0.080"]
    assert rows[3]["ious"] == "0.2500;0.0000" and rows[0]["dice"] == ""
    assert [line["trained_on"] for line in rows] == ["0", "1", "0", "0"]


def test_timeline(scores):
    svg = timeline(scores.sequences["<a>"])
    shapes = re.findall(
        r'<rect class="(\w+)" x="([\d.]+)" y="\d+" width="([\d.]+)"', svg
    )
    # The truth is one run of three frames, each frame a third of 1000.
    assert shapes == [
        ("truth", "0.0", "1000.0"),
        ("strict", "0.0", "333.3"),
        ("missed", "333.3", "333.3"),
        ("loose", "666.7", "333.3"),
        ("alarm", "666.7", "333.3"),
    ]
    assert len(re.search('points="([^"]+)"', svg)[1].split()) == 3
    touched = replace(scores.sequences["<a>"][0], ious=(0.3,))
    assert "alarm" not in timeline([touched])
    silent = timeline(scores.sequences["b"])
    assert "polyline" not in silent and silent.count("<rect") == 1


def test_section(scores):
    text = video_section(scores, [f"cases/{n}.jpg" for n in range(4)])
    assert text.count('<details class="sequence">') == 2
    assert "<a>" not in text and "<b>&lt;a&gt;" in text
    assert text.index("&lt;a&gt;") < text.index("<b>b</b>")  # the worst first
    assert "detected, IoU &gt; 0 only, Dice 0.267, 1 false region" in text
    assert "<b>detection</b>: a predicted region" in text and "**" not in text
    # Dice 2 · 40 / (100 + 200)
    assert text.count('href="cases/') == 4
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", text)


def test_frames_that_were_all_trained_on(scores):
    known = frozenset(frame.name for frame in scores.frames)
    all_known = replace(scores, trained=known)
    text = video_tables(all_known)
    assert "trained on all of these frames" in text and "not trained on" not in text
    assert "not_trained_on" not in video_metrics(all_known)
