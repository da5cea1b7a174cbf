"""Divides a dataset's pairs into training and test sets, or into folds.

official     Kvasir-SEG's own 880/120
pranet       900/100 of Kvasir-SEG, 550/62 of CVC-ClinicDB (frames at random)
by-sequence  no video sequence, hence no polyp, on both sides
by-centre    one hospital is the test set
random       images at random; frames of one video land on both sides
"""

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cli.command import UserError
from cli.files import read_lines
from data.pairs import Dataset, Pair, natural_order, without_ending

SPLITS = ("official", "pranet", "by-sequence", "by-centre", "random")
LISTS = Path(__file__).parent / "splits"
# (split, part of the dataset's name) -> files that name its training and test images.
NAMED_LISTS = {
    ("official", "kvasir"): ("kvasir_official_train.txt", "kvasir_official_val.txt"),
    ("pranet", "kvasir"): ("pranet_train_Kvasir.txt", "pranet_test_Kvasir.txt"),
    ("pranet", "clinicdb"): (
        "pranet_train_CVC-ClinicDB.txt",
        "pranet_test_CVC-ClinicDB.txt",
    ),
}
OWN_TEST_LISTS = ("test.txt", "val.txt")  # Kvasir-SEG's official list is a val list
TEST_SHARE = 0.1  # as in the published splits: 62 of 612, 100 of 1000


@dataclass(frozen=True)
class Split:
    """The training and the test pairs of a dataset.

    Attributes:
        name: how it was made, such as "by-sequence".
        train: training pairs.
        test: test pairs; none is in `train`.
        problems: names in its lists that fit no pair or stand twice, with reasons.
    """

    name: str
    train: list[Pair]
    test: list[Pair]
    problems: list[str] = field(default_factory=list)


def default_split(dataset: Dataset) -> str:
    """Chooses the split of a dataset when the user asks for none."""
    if "kvasir-seg" in dataset.name.lower():
        return "official"
    if len({pair.centre for pair in dataset.pairs}) > 1:
        return "by-centre"
    has_sequences = any(pair.group != pair.name for pair in dataset.pairs)
    return "by-sequence" if has_sequences else "random"


def split_pairs(
    dataset: Dataset, split: str, seed: int = 42, test_centre: str = "C6"
) -> Split:
    """Divides a dataset in two.

    `train.txt` and `test.txt` (or `val.txt`) in the dataset folder win over `split`.

    Args:
        dataset: what `find_pairs` found.
        split: one of `SPLITS`.
        seed: chooses the test images of "random", the sequences of "by-sequence".
        test_centre: the test set of "by-centre"; C6 was EndoCV 2021's unseen centre.
    """
    own_train = dataset.root / "train.txt"
    own_test = next(
        (
            dataset.root / name
            for name in OWN_TEST_LISTS
            if (dataset.root / name).exists()
        ),
        dataset.root / OWN_TEST_LISTS[0],
    )
    if own_train.exists() or own_test.exists():
        return _from_lists(
            dataset, f"{own_train.name}/{own_test.name}", own_train, own_test
        )
    if split in ("official", "pranet"):
        return _from_lists(dataset, split, *_named_lists(dataset.name, split))
    if split == "by-centre":
        test_units = {_existing_centre(dataset, test_centre)}
    else:
        test_units = _units_near_share(dataset, _unit_of(split), seed)
    unit_of = _unit_of(split)
    return Split(
        name=split,
        train=[pair for pair in dataset.pairs if unit_of(pair) not in test_units],
        test=[pair for pair in dataset.pairs if unit_of(pair) in test_units],
    )


def fold_pairs(dataset: Dataset, split: str, folds: int, seed: int = 42) -> list[Split]:
    """Divides a dataset into folds of similar size; each is the test set once.

    Centres stay whole for "by-centre", images are free for "random", and sequences
    stay whole for all other values of `split`.
    """
    if split not in ("by-centre", "random"):
        split = "by-sequence"
    unit_of = _unit_of(split)
    sizes = _unit_sizes(dataset, unit_of, seed)
    if not 2 <= folds <= len(sizes):
        raise UserError(
            f"{dataset.root}: --folds must be from 2 to {len(sizes)}, the number of"
            f" units that {split} keeps whole; received {folds}"
        )
    fold_of: dict[str, int] = {}
    filled = [0] * folds
    for unit in sorted(sizes, key=sizes.get, reverse=True):  # largest first: even folds
        fold_of[unit] = filled.index(min(filled))
        filled[fold_of[unit]] += sizes[unit]
    return [
        Split(
            name=f"{split}, fold {fold + 1} of {folds}",
            train=[pair for pair in dataset.pairs if fold_of[unit_of(pair)] != fold],
            test=[pair for pair in dataset.pairs if fold_of[unit_of(pair)] == fold],
        )
        for fold in range(folds)
    ]


def _unit_of(split: str) -> Callable[[Pair], str]:
    """Returns what the split keeps whole: a centre, an image, or else a sequence."""
    if split == "by-centre":
        return lambda pair: pair.centre or "unknown"
    if split == "random":
        return lambda pair: pair.name
    return lambda pair: pair.group


def _unit_sizes(
    dataset: Dataset, unit_of: Callable[[Pair], str], seed: int
) -> dict[str, int]:
    """Counts the images of each unit, the units in seeded random order."""
    sizes = Counter(unit_of(pair) for pair in dataset.pairs)
    units = sorted(sizes, key=natural_order)
    random.Random(seed).shuffle(units)  # noqa: S311, no secret
    return {unit: sizes[unit] for unit in units}


def _units_near_share(
    dataset: Dataset, unit_of: Callable[[Pair], str], seed: int
) -> set[str]:
    """Chooses random units whose images come as near as possible to the test share."""
    sizes = _unit_sizes(dataset, unit_of, seed)
    if len(sizes) < 2:
        raise UserError(f"{dataset.root}: cannot be split, everything is one sequence")
    wanted = math.ceil(TEST_SHARE * len(dataset.pairs))
    chosen_for = {0: ()}  # number of images -> the first units found to add up to it
    for unit, size in sizes.items():
        for total, chosen in list(chosen_for.items()):
            if total < wanted and total + size < len(dataset.pairs):
                chosen_for.setdefault(total + size, (*chosen, unit))
    del chosen_for[0]
    return set(chosen_for[min(chosen_for, key=lambda total: abs(total - wanted))])


def _existing_centre(dataset: Dataset, centre: str) -> str:
    centres = {pair.centre for pair in dataset.pairs if pair.centre}
    if centre not in centres or len(centres) < 2:
        raise UserError(
            f"{dataset.root}: by-centre needs centre {centre} and another one;"
            f" found {', '.join(sorted(centres)) or 'no centres'}"
        )
    return centre


def _named_lists(dataset: str, split: str) -> tuple[Path, Path]:
    for (name, part), (train, test) in NAMED_LISTS.items():
        if name == split and part in dataset.lower():
            return LISTS / train, LISTS / test
    raise UserError(f"{dataset}: has no {split} split; choose another --split")


def _from_lists(dataset: Dataset, name: str, train: Path, test: Path) -> Split:
    """Reads a split from two text files: one image a line, with or without suffix."""
    pair_of = {pair.name: pair for pair in dataset.pairs}
    unpaired = {Path(file).stem for file, _ in dataset.unpaired}  # reported as such
    problems, side_of = [], {}
    for file in (train, test):
        for image in _read_list(file):
            if image in side_of:
                problems.append(f"{image}: a second time in {file.name}")
            elif image not in pair_of and image not in unpaired:
                problems.append(f"{image}: in {file.name} but not on disk")
            side_of.setdefault(image, file)
    sides = [
        [pair for pair in dataset.pairs if side_of.get(pair.name) == file]
        for file in (train, test)
    ]
    return Split(name, *sides, problems)


def _read_list(file: Path) -> list[str]:
    if not file.is_file():
        raise UserError(f"{file}: is missing; a split needs its training and test list")
    try:
        names = [without_ending(Path(line).name) for line in read_lines(file)]
    except ValueError:
        raise UserError(f"{file}: is no text in UTF-8; save it in UTF-8") from None
    if not names:
        raise UserError(f"{file}: names no image")
    return names


def pranet_training_names(dataset: str) -> set[str]:
    """Lists the images of a dataset, given by name, in PraNet's training lists."""
    try:
        train, _ = _named_lists(dataset, "pranet")
    except UserError:  # it has none
        return set()
    return set(_read_list(train))
