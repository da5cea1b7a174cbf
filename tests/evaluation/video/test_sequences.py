"""Scores of one sequence and of several, worked by hand."""

import numpy as np
import pytest

from evaluation.video.frames import IOU_LIMITS, THRESHOLDS, Frame
from evaluation.video.scoring import VideoScores
from evaluation.video.sequences import (
    ALARM_EVENTS,
    ALARMS,
    CONSISTENCY,
    DELAY,
    DICE,
    FOUND,
    PERSISTENCE,
    SENSITIVITY,
    SPECIFICITY,
    Rule,
    alarm_name,
    mask_ratios,
    sequence_ratios,
    window_name,
)

LOOSE, STRICT = Rule(0.0), Rule(0.5)


def frame(polyps, *ious, held=None, sequence="a", name="", dice=np.nan, **changes):
    fields = {
        "name": name,
        "sequence": sequence,
        "polyps": polyps,
        "ious": ious,
        "held": held or (True,) * len(ious),
        "dice": dice,
        "iou_before": np.nan,
        "truth_iou_before": np.nan,
        "curve": np.zeros((len(THRESHOLDS), len(IOU_LIMITS), 3), int),
    }
    return Frame(**{**fields, **changes})


# At 2 frames/s: a false region in frame 0, a polyp in frames 1 to 6 that is touched in
# frames 4 and 6, well covered in frame 6 only, and false regions in frames 5 to 7.
FRAMES = [
    frame(0, 0.0),
    frame(1),
    frame(1),
    frame(1),
    frame(1, 0.3),
    frame(1, 0.0),
    frame(1, 0.8, 0.0, 0.0),
    frame(0, 0.0),
]


def test_loose_rule():
    ratios = sequence_ratios(FRAMES, 2, LOOSE)
    minutes = 8 / 2 / 60
    assert ratios == {
        SENSITIVITY: (2, 6),
        SPECIFICITY: (0, 2),
        ALARMS: (1 + 1 + 2 + 1, minutes),
        ALARM_EVENTS: (2, minutes),  # frame 0, and frames 5 to 7
        alarm_name(0.1): (2, minutes),  # one frame lasts 0.5 s
        alarm_name(0.5): (2, minutes),
        FOUND: (1, 1),
        # First seen in frame 1, detected in frame 4, 1.5 s later.
        window_name(1): (0, 1),
        window_name(3): (1, 1),
        window_name(5): (1, 1),
        DELAY: (1.5, 1),
        PERSISTENCE: (2 / 6, 1),
    }


def test_strict_rule_makes_poor_regions_false_alarms():
    ratios = sequence_ratios(FRAMES, 2, STRICT)
    assert ratios[SENSITIVITY] == (1, 6)
    assert ratios[ALARMS][0] == 6  # that of frame 4 too
    assert ratios[ALARM_EVENTS][0] == 2  # which joins the run of frames 4 to 7
    assert ratios[DELAY] == (2.5, 1)
    assert ratios[window_name(3)] == (1, 1)


@pytest.mark.parametrize(
    ("fps", "tenth", "half"),
    [(25, 1, 0), (30, 1, 0), (5, 3, 1), (4, 3, 2)],
)
def test_false_alarms_by_how_long_they_last(fps, tenth, half):
    # Runs of 1, 2 and 3 frames: at 25 frames/s 0.04, 0.08 and 0.12 s, at 30 frames/s
    # 0.03, 0.07 and exactly 0.1 s, at 5 frames/s 0.2, 0.4 and 0.6 s, at 4 frames/s
    # 0.25, exactly 0.5 and 0.75 s.
    frames = [frame(0, *[0.0] * int(x)) for x in "10110111"]
    ratios = sequence_ratios(frames, fps, LOOSE)
    assert ratios[ALARM_EVENTS][0] == 3
    assert ratios[alarm_name(0.1)][0] == tenth
    assert ratios[alarm_name(0.5)][0] == half


def test_within_a_second_means_in_its_first_second_of_frames():
    for first, expected in ((1, 1), (2, 0)):  # at 2 frames/s: frames 0 and 1
        frames = [frame(1, *[0.9] * (n >= first)) for n in range(4)]
        assert sequence_ratios(frames, 2, LOOSE)[window_name(1)] == (expected, 1)


def test_a_polyp_that_is_never_found():
    ratios = sequence_ratios([frame(1)] * 3, 25, LOOSE)
    assert ratios[FOUND] == (0, 1) and ratios[PERSISTENCE] == (0, 1)
    assert ratios[DELAY] == (0, 0)  # no time to average


def test_a_negative_sequence_has_no_polyp():
    ratios = sequence_ratios([frame(0), frame(0, 0.0)], 25, LOOSE)
    assert ratios[SPECIFICITY] == (1, 2)
    for name in (SENSITIVITY, FOUND, PERSISTENCE, DELAY, window_name(5)):
        assert ratios[name][1] == 0


def test_hold_counts_only_regions_seen_often_enough():
    rule = Rule(0.0, (2, 3))
    frames = [frame(1, 0.6, 0.0, held=(False, False)), frame(1, 0.6, held=(True,))]
    ratios = sequence_ratios(frames, 25, rule)
    assert ratios[SENSITIVITY] == (1, 2) and ratios[ALARMS][0] == 0
    assert ratios[DELAY] == (1 / 25, 1)
    assert str(rule) == "IoU > 0, hold 2/3"


def test_masks():
    frames = [
        frame(1, dice=0.9),
        frame(0, iou_before=0.5),
        frame(1, dice=0.5, iou_before=1.0),
    ]
    ratios = mask_ratios(frames)
    assert ratios[DICE] == (1.4, 2) and ratios[CONSISTENCY] == (1.5, 2)


@pytest.fixture
def scores():
    """Three sequences: 3 of 4 frames right, 1 of 2 right, and a silent negative."""
    frames = [frame(1, 0.8, sequence="a", name=f"a{n}", dice=0.8) for n in range(3)]
    frames += [frame(1, sequence="a", name="a3", dice=0.0)]
    frames += [frame(1, 0.6, 0.0, sequence="b", name="b0", dice=0.7)]
    frames += [frame(1, sequence="b", name="b1", dice=0.0)]
    frames += [frame(0, sequence="c", name="c0"), frame(0, sequence="c", name="c1")]
    return VideoScores(frames, 25, 0.5, trained=frozenset({"a0", "a3", "b1"}))


def test_totals(scores):
    table = scores.table(LOOSE)
    assert table[SENSITIVITY].value == 4 / 6  # of all frames together
    assert table[PERSISTENCE].value == (3 / 4 + 1 / 2) / 2  # mean over polyps
    assert table[SPECIFICITY].value == 1
    assert table[ALARMS].value == pytest.approx(1 / (8 / 25 / 60))
    assert scores.mask_table()[DICE].value == pytest.approx((3 * 0.8 + 0.7) / 6)
    assert scores.mask_table()[CONSISTENCY].value is None


def test_intervals_draw_whole_sequences(scores):
    table = scores.table(LOOSE)
    # Samples of a and b only have the sensitivities 1/2, 3/4 and what lies between.
    assert table[SENSITIVITY].interval == pytest.approx((1 / 2, 3 / 4))
    assert table[SPECIFICITY].interval is None  # of one sequence
    # Wilson, 2 of 2: low = 2 / (2 + 1.96²) = 0.342
    assert table[FOUND].interval == pytest.approx((0.342, 1), abs=1e-3)


def test_frames_not_trained_on(scores):
    table = scores.unseen_table(LOOSE)
    assert table[SENSITIVITY].value == 1  # a1, a2, b0
    assert table[ALARMS].value == pytest.approx(1 / (5 / 25 / 60))
    assert FOUND not in table


def test_worst_first(scores):
    assert scores.worst_first() == ["b", "a", "c"]


def test_free_response():
    curve = np.zeros((len(THRESHOLDS), 2, 3), int)
    curve[0] = [[2, 0, 3], [1, 1, 4]]
    frames = [frame(2, curve=curve), frame(2, curve=curve), frame(0, curve=0 * curve)]
    points = VideoScores(frames, 25, 0.5).free_response()
    assert points[0].tolist() == [[4 / 4, 6 / 3], [2 / 4, 8 / 3]]
    empty = VideoScores([frame(0)], 25, 0.5).free_response()
    assert np.isnan(empty[:, :, 0]).all() and not empty[:, :, 1].any()
