"""Each protocol's rules, on masks small enough to count by hand."""

import numpy as np
import pytest

from evaluation.cases import resize_map
from evaluation.protocols import PROTOCOL_NAMES, build_protocols
from evaluation.protocols.base import at_network_size
from evaluation.scoring import score_cases

# A: truth 3 pixels, 2 of them found, nothing else found. tp 2, fp 0, fn 1, tn 1.
TRUTH_A, MAP_A = [[1, 1], [1, 0]], [[0.9, 0.6], [0.5, 0.1]]
# B: truth 1 pixel, found, and two more. tp 1, fp 2, fn 0, tn 1.
TRUTH_B, MAP_B = [[1, 0], [0, 0]], [[0.9, 0.8], [0.7, 0.2]]


@pytest.fixture
def score(make_case):
    """Scores (truth, map) pairs by one protocol."""

    def run(name: str, *pairs):
        cases = [make_case(t, m, f"case{i}") for i, (t, m) in enumerate(pairs)]
        return score_cases(cases, build_protocols([name])).table()[name]

    return run


def test_lgps_pools_pixels(score):
    # Pooled: tp 3, fp 2, fn 1, tn 2.
    scores = score("lgps", (TRUTH_A, MAP_A), (TRUTH_B, MAP_B))
    assert scores["dice"] == pytest.approx(6 / 9)
    assert scores["iou"] == pytest.approx((3 / 6 + 2 / 5) / 2)
    assert scores["recall"] == pytest.approx(3 / 4)
    assert scores["precision"] == pytest.approx(3 / 5)
    assert scores["f2"] == pytest.approx(5 * 0.6 * 0.75 / (4 * 0.6 + 0.75))
    assert scores["accuracy"] == pytest.approx(5 / 8)


def test_pvtseg_averages_images(score):
    scores = score("pvtseg", (TRUTH_A, MAP_A), (TRUTH_B, MAP_B))
    assert scores["dice"] == pytest.approx((4 / 5 + 2 / 4) / 2)
    assert scores["iou"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert scores["recall"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["precision"] == pytest.approx((1 + 1 / 3) / 2)
    f2_a = 5 * 1 * (2 / 3) / (4 * 1 + 2 / 3)
    f2_b = 5 * (1 / 3) * 1 / (4 / 3 + 1)
    assert scores["f2"] == pytest.approx((f2_a + f2_b) / 2)
    assert scores["accuracy"] == pytest.approx((3 / 4 + 2 / 4) / 2)


EMPTY, FULL = np.zeros((4, 5)), np.ones((4, 5))
PIXEL = np.eye(4, 5) * np.arange(4)[:, None] == 2  # one pixel, at (2, 2)


@pytest.mark.parametrize(
    ("truth", "found", "dice", "recall", "precision", "hd95"),
    [
        (EMPTY, EMPTY, 1, 1, 1, 0),
        (EMPTY, FULL, 0, 1, 0, 5),  # nothing to recall counts as recalled
        (FULL, EMPTY, 0, 0, 1, 5),
        (FULL, FULL, 1, 1, 1, 0),
        (PIXEL, PIXEL, 1, 1, 1, 0),
        (PIXEL, EMPTY, 0, 0, 1, 5),
    ],
)
def test_pvtseg_corner_cases(score, truth, found, dice, recall, precision, hd95):
    scores = score("pvtseg", (truth, found))
    assert scores["dice"] == scores["iou"] == dice
    assert (scores["recall"], scores["precision"]) == (recall, precision)
    assert scores["hausdorff"] == scores["hd95"] == hd95


@pytest.mark.parametrize(
    ("truth", "found", "dice", "iou", "recall", "precision"),
    [
        (EMPTY, EMPTY, 1, 1, 0, 0),  # Keras: no foreground class, so only background
        (EMPTY, FULL, 0, 0, 0, 0),
        (FULL, FULL, 1, 1, 1, 1),
        (FULL, EMPTY, 0, 0, 0, 0),
    ],
)
def test_lgps_corner_cases(score, truth, found, dice, iou, recall, precision):
    scores = score("lgps", (truth, found))
    assert (scores["dice"], scores["iou"]) == (dice, iou)
    assert (scores["recall"], scores["precision"]) == (recall, precision)


def test_threshold_itself_is_background(score):
    assert score("pvtseg", ([[1, 1]], [[0.5, 0.51]]))["recall"] == 0.5


def test_raw_cases_are_scored_at_256(make_case):
    case = make_case(np.ones((30, 40)), np.ones((64, 64)), prepared=False)
    truth, probability = at_network_size(case)
    assert truth.shape == probability.shape == (256, 256)


def test_prepared_cases_are_scored_at_their_own_size(make_case):
    truth, probability = at_network_size(make_case(np.ones((30, 40)), np.ones((8, 8))))
    assert truth.shape == probability.shape == (30, 40)


def test_maps_are_resized_with_half_pixel_centres():
    # Doubling [0, 1]: centres lie at -1/4, 1/4, 3/4, 5/4 of the old pixels.
    assert resize_map(np.float32([[0, 1]]), (1, 4)) == pytest.approx(
        np.array([[0, 0.25, 0.75, 1]])
    )


@pytest.mark.parametrize(
    ("truth", "found", "expected"),
    [
        (EMPTY, EMPTY, (1, 1, 1, 1)),
        (EMPTY, FULL, (0, 0, 0, 0)),  # not both empty: nothing to recall is worth 0
        (FULL, EMPTY, (0, 0, 0, 0)),
        (FULL, FULL, (1, 1, 1, 1)),
        (PIXEL, PIXEL, (1, 1, 1, 1)),
    ],
)
def test_medico_corner_cases(score, truth, found, expected):
    scores = score("medico", (truth, found))
    names = ("dice", "iou", "recall", "precision")
    assert tuple(scores[name] for name in names) == expected


def test_medico_scores_at_the_masks_size(make_case):
    # The map's two pixels become four: 0, 0.25, 0.75, 1. Above 0.5: the last two.
    case = make_case([[0, 0, 0, 1]], [[0.0, 1.0]], prepared=False)
    scores = score_cases([case], build_protocols(["medico"])).table()["medico"]
    assert scores["precision"] == 0.5
    assert scores["dice"] == pytest.approx(2 / 3)


def test_pvtseg_verbatim_thresholds_logits(score):
    # p = 0.6 has a logit of 0.405, p = 0.63 one of 0.532.
    pair = ([[1, 1]], [[0.6, 0.63]])
    assert score("pvtseg", pair)["recall"] == 1
    assert score("pvtseg-verbatim", pair)["recall"] == 0.5


def test_lgps_verbatim_reads_one_truth_three_ways(make_case):
    # Greys 1, 0.996, 0.004, 0; predicted 1, 1, 0, 0.
    grey = np.float32([[1, 0.996, 0.004, 0]])
    case = make_case([[1, 1, 0, 0]], [[0.9, 0.9, 0.1, 0.1]], grey_truth=lambda: grey)
    scores = score_cases([case], build_protocols(["lgps-verbatim"])).table()
    scores = scores["lgps-verbatim"]
    assert scores["dice"] == pytest.approx(2 * 1.996 / (2.0 + 2))
    assert scores["iou"] == pytest.approx((1 / 2 + 2 / 3) / 2)  # 0.996 is background
    assert scores["recall"] == pytest.approx(2 / 3)  # 0.004 is foreground
    assert scores["precision"] == 1
    assert scores["accuracy"] == 0.5  # neither 0.996 nor 0.004 equals anything


def test_threshold_is_in_the_name(make_case):
    case = make_case([[1, 1]], [[0.9, 0.4]])
    protocols = build_protocols(["pvtseg", "pranet"], threshold=0.3)
    table = score_cases([case], protocols).table()
    assert list(table) == ["pvtseg", "pranet", "pvtseg@0.3"]
    *_, labelled = build_protocols(["pvtseg"], 0.3, label="auto")
    assert labelled.name == "pvtseg@auto"
    assert (table["pvtseg"]["recall"], table["pvtseg@0.3"]["recall"]) == (0.5, 1)


def test_a_protocol_says_its_size_and_whether_it_takes_a_threshold():
    protocols = build_protocols(PROTOCOL_NAMES)
    assert [p.name for p in protocols if p.original_size] == ["pranet", "medico"]
    with_threshold = [p.name for p in protocols if p.at_threshold]
    assert with_threshold == ["lgps", "pvtseg", "medico"]
    assert "threshold 0.3" in protocols[0].at_threshold(0.3).rules


def test_image_means_are_means_over_images(make_case):
    rng = np.random.default_rng(0)
    cases = [
        make_case(rng.random((9, 9)) > 0.6, rng.random((9, 9)), f"case{i}")
        for i in range(5)
    ]
    scores = score_cases(cases, build_protocols(PROTOCOL_NAMES))
    for protocol in scores.protocols:
        statistics = scores.statistics[protocol.name]
        per_image = protocol.scores(statistics)
        for name, value in scores.table()[protocol.name].items():
            assert np.isfinite(value)
            if name in protocol.image_means:
                assert value == pytest.approx(per_image[name].mean())
