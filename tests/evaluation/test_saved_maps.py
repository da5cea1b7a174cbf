"""Maps from a folder, and that what is written reads back the same."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from cli.command import UserError
from evaluation.saved_maps import SavedMaps, read_map, writing_maps


@pytest.fixture
def case_set(make_case, make_case_set):
    rng = np.random.default_rng(0)
    maps = [rng.random((6, 8)) * 0.4 + 0.3, np.full((6, 8), 0.25)]
    return make_case_set(
        [make_case(np.eye(6, 8), m, f"m{i}") for i, m in enumerate(maps)]
    )


def test_round_trip(case_set, tmp_path):
    for index in range(len(case_set)):  # one by one: what is there is kept
        with writing_maps(tmp_path) as writer:
            writer.add(case_set.read(index))
    stored = cv2.imread(str(tmp_path / "m0.png"), cv2.IMREAD_UNCHANGED)
    assert (stored.dtype, stored.shape) == (np.uint8, (6, 8))
    assert (stored.min(), stored.max()) == (0, 255)  # stretched, as PraNet does
    for read, index in zip(SavedMaps(tmp_path).cases(case_set), (0, 1), strict=True):
        written = case_set.read(index).probability
        np.testing.assert_allclose(read.probability, written, atol=1 / 255 / 2)


def test_interrupted_writing_changes_nothing(case_set, make_case, tmp_path):
    with writing_maps(tmp_path) as writer:
        writer.add(case_set.read(0))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(KeyboardInterrupt), writing_maps(tmp_path) as writer:
        writer.add(make_case(np.eye(6, 8), np.eye(6, 8), "m0"))
        raise KeyboardInterrupt
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_values_rounded_beyond_0_and_1_can_be_read_again(make_case, tmp_path):
    values = np.float32([[-2e-5, 1.00005], [0.5, 0.5]])
    with writing_maps(tmp_path) as writer:
        writer.add(make_case(np.eye(2), values, "m0"))
    with writing_maps(tmp_path):
        pass


def test_other_pictures_are_not_replaced(case_set, tmp_path):
    mask = tmp_path / "m0.png"
    cv2.imwrite(str(mask), np.eye(6, 8, dtype=np.uint8))
    before = mask.read_bytes()
    with pytest.raises(UserError, match="no saved maps, the first: m0.png"):
        with writing_maps(tmp_path):
            pass
    assert mask.read_bytes() == before


def test_foreign_maps_are_taken_as_they_are(case_set, tmp_path):
    for name in case_set.names:
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((3, 4), 51, np.uint8))
    case = next(SavedMaps(tmp_path).cases(case_set))
    assert case.saved_map
    assert case.probability.shape == (3, 4)
    assert case.probability == pytest.approx(0.2)


@pytest.mark.parametrize("pair", ["[0.5, NaN]", "[0.6, 0.5]", "[0, 1.5]"])
def test_impossible_ranges_are_named(pair, tmp_path):
    (tmp_path / "ranges.json").write_text(f'{{"m0": [0, 1], "m1": {pair}}}')
    with pytest.raises(UserError, match="ranges.json: m1: expected 0 ≤ low"):
        SavedMaps(tmp_path)


def test_labels_after_maps_without_a_polyp_are_noticed(
    make_case, make_case_set, tmp_path
):
    empty, label = np.zeros((6, 8), np.uint8), np.eye(6, 8, dtype=np.uint8)
    cases = [make_case(empty, empty, f"m{i:02}") for i in range(13)]
    for number, case in enumerate(cases):
        cv2.imwrite(str(tmp_path / f"{case.name}.png"), label if number > 10 else empty)
    with pytest.raises(UserError, match="the brightest value is 1, expected"):
        SavedMaps(tmp_path).check(make_case_set(cases))


def test_two_maps_of_a_case_are_named(case_set, tmp_path):
    for name in ("m0.png", "m1.png", "m1.tif", "other.png", "other.tif"):
        cv2.imwrite(str(tmp_path / name), np.full((6, 8), 51, np.uint8))
    with pytest.raises(
        UserError, match=r"m1\.tif: a second map of m1, beside .*m1\.png"
    ):
        SavedMaps(tmp_path).check(case_set)


def test_a_map_of_floats_is_named_in_silence(case_set, tmp_path, capfd):
    for name in case_set.names:
        cv2.imwrite(str(tmp_path / f"{name}.tif"), np.zeros((6, 8), np.float32))
    with pytest.raises(UserError, match=r"m0\.tif: .* not of 8 or 16 bits"):
        SavedMaps(tmp_path).check(case_set)
    assert capfd.readouterr().err == ""


def test_a_named_pipe_is_no_map(case_set, tmp_path):
    os.mkfifo(tmp_path / "m0.png")  # who opens it waits for a writer
    with pytest.raises(UserError, match="2 of 2 cases of toy have no map"):
        SavedMaps(tmp_path).check(case_set)


def test_mistakes_are_named(case_set, tmp_path):
    with pytest.raises(UserError, match="not a folder"):
        SavedMaps(tmp_path / "nowhere")
    with pytest.raises(UserError, match="2 of 2 cases of toy have no map.*m0"):
        SavedMaps(tmp_path).check(case_set)
    for name in case_set.names:
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.eye(4, dtype=np.uint8))
    with pytest.raises(UserError, match="brightest value is 1"):
        SavedMaps(tmp_path).check(case_set)
    colour = np.zeros((4, 4, 3), np.uint8)
    colour[..., 0] = 200
    cv2.imwrite(str(tmp_path / "m0.png"), colour)
    with pytest.raises(UserError, match="m0.png: is a colour picture"):
        read_map(tmp_path / "m0.png")


def test_scoring_maps_needs_no_tensorflow():
    code = (
        "import sys, evaluation.evaluate, evaluation.saved_maps, evaluation.cases;"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
