"""Video sequences are found in every layout, and whole or not at all."""

import shutil

import pytest

from cli.command import UserError
from data.images import read_pair
from data.sequences import find_sequences


def sequences(dataset):
    """Sequence → names of its frames, in the order found."""
    found = {}
    for pair in dataset.pairs:
        found.setdefault(pair.group, []).append(pair.name)
    return found


def test_clinicdb_needs_all_of_its_frames(tmp_path, write_set):
    root = tmp_path / "CVC-ClinicDB"
    write_set(root, [str(n) for n in range(1, 613)], "Original", "Ground Truth")
    found = sequences(find_sequences(root))
    assert len(found) == 29 and sum(map(len, found.values())) == 612
    assert found["sequence 2"] == [str(n) for n in range(26, 51)]
    (root / "Original/30.png").unlink()
    with pytest.raises(UserError, match="611 of the 612 frames"):
        find_sequences(root)


def test_polypgen_positive_and_negative(tmp_path, write_set):
    root = tmp_path / "PolypGen2021_MultiCenterData_v3"
    write_set(root / "data_C1", ["1", "2"], "images_C1", "masks_C1", ".jpg", "{}_mask")
    videos = root / "sequenceData"
    for k in (2, 10):
        write_set(
            videos / f"positive/seq{k}",
            ["f2", "f10"],
            f"images_seq{k}",
            f"masks_seq{k}",
            ".jpg",
            "{}_mask",
        )
    negative = videos / "negativeOnly/seq1_neg"
    shutil.copytree(videos / "positive/seq2/images_seq2", negative)
    dataset = find_sequences(root)
    assert dataset.name == "PolypGen-sequenceData"
    assert sequences(dataset) == {
        "negativeOnly/seq1_neg": [
            "negativeOnly_seq1_neg_f2",
            "negativeOnly_seq1_neg_f10",
        ],
        "positive/seq2": ["positive_seq2_f2", "positive_seq2_f10"],
        "positive/seq10": ["positive_seq10_f2", "positive_seq10_f10"],
    }
    image, truth = read_pair(dataset.pairs[0].image, dataset.pairs[0].mask)
    assert truth.shape == image.shape[:2] and not truth.any()
    assert read_pair(dataset.pairs[2].image, dataset.pairs[2].mask)[1].any()


def test_sun_seg(tmp_path, write_set):
    root = tmp_path / "TestEasyDataset"
    for part in ("Seen", "Unseen"):
        for case in ("case1_1", "case2_3"):
            write_set(root / part, [f"{case}-{part}-1"], f"Frame/{case}", f"GT/{case}")
            (root / part / "Edge" / case).mkdir(parents=True)
    assert sequences(find_sequences(root)) == {
        "Seen/case1_1": ["case1_1-Seen-1"],
        "Seen/case2_3": ["case2_3-Seen-1"],
        "Unseen/case1_1": ["case1_1-Unseen-1"],
        "Unseen/case2_3": ["case2_3-Unseen-1"],
    }
    assert list(sequences(find_sequences(root / "Seen"))) == ["case1_1", "case2_3"]
    shutil.rmtree(root / "Seen/GT/case2_3")
    with pytest.raises(UserError, match="GT/case2_3: is missing"):
        find_sequences(root)


def test_folder_of_folders(tmp_path, write_set):
    write_set(tmp_path / "stalk", ["1", "2"])
    write_set(tmp_path / "flat", ["3"], "frames", "gt")
    assert sequences(find_sequences(tmp_path)) == {"flat": ["3"], "stalk": ["1", "2"]}
    (tmp_path / "stalk/masks/2.png").unlink()
    with pytest.raises(UserError, match="2.png: image without mask; a video needs"):
        find_sequences(tmp_path)


@pytest.mark.parametrize(
    ("name", "is_negative"),
    [
        ("negativeOnly", True),
        ("seq1_neg", True),
        ("SUN-Negative", True),
        ("NEG", True),
        ("negligible", False),
        ("seq1", False),
    ],
)
def test_which_frames_need_no_mask(tmp_path, write_set, name, is_negative):
    write_set(tmp_path / "polyp", ["1"])
    shutil.copytree(tmp_path / "polyp/images", tmp_path / name / "case1")
    found = sequences(find_sequences(tmp_path))
    assert (f"{name}/case1" in found) is is_negative


def test_a_negative_sequence_may_have_masks(tmp_path, write_set):
    write_set(tmp_path / "seq1_neg", ["1", "2"])
    assert sequences(find_sequences(tmp_path)) == {"seq1_neg": ["1", "2"]}


def test_what_is_no_video_is_refused(tmp_path, write_set):
    with pytest.raises(UserError, match="is not a folder"):
        find_sequences(tmp_path / "none")
    with pytest.raises(UserError, match="no video sequences found"):
        find_sequences(tmp_path)
    write_set(tmp_path / "TestDataset/CVC-300", ["149"])
    write_set(tmp_path / "TestDataset/CVC-ClinicDB", ["26", "30"])
    with pytest.raises(UserError, match="CVC-ClinicDB in it is a dataset, not a"):
        find_sequences(tmp_path / "TestDataset")
    write_set(tmp_path / "PolypGen/data_C1", ["a"], "images_C1", "masks_C1")
    with pytest.raises(UserError, match="data_C1 in it is a dataset, not a sequence"):
        find_sequences(tmp_path / "PolypGen")
    write_set(tmp_path / "Kvasir-SEG", ["a", "b"])
    with pytest.raises(UserError, match="not known to be video; put each sequence"):
        find_sequences(tmp_path / "Kvasir-SEG")
