"""Finds the video sequences of a dataset folder, in any of these layouts.

Original/ + Ground Truth/                  CVC-ClinicDB, whose sequences are known
positive/seq1/ + negativeOnly/seq1_neg/    PolypGen's sequenceData/
Frame/case1_1/ + GT/case1_1/               SUN-SEG, and others prepared for VPS
NAME/images/ + NAME/masks/                 your own: a folder for each sequence

Frames without masks show no polyp where a folder's name says so: negative,
negativeOnly, seq1_neg, SUN-Negative. In all other folders each frame needs its mask.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cli.command import UserError
from data.pairs import (
    CLINICDB_FRAMES,
    SEARCH_DEPTH,
    Dataset,
    Pair,
    find_set,
    image_and_mask_folders,
    list_images,
    match_files,
    subfolders,
)

NEGATIVE = re.compile(r"(.*[ _-])?neg(ative)?(only)?", re.IGNORECASE)
STILLS = re.compile(r"(.*/)?data_C\d+")  # PolypGen's single frames of a hospital
POLYPGEN_SEQUENCES = "sequenceData"  # beside the single frames, which are no video


def find_sequences(path: Path | str) -> Dataset:
    """Finds the sequences in a folder.

    Args:
        path: a folder in any layout of this module's docstring.

    Returns:
        All frames, those of a sequence one after the other; `Pair.group` names the
        sequence, and `Pair.mask` is None where a frame shows no polyp.

    Raises:
        UserError: the folder is missing, holds no sequences, or not all frames or
            masks of them.
    """
    root = Path(path)
    if not root.is_dir():
        raise UserError(f"{root}: is not a folder")
    if (root / POLYPGEN_SEQUENCES).is_dir():
        root /= POLYPGEN_SEQUENCES
    known = find_set(root, None)
    if known:
        return _check_known(known)
    parts = [part for part in _walk(root, root, SEARCH_DEPTH) if part.pairs]
    if not parts:
        raise UserError(
            f"{root}: no video sequences found; expected a folder for each, with"
            " images/ and masks/ in it, or Frame/NAME/ and GT/NAME/"
        )
    return _join(root, parts)


def _check_known(dataset: Dataset) -> Dataset:
    """Checks a dataset of one folder: its sequences are known, and complete."""
    if all(pair.group == pair.name for pair in dataset.pairs):
        raise UserError(
            f"{dataset.root}: its images are not known to be video; put each sequence"
            " into a folder of its own, with images/ and masks/ in it, and give the"
            " folder that holds these"
        )
    if len(dataset.pairs) != CLINICDB_FRAMES:
        raise UserError(
            f"{dataset.root}: holds {len(dataset.pairs)} of the {CLINICDB_FRAMES}"
            " frames of CVC-ClinicDB; a video needs all of its frames"
        )
    return dataset


def _walk(root: Path, folder: Path, depth: int) -> Iterator[Dataset]:
    """Yields each sequence at or below a folder; its `name` is its path in `root`."""
    found = list(_sequences_of(root, folder))
    yield from found
    if not found and depth:
        for child in subfolders(folder):
            yield from _walk(root, child, depth - 1)


def _sequences_of(root: Path, folder: Path) -> Iterator[Dataset]:
    """Yields the sequences of a folder that holds frames, or folders of frames."""
    for images, masks in image_and_mask_folders(folder):
        inside = subfolders(images)
        for child in inside:
            truths = masks / child.name
            if not truths.is_dir():
                raise UserError(f"{truths}: is missing; {child} has no masks")
            name = _name(root, folder / child.name)
            yield _complete(match_files(root, child, truths, name))
        if not inside:
            yield _complete(match_files(root, images, masks, _name(root, folder)))
    files, _ = list_images(folder)
    if files and _is_negative(root, folder):
        name = _name(root, folder)
        pairs = [Pair(file.stem, file, None, group=name) for file in files]
        yield Dataset(name, name, root, pairs)


def _name(root: Path, folder: Path) -> str:
    return "/".join(folder.relative_to(root).parts) or root.name


def _is_negative(root: Path, folder: Path) -> bool:
    names = (root.name, *folder.relative_to(root).parts)
    return any(NEGATIVE.fullmatch(name) for name in names)


def _complete(sequence: Dataset) -> Dataset:
    """Checks one sequence: it is not a dataset of stills, and has all of its masks."""
    if STILLS.fullmatch(sequence.name) or any(
        pair.group != pair.name for pair in sequence.pairs
    ):
        raise UserError(
            f"{sequence.root}: {sequence.name} in it is a dataset, not a sequence; give"
            " a folder of sequences"
        )
    if sequence.unpaired:
        file, reason = sequence.unpaired[0]
        raise UserError(f"{sequence.root / file}: {reason}; a video needs every frame")
    return sequence


def _join(root: Path, parts: list[Dataset]) -> Dataset:
    count = Counter(pair.name for part in parts for pair in part.pairs)
    pairs = []
    for part in parts:
        prefix = part.name.replace("/", "_")
        for pair in part.pairs:
            name = f"{prefix}_{pair.name}" if count[pair.name] > 1 else pair.name
            pairs.append(replace(pair, name=name, group=part.name))
    name = f"PolypGen-{root.name}" if root.name == POLYPGEN_SEQUENCES else root.name
    layout = f"{len(parts)} folders"
    left_out = [fault for part in parts for fault in part.left_out]
    return Dataset(name, layout, root, pairs, left_out)
