"""Slices and findings of four frames whose answers are plain."""

import numpy as np
import pytest

from evaluation.analysis.slices import frame_findings, slice_scores
from evaluation.protocols import build_protocols
from evaluation.scoring import score_cases


def frame(*boxes):
    mask = np.zeros((40, 40), np.uint8)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = 1
    return mask


@pytest.fixture
def scores(make_case):
    """A found polyp, two polyps of which one is found, and two frames without any."""
    size = {"source_size": (400, 400)}  # each pixel stands for 100
    cases = [
        make_case(frame((10, 10, 20, 20)), frame((10, 10, 20, 20)), "a", centre="C1"),
        make_case(
            frame((0, 0, 25, 25), (30, 30, 38, 38)),
            frame((0, 0, 25, 25)),
            "b",
            centre="C2",
            **size,
        ),
        make_case(frame(), frame(), "c", centre="C2", **size),
        make_case(frame(), frame((5, 5, 9, 9)), "d", centre="C2", **size),
    ]
    return score_cases(cases, build_protocols(["pvtseg"]))


def test_slices(scores):
    found = {part["slice"]: part for part in slice_scores(scores)}
    assert found["all images"]["images"] == 4
    assert found["C1"]["images"] == 1
    assert found["C2"]["images"] == 3
    assert found["no polyp"]["dice"] == 0.5  # one silent frame, one false alarm
    assert found["touches the image border"]["images"] == 1
    assert found["inside the image"]["images"] == 1
    # (25² + 8²) · 100 = 68,900 pixels at the frame's own size; a's size is unknown.
    assert found["large (> 200² px)"]["images"] == 1
    assert "small (≤ 100² px)" not in found
    # Of b's two polyps, 62,500 and 6,400 pixels, the larger one is found.
    assert found["large (> 200² px)"]["polyps"] == 1
    assert found["large (> 200² px)"]["lesion_recall"] == 1
    assert scores.column("small_polyps").tolist() == [0, 1, 0, 0]
    assert scores.column("small_polyps_found").sum() == 0
    several = found["several polyps"]
    assert (several["polyps"], several["lesion_recall"]) == (2, 0.5)
    assert found["all images"]["lesion_recall"] == pytest.approx(2 / 3)
    assert found["no polyp"]["lesion_recall"] is None


def test_findings(scores):
    findings = frame_findings(scores)
    assert (findings["empty_frames"], findings["specificity"]) == (2, 0.5)
    assert findings["lesion_recall"] == pytest.approx(2 / 3)
    assert findings["false_positives_per_image"] == 0.25
    # 0/1 maps: the error is the share of wrong pixels, 64 missed and 16 too many.
    assert findings["ece"] == pytest.approx((64 + 16) / (4 * 1600))
