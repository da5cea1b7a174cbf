from pathlib import Path

import pytest

from cli.command import UserError
from data.pairs import CLINICDB_SEQUENCE_STARTS, Dataset, Pair, find_pairs
from data.splits import LISTS, default_split, fold_pairs, split_pairs


def dataset_of(groups, name="CVC-ClinicDB", centres=None, root=Path("nowhere")):
    """A dataset whose images are named 1, 2, ... and belong to the given groups."""
    centres = centres or [None] * len(groups)
    pairs = [
        Pair(str(n + 1), Path("a"), Path("b"), group, centre)
        for n, (group, centre) in enumerate(zip(groups, centres, strict=True))
    ]
    return Dataset(name, "images + masks", root, pairs)


def clinicdb():
    ends = [*CLINICDB_SEQUENCE_STARTS[1:], 613]
    sizes = [b - a for a, b in zip(CLINICDB_SEQUENCE_STARTS, ends, strict=True)]
    return dataset_of(
        [f"sequence {k}" for k, size in enumerate(sizes) for _ in range(size)]
    )


def groups_of(pairs):
    return {pair.group for pair in pairs}


@pytest.mark.parametrize("seed", range(5))
def test_by_sequence_keeps_sequences_whole(seed):
    split = split_pairs(clinicdb(), "by-sequence", seed)
    assert not groups_of(split.train) & groups_of(split.test)
    assert len(split.train) + len(split.test) == 612
    assert abs(len(split.test) - 62) <= 2
    assert split == split_pairs(clinicdb(), "by-sequence", seed)


def test_another_seed_chooses_other_sequences():
    chosen = {
        frozenset(groups_of(split_pairs(clinicdb(), "by-sequence", seed).test))
        for seed in range(4)
    }
    assert len(chosen) > 1


def test_random_takes_a_tenth_whatever_the_sequence():
    split = split_pairs(clinicdb(), "random")
    assert (len(split.train), len(split.test)) == (550, 62)
    assert groups_of(split.train) & groups_of(split.test)


def test_pranet_split_of_clinicdb():
    split = split_pairs(clinicdb(), "pranet")
    assert (len(split.train), len(split.test)) == (550, 62)
    assert split.problems == []


@pytest.mark.parametrize(
    ("kind", "train", "test"), [("official", 880, 120), ("pranet", 900, 100)]
)
def test_kvasir_lists_divide_the_thousand(kind, train, test):
    files = sorted(LISTS.glob("kvasir_official*.txt"))
    names = [name for file in files for name in file.read_text().split()]
    assert len(set(names)) == 1000
    pairs = [Pair(name, Path("a"), Path("b"), name) for name in names]
    split = split_pairs(Dataset("Kvasir-SEG", "", Path("nowhere"), pairs), kind)
    assert (len(split.train), len(split.test)) == (train, test)
    assert split.problems == []


def test_names_not_on_disk_are_all_listed(tmp_path):
    dataset = dataset_of(["a", "b", "c"], root=tmp_path)
    (tmp_path / "train.txt").write_text("1.png\n7\n8.jpg\n")
    (tmp_path / "test.txt").write_text("2\n1\n")
    split = split_pairs(dataset, "by-sequence")
    assert split.problems == [
        "7: in train.txt but not on disk",
        "8: in train.txt but not on disk",
        "1: a second time in test.txt",
    ]


def test_lists_in_the_folder_win(tmp_path):
    dataset = dataset_of(["a", "b", "c"], root=tmp_path)
    (tmp_path / "train.txt").write_text("3\n1.jpg\n")
    with pytest.raises(UserError, match="test.txt: is missing"):
        split_pairs(dataset, "random")
    (tmp_path / "val.txt").write_text("2\n")
    split = split_pairs(dataset, "random")
    assert split.name == "train.txt/val.txt"
    assert [pair.name for pair in split.train] == ["1", "3"]
    assert [pair.name for pair in split.test] == ["2"]
    # As editors of Windows save text.
    (tmp_path / "train.txt").write_text("3\n1.jpg\n", encoding="utf-8-sig")
    assert split_pairs(dataset, "random") == split
    (tmp_path / "train.txt").write_text("3\n1.jpg\n", encoding="utf-16")
    with pytest.raises(UserError, match="train.txt: is no text in UTF-8"):
        split_pairs(dataset, "random")


def test_a_file_without_partner_is_reported_once(tmp_path, write_set):
    root = write_set(tmp_path, ["1", "2", "3"])
    (root / "masks/3.png").unlink()
    (root / "train.txt").write_text("1\n")
    (root / "test.txt").write_text("2\n3\n")
    dataset = find_pairs(root)
    assert split_pairs(dataset, "random").problems == []
    assert len(dataset.unpaired) == 1


def test_by_centre():
    centres = ["C1"] * 4 + ["C2"] * 3 + ["C6"] * 2
    dataset = dataset_of([str(n) for n in range(9)], "PolypGen", centres)
    assert default_split(dataset) == "by-centre"
    assert {p.centre for p in split_pairs(dataset, "by-centre").test} == {"C6"}
    split = split_pairs(dataset, "by-centre", test_centre="C2")
    assert {p.centre for p in split.train} == {"C1", "C6"}
    with pytest.raises(UserError, match="needs centre C9.*C1, C2, C6"):
        split_pairs(dataset, "by-centre", test_centre="C9")


def test_folds_test_everything_once_and_keep_groups_whole():
    dataset = clinicdb()
    folds = fold_pairs(dataset, "by-sequence", 5)
    tested = [pair.name for fold in folds for pair in fold.test]
    assert sorted(tested) == sorted(pair.name for pair in dataset.pairs)
    for fold in folds:
        assert not groups_of(fold.train) & groups_of(fold.test)
        assert abs(len(fold.test) - 612 / 5) < 15
    assert folds == fold_pairs(dataset, "by-sequence", 5)


def test_folds_are_even_though_groups_are_not():
    # Sizes 5, 1, 1, 1, 1, 1: the large group alone balances the others.
    folds = fold_pairs(dataset_of([*"aaaaabcdef"]), "by-sequence", 2)
    assert [len(fold.test) for fold in folds] == [5, 5]


def test_folds_are_named_after_what_they_keep_whole():
    names = [fold.name for fold in fold_pairs(clinicdb(), "pranet", 2)]
    assert names == ["by-sequence, fold 1 of 2", "by-sequence, fold 2 of 2"]


def test_folds_by_centre_and_too_many_folds():
    dataset = dataset_of(
        list("abcdef"), "PolypGen", ["C1", "C1", "C2", "C2", "C3", "C3"]
    )
    folds = fold_pairs(dataset, "by-centre", 3)
    assert sorted({p.centre for p in fold.test}.pop() for fold in folds) == [
        "C1",
        "C2",
        "C3",
    ]
    with pytest.raises(UserError, match="--folds must be from 2 to 3"):
        fold_pairs(dataset, "by-centre", 4)


def test_split_of_another_dataset_is_refused():
    with pytest.raises(UserError, match="no official split"):
        split_pairs(dataset_of(["a", "b"]), "official")
