"""The pranet protocol, end to end, against PySODMetrics on the maps as saved."""

import cv2
import numpy as np
import py_sod_metrics
import pytest
from scipy.special import expit

from evaluation.protocols import build_protocols
from evaluation.protocols.pranet import normalise_map, resized_by_logits
from evaluation.saved_maps import SavedMaps, writing_maps
from evaluation.scoring import score_cases


@pytest.fixture
def cases(make_case):
    """Polyps of several kinds, with maps at another size than the masks."""
    rng = np.random.default_rng(3)
    boxes = [(10, 12, 30, 40), (0, 0, 8, 9), (20, 20, 21, 21), (0, 0, 0, 0)]
    made = []
    for index, (top, left, bottom, right) in enumerate(boxes):
        truth = np.zeros((48, 64), np.uint8)
        truth[top:bottom, left:right] = 1
        small = cv2.resize(truth.astype(np.float32), (32, 32))
        noisy = cv2.GaussianBlur(small, (5, 5), 1) * 0.7
        noisy += rng.random((32, 32), np.float32) * 0.25
        made.append(make_case(truth, noisy, f"frame{index}"))
    return made


def direct_scores(folder, cases):
    """What PySODMetrics itself says of the PNGs in a folder."""
    handlers = {
        "dice": py_sod_metrics.DICEHandler(with_dynamic=True, with_adaptive=False),
        "iou": py_sod_metrics.IOUHandler(with_dynamic=True, with_adaptive=False),
    }
    measures = {
        "f": py_sod_metrics.FmeasureV2(handlers),
        "wfm": py_sod_metrics.WeightedFmeasure(),
        "sm": py_sod_metrics.Smeasure(),
        "em": py_sod_metrics.Emeasure(),
        "mae": py_sod_metrics.MAE(),
    }
    for case in cases:
        levels = cv2.imread(str(folder / f"{case.name}.png"), cv2.IMREAD_GRAYSCALE)
        for measure in measures.values():
            measure.step(levels, case.truth * 255)
    results = {name: measure.get_results() for name, measure in measures.items()}
    dice, em = results["f"]["dice"]["dynamic"], results["em"]["em"]["curve"]
    return {
        "mean_dice": dice.mean(),
        "mean_iou": results["f"]["iou"]["dynamic"].mean(),
        "max_dice": dice.max(),
        "wfm": results["wfm"]["wfm"],
        "sm": results["sm"]["sm"],
        "mean_em": em.mean(),
        "max_em": em.max(),
        "mae": results["mae"]["mae"],
    }


def test_equals_pysodmetrics(cases, make_case_set, tmp_path):
    with writing_maps(tmp_path / "maps") as writer:
        for case in cases:
            writer.add(case)
    expected = pytest.approx(direct_scores(tmp_path / "maps", cases), abs=1e-6)
    protocols = build_protocols(["pranet"])
    assert score_cases(cases, protocols).table()["pranet"] == expected
    saved = SavedMaps(tmp_path / "maps").cases(make_case_set(cases))
    assert score_cases(saved, protocols).table()["pranet"] == expected


def test_equals_pysodmetrics_on_foreign_maps(cases, make_case_set, tmp_path):
    # Not stretched to the full range, and no ranges beside them.
    for case in cases:
        levels = 20 + 150 * cv2.resize(case.probability, (64, 48))
        cv2.imwrite(str(tmp_path / f"{case.name}.png"), levels.astype(np.uint8))
    saved = SavedMaps(tmp_path).cases(make_case_set(cases))
    table = score_cases(saved, build_protocols(["pranet"])).table()["pranet"]
    assert table == pytest.approx(direct_scores(tmp_path, cases), abs=1e-6)


def test_maps_are_resized_by_their_logits(make_case):
    truth = np.tile([0, 0, 1, 1], (4, 1))
    case = make_case(truth, expit([[-6.0, 2.0]] * 2))
    expected = np.tile(expit([-6, -4, 0, 2]), (4, 1))  # interpolated between the two
    np.testing.assert_allclose(resized_by_logits(case), expected, rtol=1e-4)
    # As PraNet's code goes on: stretched after the sigmoid.
    stretched = (expected - expected.min()) / np.ptp(expected)
    scores = score_cases([case], build_protocols(["pranet"])).table()["pranet"]
    assert scores["mae"] == pytest.approx(np.abs(stretched - truth).mean(), abs=1e-3)


def test_maps_from_files_are_resized_by_their_values(make_case):
    case = make_case([[0, 0, 0, 1]], [[0.0, 0.8]], saved_map=True)
    np.testing.assert_allclose(
        resized_by_logits(case)[0], [0, 0.2, 0.6, 0.8], rtol=1e-6
    )


def test_certain_maps_stay_finite(make_case):
    case = make_case([[0, 0, 1, 1]], [[0.0, 1.0]])
    np.testing.assert_allclose(
        resized_by_logits(case)[0], [0, 1e-3, 1 - 1e-3, 1], atol=1e-4
    )


def test_normalisation():
    levels = normalise_map(np.float32([[0.2, 0.3, 0.4]]), saved=False)
    # The middle becomes 127.5 or its float neighbour: an 8-bit step.
    assert levels[0, [0, 2]].tolist() == [0, 1]
    assert levels[0, 1] * 255 in (127, 128)
    assert (normalise_map(np.full((2, 2), 0.2), saved=True) == 0.2).all()


@pytest.mark.parametrize(
    ("truth", "found", "dice", "em"),
    [
        # A constant map is not stretched: all 0 passes only the last threshold, where
        # an empty truth's background share is 0; (255 · 9 / 8) / 256 of mean E.
        (0, 0, 0.0, 255 * 9 / 8 / 256),
        (0, 1, 0.0, 0.0),
        (1, 1, 1.0, 9 / 8),
        # All 0: the last threshold takes all pixels, and all are polyp.
        (1, 0, 1 / 256, 9 / 8 / 256),
    ],
)
def test_empty_and_full(make_case, truth, found, dice, em):
    case = make_case(np.full((3, 3), truth), np.full((3, 3), found))
    scores = score_cases([case], build_protocols(["pranet"])).table()["pranet"]
    assert scores["mean_dice"] == scores["mean_iou"] == pytest.approx(dice)
    assert scores["mean_em"] == pytest.approx(em)
    assert scores["mae"] == (truth != found)
