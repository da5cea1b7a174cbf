import os
import shutil
import socket

import pytest

from cli.command import UserError
from data.pairs import (
    NO_IMAGE,
    NO_MASK,
    NOT_A_FILE,
    SECOND_FILE,
    find_datasets,
    find_pairs,
)


def names(dataset):
    return [pair.name for pair in dataset.pairs]


def test_images_and_masks(tmp_path, write_set):
    root = write_set(tmp_path / "Kvasir-SEG", ["10", "2", "b"], ending=".jpg")
    dataset = find_pairs(root)
    assert names(dataset) == ["2", "10", "b"]
    assert dataset.name == "Kvasir-SEG"
    pair = dataset.pairs[0]
    assert (pair.image, pair.mask) == (root / "images/2.jpg", root / "masks/2.jpg")
    assert (pair.group, pair.centre) == ("2", None)


@pytest.mark.parametrize("masks", ["Ground Truth", "GroundTruth", "ground_truth"])
@pytest.mark.parametrize("within", ["", "TIF/", "PNG/"])
def test_clinicdb_layouts_know_their_sequences(tmp_path, write_set, within, masks):
    root = write_set(
        tmp_path / "CVC-ClinicDB",
        ["1", "25", "26", "592", "612"],
        images=f"{within}Original",
        masks=f"{within}{masks}",
        ending=".tif",
    )
    groups = [pair.group for pair in find_pairs(root).pairs]
    # Sequence 1 is frames 1-25, sequence 2 starts at 26, sequence 29 at 592.
    assert groups == [f"sequence {k}" for k in (1, 1, 2, 29, 29)]


def test_fullest_format_wins_and_the_other_is_reported(tmp_path, write_set):
    root = tmp_path / "CVC-ClinicDB"
    write_set(root, ["1", "2"], "TIF/Original", "TIF/Ground Truth")
    write_set(root, ["1", "2", "3"], "PNG/Original", "PNG/Ground Truth")
    dataset = find_pairs(root)
    assert len(dataset.pairs) == 3
    assert dataset.layout == "PNG/Original + PNG/Ground Truth"
    ((left_out, reason),) = dataset.left_out
    assert left_out == "TIF/Original + TIF/Ground Truth" and "2 pairs" in reason
    assert "TIF/Original" in dataset.describe()
    assert dataset.unpaired == []


@pytest.mark.parametrize("images", ["ETIS-LaribPolypDB", "."])
def test_etis(tmp_path, write_set, images):
    root = write_set(
        tmp_path / "ETIS", ["1", "14"], images, "Ground Truth", ".tif", "p{}"
    )
    dataset = find_pairs(root)
    assert names(dataset) == ["1", "14"]
    assert dataset.pairs[1].mask.name == "p14.tif"


def test_colondb_side_by_side(tmp_path, write_set):
    root = write_set(tmp_path / "CVC-ColonDB", ["1", "2"], ".", ".", ".tiff", "p{}")
    (root / "p9.tiff").write_bytes((root / "p1.tiff").read_bytes())
    dataset = find_pairs(root)
    assert names(dataset) == ["1", "2"]
    assert dataset.unpaired == [("p9.tiff", NO_IMAGE)]


def write_polypgen(root, write_set):
    for centre in ("C1", "C6"):
        folder = root / f"data_{centre}"
        files = [f"{centre}_1", f"{centre}_2"]
        write_set(
            folder, files, f"images_{centre}", f"masks_{centre}", ".jpg", "{}_mask"
        )
    for k in (1, 2):
        folder = root / "sequenceData" / "positive" / f"seq{k}"
        write_set(folder, ["f1"], f"images_seq{k}", f"masks_seq{k}", ".jpg", "{}_mask")
    shutil.copytree(
        root / "data_C1/images_C1", root / "sequenceData/negativeOnly/seq1_neg"
    )
    write_set(root, ["copy"], "imagesAll_positive", "masksAll_positive", ".jpg")
    return root


def test_polypgen_centres_together_and_alone(tmp_path, write_set):
    root = write_polypgen(tmp_path / "PolypGen2021_MultiCenterData_v3", write_set)
    dataset = find_pairs(root)
    assert dataset.name == "PolypGen"
    assert [(pair.name, pair.centre) for pair in dataset.pairs] == [
        ("C1_1", "C1"),
        ("C1_2", "C1"),
        ("C6_1", "C6"),
        ("C6_2", "C6"),
    ]
    assert "sequenceData" in dict(dataset.left_out)
    alone = find_pairs(root / "data_C6")
    assert alone.name == "PolypGen-C6" and {p.centre for p in alone.pairs} == {"C6"}


def test_polypgen_sequences(tmp_path, write_set):
    root = write_polypgen(tmp_path, write_set) / "sequenceData"
    dataset = find_pairs(root)
    found = [(pair.name, pair.group) for pair in dataset.pairs]
    # Both sequences hold a frame "f1": the folder's name keeps them apart.
    assert found == [("seq1_f1", "sequence 1"), ("seq2_f1", "sequence 2")]
    assert "negativeOnly" in dict(dataset.left_out)
    assert find_pairs(root / "positive/seq2").pairs[0].group == "sequence 2"


def test_pranet_bundles(tmp_path, write_set):
    write_set(tmp_path / "TrainDataset", ["26", "cju"], "image", "mask")
    write_set(tmp_path / "TestDataset/CVC-300", ["149"])
    write_set(tmp_path / "TestDataset/CVC-ClinicDB", ["26"])
    train = find_pairs(tmp_path / "TrainDataset")
    assert [pair.group for pair in train.pairs] == ["sequence 2", "cju"]
    tests = find_datasets(tmp_path / "TestDataset")
    assert [dataset.name for dataset in tests] == ["CVC-300", "CVC-ClinicDB"]
    with pytest.raises(UserError, match="several datasets.*CVC-300.*CVC-ClinicDB"):
        find_pairs(tmp_path / "TestDataset")


def test_files_without_partner_are_kept_apart(tmp_path, write_set):
    root = write_set(tmp_path, ["1", "2", "3"])
    (root / "masks/1.png").unlink()
    (root / "images/2.png").unlink()
    shutil.copy(root / "images/3.png", root / "images/3.jpg")
    (root / "images/._3.png").write_bytes(b"a Mac's shadow file")
    dataset = find_pairs(root)
    assert names(dataset) == ["3"]
    assert sorted(dataset.unpaired) == [
        ("images/1.png", NO_MASK),
        ("images/3.png", SECOND_FILE),
        ("masks/2.png", NO_IMAGE),
    ]


@pytest.mark.parametrize(("images", "masks"), [("images/", "masks/"), ("", "")])
def test_what_is_no_regular_file_is_named_and_left_out(
    tmp_path, write_set, monkeypatch, images, masks
):
    root = write_set(tmp_path, ["1", "2"], images, masks, mask_name="p{}")
    (root / f"{masks}p2.png").unlink()
    os.mkfifo(root / f"{masks}p2.png")
    os.mkfifo(root / f"{images}3.png")
    (root / f"{images}4.png").mkdir()
    monkeypatch.chdir(root / images)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind("5.png")
    dataset = find_pairs(root)
    assert names(dataset) == ["1"]
    assert dataset.unpaired == [(f"{images}2.png", NO_MASK)]
    others = [f"{images}{n}.png" for n in (3, 4, 5)] + [f"{masks}p2.png"]
    assert [file for file, why in dataset.left_out if why == NOT_A_FILE] == others
    assert f"left out: {images}3.png (not a regular file)" in dataset.describe()


def test_names_that_do_not_match_are_explained(tmp_path, write_set):
    root = write_set(tmp_path, ["1"], mask_name="truth{}")
    with pytest.raises(UserError, match="no mask of masks/ is named like an image"):
        find_pairs(root)


def test_link_keeps_its_own_name(tmp_path, write_set):
    write_set(tmp_path / "volume7", ["26"])
    (tmp_path / "CVC-ClinicDB").symlink_to(tmp_path / "volume7")
    dataset = find_pairs(tmp_path / "CVC-ClinicDB")
    assert dataset.name == "CVC-ClinicDB" and dataset.pairs[0].group == "sequence 2"


def test_nothing_found_is_said(tmp_path):
    with pytest.raises(UserError, match="no images with masks"):
        find_pairs(tmp_path)
    with pytest.raises(UserError, match="is not a folder"):
        find_pairs(tmp_path / "none")


def test_a_superscript_is_no_number(tmp_path, write_set):
    root = write_set(tmp_path, ["10²", "9"])
    assert names(find_pairs(root)) == ["9", "10²"]


def test_a_name_that_is_not_in_utf_8_can_be_printed(tmp_path, write_set):
    root = write_set(tmp_path, ["1"])
    shutil.copy(root / "images/1.png", os.fsencode(root / "images") + b"/caf\xe9.png")
    text = find_pairs(root).describe()
    assert r"images/caf\xe9.png" in text and text.encode()
