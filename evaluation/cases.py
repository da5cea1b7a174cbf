"""The cases of a test set, read from prepared arrays or from raw files."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from cli.command import UserError
from data.arrays import is_prepared, load_prepared
from data.images import decode_grey_mask, read_file, read_pair
from data.pairs import Dataset, Pair, find_datasets, find_pairs
from data.sequences import find_sequences
from data.storage import read_manifest


@dataclass(frozen=True)
class Case:
    """One image with its ground truth and, once predicted, its probability map.

    Attributes:
        name: the image's file stem.
        group: the video sequence or patient, whose images are not independent of each
            other; the case's name where there is none.
        centre: the clinical centre, where known.
        image: `(H, W, 3)` uint8 RGB.
        truth: `(H, W)` uint8, 1 = polyp.
        prepared: the case is from prepared arrays, so it was resized.
        grey_truth: reads the truth as stored, `(H, W)` float32 in [0, 1], greys kept.
        source_size: `(H, W)` of the frame before it was resized, where known.
        probability: `(h, w)` float32 in [0, 1], at the network's or a file's size.
        saved_map: the map was read from an 8-bit file.
    """

    name: str
    group: str
    centre: str | None
    image: np.ndarray
    truth: np.ndarray
    prepared: bool
    grey_truth: Callable[[], np.ndarray]
    source_size: tuple[int, int] | None = None
    probability: np.ndarray | None = None
    saved_map: bool = False


@dataclass(frozen=True)
class CaseSet:
    """A test set: the names of its cases, and a function that reads one of them.

    Attributes:
        name: the dataset's name.
        path: the folder or file the set was found in.
        names: the cases' names.
        read: index → `Case` without a map; may be called from several threads.
        origin: lines for the user: what was found, and what is read of it.
        original_size: the masks have the size they were drawn at.
    """

    name: str
    path: Path
    names: list[str]
    read: Callable[[int], Case]
    origin: str
    original_size: bool

    def __len__(self) -> int:
        return len(self.names)


class MapSource(Protocol):
    """A source of probability maps, such as `saved_maps.SavedMaps`.

    Attributes:
        label: the model's name in paths and tables.
        source: the model's file, or the folder of saved maps.
        checkpoint: the checkpoint that `source` was exported from, as far as it is
            known; else `source`.
        view: `"whole"` or `"cropped"`: what the network is shown of a frame; None for
            saved maps.
        images_per_second: the speed of the network; None for saved maps.
    """

    label: str
    source: Path
    checkpoint: Path
    view: str | None
    images_per_second: float | None

    def cases(
        self, case_set: CaseSet, indices: Iterable[int] | None = None
    ) -> Iterator[Case]:
        """Yields cases (default: all) with their maps, in order, a few at a time."""


def resize_map(probability: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a map `(h, w)` float32 to `(H, W)`: bilinear, half-pixel centres."""
    if probability.shape == tuple(size):
        return probability
    height, width = size
    return cv2.resize(probability, (width, height), interpolation=cv2.INTER_LINEAR)


def at_original_size(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Returns the truth (uint8 0/1) and the map (float32) resized to its size."""
    return case.truth, resize_map(case.probability, case.truth.shape)


def stretch(values: np.ndarray) -> np.ndarray:
    """Min-max normalises a map to [0, 1]; a constant map stays as it is."""
    low, high = values.min(), values.max()
    return values if low == high else (values - low) / (high - low)


def open_case_set(
    path: Path,
    names: Sequence[str] | None = None,
    original_size: bool = False,
) -> CaseSet:
    """Opens a prepared test set or a raw dataset folder of any known layout.

    Args:
        path: folder or `.h5` of prepared arrays (their test part), or a raw dataset.
        names: the only cases of a raw dataset to keep; default: all.
        original_size: whether to read the raw test files that a prepared set was made
            from instead of its arrays, where these files still exist.

    Raises:
        UserError: the path holds no dataset, or not all of `names`.
    """
    if names is None and is_prepared(path):
        prepared = _from_arrays(path)
        if original_size:
            return _from_raw_files(path, prepared) or prepared
        return prepared
    try:
        dataset = find_pairs(path)
    except UserError:
        if not is_prepared(path):
            raise
        source = (read_manifest(path) or {}).get("source", "the raw dataset")
        raise UserError(
            f"{path}: holds prepared arrays only; --names is for raw datasets, so give "
            f"{source}"
        ) from None
    return _from_pairs(
        dataset, dataset.pairs if names is None else _pick(dataset, names)
    )


def open_sequences(path: Path) -> CaseSet:
    """Opens the video sequences of a raw dataset; `Case.group` names the sequence.

    The set is called `<dataset>-video`, as it may hold other images than the dataset's
    test set.

    Args:
        path: a folder in any layout of `data.sequences`.

    Raises:
        UserError: the folder holds no sequences, or not all of their frames or masks.
    """
    dataset = find_sequences(path)
    case_set = _from_pairs(dataset, dataset.pairs)
    count = len({pair.group for pair in dataset.pairs})
    return replace(
        case_set,
        name=f"{dataset.name}-video",
        origin=f"{case_set.origin}\n  judged as video: {count} sequences",
    )


def find_case_sets(path: Path, original_size: bool = False) -> list[CaseSet]:
    """Opens every test set at a path.

    A prepared folder is one test set. A folder of prepared folders (such as `data/`)
    holds one for each of them and for each raw dataset beside them.

    Args:
        path: a prepared set, a raw dataset, or a folder of them.
        original_size: see `open_case_set`.
    """
    if is_prepared(path):
        return [open_case_set(path, original_size=original_size)]
    children = sorted(child for child in path.glob("[!._]*") if child.is_dir())
    if any(is_prepared(child) for child in children):
        found = [find_case_sets(child, original_size) for child in children]
        return [case_set for sets in found for case_set in sets]
    return [_from_pairs(dataset, dataset.pairs) for dataset in find_datasets(path)]


def tell_apart(sets: Sequence[CaseSet]) -> list[CaseSet]:
    """Renames sets of one name after their folders, as results are stored by name.

    Raises:
        UserError: the folders have one name too.
    """
    count = Counter(case_set.name for case_set in sets)
    named = [
        replace(one, name=one.path.resolve().stem) if count[one.name] > 1 else one
        for one in sets
    ]
    if len({one.name for one in named}) < len(named):
        raise UserError(
            "two datasets have one name, so their results would be written to one "
            f"folder: {', '.join(str(one.path) for one in sets)}"
        )
    return named


def _from_arrays(path: Path) -> CaseSet:
    arrays = load_prepared(path, "test")
    manifest = read_manifest(path)
    items = manifest["subsets"]["test"]["items"] if manifest else [{}] * len(arrays)
    source_sizes = [item.get("source_size") for item in items]

    def grey_truth(index: int) -> np.ndarray:
        stored = np.array(arrays.masks[index], np.float32)
        stored = stored if stored.ndim == 2 else stored[..., 0]
        return stored / 255 if arrays.mask_threshold > 1 else stored

    def read(index: int) -> Case:
        images, masks = arrays.batch([index])
        return Case(
            name=arrays.names[index],
            group=arrays.groups[index],
            centre=arrays.centres[index],
            image=images[0],
            truth=masks[0, ..., 0],
            prepared=True,
            grey_truth=lambda: grey_truth(index),
            source_size=source_sizes[index],
        )

    height, width = arrays.image_size
    return CaseSet(
        name=arrays.name,
        path=path,
        names=arrays.names,
        read=read,
        origin=f"{arrays.name}: {len(arrays)} prepared test images, {height}×{width}",
        original_size=False,
    )


def _from_raw_files(path: Path, prepared: CaseSet) -> CaseSet | None:
    """Opens the raw files a test set was prepared from; None where they are gone.

    Arrays without a manifest have no names by which their files could be known.
    """
    manifest = read_manifest(path)
    if manifest is None:
        return None
    for root in (manifest.get("source"), path if path.is_dir() else path.parent):
        try:
            dataset = find_pairs(root) if root else None
            pairs = _pick(dataset, prepared.names) if dataset else None
        except UserError:
            continue
        if pairs:
            raw = _from_pairs(dataset, pairs)
            return replace(raw, name=prepared.name, path=prepared.path)
    return None


def _pick(dataset: Dataset, names: Sequence[str]) -> list[Pair]:
    by_name = {pair.name: pair for pair in dataset.pairs}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise UserError(
            f"{dataset.root}: {len(missing)} of {len(names)} listed cases are not "
            f"there, the first: {missing[0]}"
        )
    return [by_name[name] for name in names]


def _from_pairs(dataset: Dataset, pairs: list[Pair]) -> CaseSet:
    def grey_truth(mask: Path | None, truth: np.ndarray) -> np.ndarray:
        if mask is None:
            return truth.astype(np.float32)
        return decode_grey_mask(read_file(mask), mask).astype(np.float32) / 255

    def read(index: int) -> Case:
        pair = pairs[index]
        image, truth = read_pair(pair.image, pair.mask)
        return Case(
            name=pair.name,
            group=pair.group,
            centre=pair.centre,
            image=image,
            truth=truth,
            prepared=False,
            grey_truth=lambda: grey_truth(pair.mask, truth),
            source_size=truth.shape,
        )

    origin = dataset.describe()
    if len(pairs) < len(dataset.pairs):
        origin += f"\n  scored: {len(pairs)} of them"
    return CaseSet(
        name=dataset.name,
        path=Path(dataset.root),
        names=[pair.name for pair in pairs],
        read=read,
        origin=origin,
        original_size=True,
    )
