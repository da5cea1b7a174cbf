"""Creates, replaces and describes the files of a prepared dataset.

    train_images.npy, train_masks.npy, test_images.npy, test_masks.npy
        or these four as datasets of one prepared.h5, without the ".npy"
    prepared.json
        the manifest: the options, and for each subset the name, group and source of
        each pair and the SHA-256 of the two arrays

Images are `(N, H, W, 3)` uint8 RGB, masks `(N, H, W, 1)` uint8 0/1.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from cli.command import UserError
from cli.files import parse_json

FORMAT_VERSION = 1
SUBSETS = ("train", "test")
H5_FILE = "prepared.h5"
MANIFEST_FILE = "prepared.json"
FILE_NAMES = {
    *(f"{subset}_{kind}.npy" for subset in SUBSETS for kind in ("images", "masks")),
    H5_FILE,
    MANIFEST_FILE,
}
UNFINISHED = ".preparing-"  # prefix of the folder that a run writes in
FINISHED = ".prepared-new"  # complete output whose files are being moved into place


@dataclass(frozen=True)
class Region:
    """The place of one uint8 array in a file: `shape` from byte `offset` on."""

    file: Path
    offset: int
    shape: tuple[int, ...]

    def open(self) -> np.memmap:
        """Maps the array into memory, read-only."""
        return np.memmap(self.file, np.uint8, "r", self.offset, self.shape)


class ArrayWriter:
    """Writes an array part after part, with ordinary file writes.

    A full disk then raises OSError, where a memory map would end the process.

    Args:
        region: where the array lies; its file exists.
    """

    def __init__(self, region: Region):
        self._digest = hashlib.sha256()
        self._stream = region.file.open("r+b")
        self._stream.seek(region.offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def write(self, pixels: np.ndarray) -> None:
        """Writes the next part of the array, uint8."""
        content = np.ascontiguousarray(pixels)
        self._digest.update(content)
        self._stream.write(content)

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far, without the header of the file."""
        return self._digest.hexdigest()


def create_arrays(
    folder: Path, counts: dict[str, int], size: tuple[int, int], file_format: str
) -> dict[str, Region]:
    """Makes the files of a prepared dataset, still without pixels (see `ArrayWriter`).

    Args:
        folder: an existing folder.
        counts: images per subset.
        size: (H, W) in pixels.
        file_format: "npy" or "h5".

    Returns:
        "train_images" and so on, each with its place.
    """
    shapes = {}
    for subset, count in counts.items():
        shapes[f"{subset}_images"] = (count, *size, 3)
        shapes[f"{subset}_masks"] = (count, *size, 1)
    needed = sum(int(np.prod(shape)) for shape in shapes.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder.parent}: disk full, {needed / 1e6:.0f} MB needed but"
            f" {free / 1e6:.0f} MB free; choose another place with --out_dir"
        )
    if file_format == "h5":
        return _create_h5(folder / H5_FILE, shapes)
    return {key: _create_npy(folder / f"{key}.npy", shapes[key]) for key in shapes}


def write_manifest(folder: Path, manifest: dict) -> None:
    """Writes the manifest beside the arrays, and also into an .h5 file of arrays."""
    text = json.dumps({"format_version": FORMAT_VERSION, **manifest}, indent=1)
    (folder / MANIFEST_FILE).write_text(text + "\n")
    if manifest["format"] == "h5":
        import h5py

        with h5py.File(folder / H5_FILE, "r+") as file:
            file["manifest"] = text


@contextlib.contextmanager
def replace_prepared(folder: Path) -> Iterator[Path]:
    """Gives a folder to write to; at the end its files replace those of `folder`.

    All or nothing: if the block fails or is interrupted, the files it wrote are removed
    and `folder` is as before. A process that was killed with SIGKILL leaves a hidden
    folder. `.preparing-...` is removed by the next run. `.prepared-new`, which is there
    when the output was complete, is read when loading and moved into place by the next
    run.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _move_finished(folder)
        for leftover in folder.glob(f"{UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder))
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written to ({error.strerror});"
            " choose another place with --out_dir"
        ) from None
    try:
        yield unfinished
        new = {file.name for file in unfinished.iterdir()}
        unfinished.rename(folder / FINISHED)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error  # HDF5's are long
        raise UserError(
            f"{folder}: writing failed ({reason}); its contents are unchanged"
        ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        if is_new and not any(folder.iterdir()):
            folder.rmdir()
    is_own = (folder / MANIFEST_FILE).is_file()
    _move_finished(folder)
    if is_own:  # remove our arrays of the other format
        for file in FILE_NAMES - new:
            (folder / file).unlink(missing_ok=True)


def current_file(folder: Path, file: str) -> Path:
    """Finds the newest complete version of a prepared file: see `replace_prepared`."""
    finished = folder / FINISHED / file
    return finished if finished.is_file() else folder / file


def read_manifest(path: Path) -> dict | None:
    """Reads the manifest of a prepared folder or .h5 file; None if it has none.

    Raises:
        UserError: it is damaged, of another version, or holds a name that would lead
            out of the folder that results are written to.
    """
    try:
        if path.is_file():
            text = h5_names(path).get("manifest")
        else:
            file = current_file(path, MANIFEST_FILE)
            text = file.read_text() if file.is_file() else None
        if text is None:
            return None
        manifest = parse_json(text)
        version = manifest["format_version"]
        texts = _texts(manifest) if version == FORMAT_VERSION else []
        sound = all(
            isinstance(text, str) for text in [*texts, manifest.get("source", "")]
        )
        sizes = _source_sizes(manifest) if texts else []
        sound &= all(len(size) == 2 and min(size) > 0 for size in sizes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise UserError(f"{path}: its {MANIFEST_FILE} is damaged; prepare again")
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path}: prepared in format {version}, expected {FORMAT_VERSION};"
            " run the preprocessing again"
        )
    for text in texts:
        if not _is_name(text):
            raise UserError(f"{path}: its {MANIFEST_FILE} holds the name {text!r}")
    return manifest


def _is_name(text: str) -> bool:
    """Whether a file can have this name, below the folder of the results."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    path = Path(text)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in text


def _source_sizes(manifest: dict) -> list[Sequence[int]]:
    """Lists the sizes of the raw images, where the manifest has them."""
    items = [item for s in SUBSETS for item in manifest["subsets"][s]["items"]]
    return [item["source_size"] for item in items if item.get("source_size")]


def _texts(manifest: dict) -> list[str]:
    """Lists the texts of a manifest that the project uses."""
    texts = [manifest["dataset"], manifest["format"]]
    for subset in SUBSETS:
        part = manifest["subsets"][subset]
        texts += part.get("sha256", {}).values()
        for item in part["items"]:
            texts += [item["name"], item["group"], item["centre"] or ""]
    return texts


def h5_names(file: Path) -> dict[str, str]:
    """Lists the names in an .h5 file, that of the manifest with its text."""
    import h5py

    try:
        with h5py.File(file, "r") as stream:
            names = dict.fromkeys(stream, "")
            if "manifest" in names:
                names["manifest"] = stream["manifest"][()].decode()
            return names
    except (OSError, KeyError, AttributeError, TypeError, ValueError, RuntimeError):
        return {}


def _move_finished(folder: Path) -> None:
    finished = folder / FINISHED
    if finished.is_dir():
        for file in sorted(finished.iterdir()):
            os.replace(file, folder / file.name)
        finished.rmdir()


def _create_npy(file: Path, shape: tuple[int, ...]) -> Region:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        return Region(file, stream.tell(), shape)


def _create_h5(file: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, Region]:
    """Makes contiguous datasets: plain bytes at a known offset, which can be mapped."""
    import h5py

    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    regions = {}
    with h5py.File(file, "w") as stream:
        for key, shape in shapes.items():
            dataset = h5py.h5d.create(
                stream.id,
                key.encode(),
                h5py.h5t.STD_U8LE,
                h5py.h5s.create_simple(shape),
                layout,
            )
            regions[key] = Region(file, dataset.get_offset(), shape)
    return regions
