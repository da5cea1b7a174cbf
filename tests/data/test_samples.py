"""Samples of several prepared sets, and the split that keeps sequences whole."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from cli.command import UserError
from data.samples import Samples, split_fold, split_validation


@dataclass
class FakeSet:
    """Stands for a PreparedSet; image i is filled with i, and reads are counted."""

    name: str
    groups: list[str]
    image_size: tuple[int, int] = (4, 6)
    reads: list[int] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [f"image{i}" for i in range(len(self.groups))]

    def __len__(self) -> int:
        return len(self.groups)

    def batch(self, indices):
        self.reads += list(indices)
        values = np.array(indices, np.uint8).reshape(-1, 1, 1, 1)
        images = np.broadcast_to(values, (len(indices), *self.image_size, 3))
        return images.copy(), (images[..., :1] % 2).copy()


def own_groups(count: int) -> list[str]:
    return [f"g{i}" for i in range(count)]


def test_samples_of_two_sets_follow_each_other():
    samples = Samples([FakeSet("A", own_groups(3)), FakeSet("B", own_groups(2))])
    assert len(samples) == 5 and samples.image_size == (4, 6)
    assert samples.names[2:4] == ["A/image2", "B/image0"]
    images, masks = samples.batch([4, 0, 2])  # image 1 of B, 0 and 2 of A
    assert images.shape == (3, 4, 6, 3) and masks.shape == (3, 4, 6, 1)
    assert images[:, 0, 0, 0].tolist() == [1, 0, 2]
    assert masks[:, 0, 0, 0].tolist() == [1, 0, 0]


def test_nothing_is_read_before_it_is_asked_for():
    part = FakeSet("A", own_groups(10))
    samples = Samples([part])
    train, _ = split_validation(samples, 0.2, seed=0)
    assert train.names and train.groups and part.reads == []
    samples.batch([7])
    assert part.reads == [7]


def test_a_group_of_one_name_in_two_sets_is_two_groups():
    samples = Samples([FakeSet("A", ["seq1"]), FakeSet("B", ["seq1"])])
    assert samples.groups == ["A/seq1", "B/seq1"]


def test_sets_of_different_sizes_are_named():
    sets = [FakeSet("A", own_groups(2)), FakeSet("B", own_groups(2), (8, 8))]
    with pytest.raises(UserError) as caught:
        Samples(sets)
    for part in ("A (4, 6)", "B (8, 8)"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sets", [[], [FakeSet("A", [])]])
def test_no_samples(sets):
    with pytest.raises(UserError, match="no samples"):
        Samples(sets)


def sequences(count: int, length: int) -> FakeSet:
    return FakeSet("A", [f"seq{i // length}" for i in range(count * length)])


def test_split_keeps_groups_whole_and_loses_nothing():
    samples = Samples([sequences(20, 5), FakeSet("B", own_groups(50))])
    train, validation = split_validation(samples, 0.2, seed=3)
    assert not set(train.groups) & set(validation.groups)
    assert sorted(train.names + validation.names) == sorted(samples.names)
    assert train.names == [n for n in samples.names if n in set(train.names)]
    assert {name[0] for name in validation.names} == {"A", "B"}


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_split_takes_about_the_fraction(fraction):
    """Never more than asked for, and less by no more than a sequence."""
    samples = Samples([sequences(29, 7)])  # 203 frames
    for seed in range(10):
        _, validation = split_validation(samples, fraction, seed)
        wanted = round(203 * fraction)
        assert wanted - 7 < len(validation) <= wanted


def test_split_of_single_frames_is_exact():
    samples = Samples([FakeSet("A", own_groups(40))])
    assert len(split_validation(samples, 0.1, seed=0)[1]) == 4


def test_a_huge_sequence_does_not_swallow_the_split():
    groups = ["huge"] * 80 + [f"g{i // 5}" for i in range(20)]
    for seed in range(10):
        _, validation = split_validation(Samples([FakeSet("A", groups)]), 0.1, seed)
        assert len(validation) == 10 and "A/huge" not in validation.groups


def test_sequences_longer_than_the_fraction():
    """The shortest one is then taken whole: 3 frames where 1 was wanted."""
    samples = Samples([FakeSet("A", ["a"] * 5 + ["b"] * 3 + ["c"] * 4)])
    for seed in range(5):
        _, validation = split_validation(samples, 0.1, seed)
        assert set(validation.groups) == {"A/b"}


def test_split_is_made_by_the_seed():
    samples = Samples([FakeSet("A", own_groups(60))])
    first, again, other = (
        split_validation(samples, 0.2, seed)[1].names for seed in (1, 1, 2)
    )
    assert first == again != other


def test_too_few_groups():
    with pytest.raises(
        UserError, match="6 training samples in 1 groups.*val_data_path"
    ):
        split_validation(Samples([FakeSet("A", ["one"] * 6)]), 0.2, seed=0)


def test_folds_share_no_group_and_hold_all_samples():
    groups = [f"g{i // 3}" for i in range(40)]
    samples = Samples([FakeSet("A", groups)])
    parts = []
    for fold in (1, 2, 3, 4):
        train, validation = split_fold(samples, fold, 4)
        assert not set(train.groups) & set(validation.groups)
        assert sorted(train.names + validation.names) == sorted(samples.names)
        assert 6 <= len(validation) <= 14
        parts += validation.names
    assert sorted(parts) == sorted(samples.names)


def test_more_folds_than_groups():
    samples = Samples([FakeSet("A", ["a", "a", "b"])])
    with pytest.raises(UserError, match="3 training samples in 2 groups"):
        split_fold(samples, 1, 3)
