"""Probability maps in a folder of PNG files: reading, and writing them.

Nothing here needs a network or TensorFlow.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from cli.command import UserError
from cli.files import make_folder, parse_json, replacing_files, write_json
from cli.parallel import map_in_order
from data.images import read_image, silent_codecs
from data.pairs import IMAGE_SUFFIXES
from evaluation.cases import Case, CaseSet, stretch
from evaluation.protocols.pranet import resized_by_logits

RANGES_FILE = "ranges.json"
MAPS_CHECKED = 10  # maps at least, to tell which range of values a folder has


class SavedMaps:
    """A folder of 8-bit grey maps, 0 to 255, matched to cases by name.

    Args:
        folder: holds one map per case, of any size. Where `MapWriter` stored the maps'
            ranges, the maps are restored to them.

    Attributes:
        label: the model's name in paths and tables: the folder's name.
        source, checkpoint: the folder.
        view, images_per_second: None, as nothing is predicted.
    """

    view = None
    images_per_second = None

    def __init__(self, folder: Path):
        self.source = self.checkpoint = folder
        if not self.source.is_dir():
            raise UserError(f"{folder}: is not a folder of maps")
        self.label = self.source.resolve().name
        self._ranges = _read_ranges(self.source)
        self._files: dict[str, Path] = {}
        self._doubled: dict[str, Path] = {}
        for file in sorted(self.source.rglob("*")):
            if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file():
                name = file.relative_to(self.source).with_suffix("").as_posix()
                if self._files.setdefault(name, file) != file:
                    self._doubled[name] = file

    def check(self, case_set: CaseSet) -> None:
        """Checks the maps of a set before it is scored.

        Raises:
            UserError: a case has no map or two, or the maps are labels 0 and 1.
        """
        missing = [name for name in case_set.names if name not in self._files]
        if missing:
            raise UserError(
                f"{self.source}: {len(missing)} of {len(case_set)} cases of "
                f"{case_set.name} have no map there, the first: {missing[0]}"
            )
        doubled = [name for name in case_set.names if name in self._doubled]
        if doubled:
            first, second = self._files[doubled[0]], self._doubled[doubled[0]]
            raise UserError(f"{second}: a second map of {doubled[0]}, beside {first}")
        brightest = np.float32(0)
        with silent_codecs():
            for number, name in enumerate(case_set.names):
                if number >= MAPS_CHECKED and brightest > 0:
                    break
                brightest = max(brightest, read_map(self._files[name]).max())
        if brightest == np.float32(1 / 255):
            raise UserError(
                f"{self.source}: the brightest value is 1, expected maps of 0 to 255"
            )

    def cases(
        self, case_set: CaseSet, indices: Iterable[int] | None = None
    ) -> Iterator[Case]:
        """Yields cases (default: all) with their maps, in order, a few at a time."""

        def load(index: int) -> Case:
            case = case_set.read(index)
            values = read_map(self._files[case.name])
            if case.name not in self._ranges:
                return replace(case, probability=values, saved_map=True)
            low, high = self._ranges[case.name]
            values = low + (high - low) * values if high > low else values
            return replace(case, probability=values)

        if indices is None:
            indices = range(len(case_set))
        return map_in_order(load, indices)


def read_map(file: Path) -> np.ndarray:
    """Reads a grey map as `(h, w)` float32 in [0, 1].

    Raises:
        UserError: the file is damaged or in colour.
    """
    picture = read_image(file)
    grey = picture[..., 0]
    if np.ptp(picture, axis=-1).any():
        raise UserError(f"{file}: is a colour picture, expected a grey map")
    return grey.astype(np.float32) / 255


class MapWriter:
    """Saves maps as PraNet does: 8-bit PNGs at the mask's original size, stretched.

    Min-max normalisation loses a map's range, so the range is stored in `ranges.json`
    beside the PNGs, from which `SavedMaps` restores it.

    Args:
        folder: where to write; see `writing_maps`.
        ranges: name → lowest and highest probability; `add` puts its own there.
    """

    def __init__(self, folder: Path, ranges: dict[str, list[float]]):
        self._folder = folder
        self._ranges = ranges

    def add(self, case: Case) -> None:
        """Writes one case's map."""
        probability = np.clip(resized_by_logits(case), 0, 1)  # int8 may round beyond
        levels = np.rint(stretch(probability.astype(np.float64)) * 255).astype(np.uint8)
        file = self._folder / f"{case.name}.png"
        if not cv2.imwrite(str(file), levels):
            raise UserError(f"{file}: could not be written")
        self._ranges[case.name] = [float(probability.min()), float(probability.max())]


@contextmanager
def writing_maps(folder: Path) -> Iterator[MapWriter]:
    """Gives a writer whose maps are put into `folder` at the end, all or none.

    Args:
        folder: made if missing. Saved maps of other cases there are kept.

    Raises:
        UserError: it cannot be made, or holds pictures that are no saved maps.
    """
    make_folder(folder)
    ranges = _read_ranges(folder)
    pictures = [f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES]
    others = sorted(file.name for file in pictures if file.stem not in ranges)
    if others:
        raise UserError(
            f"{folder} holds pictures that are no saved maps, the first: {others[0]}; "
            "give another --save_maps"
        )
    with replacing_files(folder) as partial:
        yield MapWriter(partial, ranges)
        write_json(partial / RANGES_FILE, ranges)


def _read_ranges(folder: Path) -> dict[str, list[float]]:
    file = folder / RANGES_FILE
    try:
        content = parse_json(file.read_text(encoding="utf-8"))
        ranges = {n: [float(low), float(high)] for n, (low, high) in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError):
        raise UserError(
            f"{file}: is damaged; delete it to score the PNGs as they are"
        ) from None
    for name, (low, high) in ranges.items():
        if not 0 <= low <= high <= 1:
            raise UserError(
                f"{file}: {name}: expected 0 ≤ low ≤ high ≤ 1, received {low}, {high}"
            )
    return ranges
