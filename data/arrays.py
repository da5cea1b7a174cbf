"""Reads prepared datasets, ours and the published ones, as memory-mapped arrays.

A prepared folder holds `train_images`, `train_masks`, `test_images` and `test_masks`,
as .npy files or in one .h5, and a manifest; see data/storage.py. Arrays are only ever
memory-mapped, so a dataset may be larger than memory.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np

from cli.command import UserError
from data.storage import (
    H5_FILE,
    MANIFEST_FILE,
    SUBSETS,
    Region,
    current_file,
    h5_names,
    read_manifest,
)

# Brightness augmentation took the published floats a little beyond [-1, 1].
PUBLISHED_LIMIT = 2.0
SAMPLE = 64  # images looked at to tell which value range foreign arrays have


@dataclass(frozen=True)
class PreparedSet:
    """The training or test images and masks of a prepared dataset, memory-mapped.

    Attributes:
        name: of the dataset, such as "Kvasir-SEG".
        subset: "train" or "test".
        images: `(N, H, W, 3)` as stored: uint8 0-255, or published floats in [-1, 1].
        masks: `(N, H, W, 1 or 3)` or `(N, H, W)` as stored.
        mask_threshold: a stored mask value above it is foreground.
        names: N unique image names.
        groups: N names of what must stay on one side of a split (video sequence).
        centres: N hospitals ("C1"), or None where unknown.
    """

    name: str
    subset: str
    images: np.ndarray
    masks: np.ndarray
    mask_threshold: float
    names: list[str]
    groups: list[str]
    centres: list[str | None]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.images.shape[1], self.images.shape[2]

    def batch(self, indices: Sequence[int] | slice) -> tuple[np.ndarray, np.ndarray]:
        """Reads some pairs, in the order of `indices`, whatever the stored form.

        Returns:
            `(n, H, W, 3)` uint8 RGB 0-255 and `(n, H, W, 1)` uint8 0/1.
        """
        images = np.array(self.images[indices])
        if np.issubdtype(images.dtype, np.floating):
            images = np.rint((images.astype(np.float32) + 1.0) * 127.5)
        images = images.clip(0, 255).astype(np.uint8)
        masks = np.array(self.masks[indices])
        masks = masks[..., None] if masks.ndim == 3 else masks[..., :1]
        return images, (masks > self.mask_threshold).astype(np.uint8)


def is_prepared(path: Path | str) -> bool:
    """Says whether a folder or .h5 file holds prepared arrays."""
    path = Path(path)
    if path.is_file():
        return path.suffix == ".h5" and "train_images" in h5_names(path)
    complete = [(f"{subset}_images.npy", f"{subset}_masks.npy") for subset in SUBSETS]
    return any(
        all(current_file(path, file).is_file() for file in files)
        for files in [*complete, (H5_FILE,)]
    )


def load_prepared(path: Path | str, subset: str = "train") -> PreparedSet:
    """Opens the train or test set of a prepared folder or .h5 file.

    Folders of published arrays (floats in [-1, 1], masks of 1 or 3 channels, no
    manifest) are accepted; their images are named by position.

    Raises:
        UserError: nothing prepared there, or files are damaged or do not fit together.
    """
    path = Path(path)
    if not is_prepared(path):
        raise UserError(
            f"{path}: no prepared arrays there; make them with Preprocess_SEG.py,"
            " Preprocess_CVC_CliniCDB.py or `python -m data.prepare`"
        )
    h5_file = path if path.is_file() else current_file(path, H5_FILE)
    manifest = read_manifest(path)
    in_h5 = manifest["format"] == "h5" if manifest else h5_file.is_file()
    images, masks = (
        _open_h5(h5_file, f"{subset}_{kind}")
        if in_h5
        else _open_npy(current_file(path, f"{subset}_{kind}.npy"))
        for kind in ("images", "masks")
    )
    where = f"{path} ({subset})"
    _check_shapes(images, masks, where)
    _check_image_range(images, where)
    if manifest:
        items = manifest["subsets"][subset]["items"]
    else:
        names = [f"{index:04d}" for index in range(len(images))]
        items = [{"name": name, "group": name, "centre": None} for name in names]
    if len(items) != len(images):
        raise UserError(
            f"{where}: {len(images)} images but {MANIFEST_FILE} lists {len(items)};"
            f" prepare again, or delete {MANIFEST_FILE} if the arrays are your own"
        )
    return PreparedSet(
        name=manifest["dataset"] if manifest else path.absolute().name,
        subset=subset,
        images=images,
        masks=masks,
        mask_threshold=_mask_threshold(masks, where),
        names=[item["name"] for item in items],
        groups=[item["group"] for item in items],
        centres=[item["centre"] for item in items],
    )


def find_damage(path: Path | str) -> tuple[int, list[str]]:
    """Compares the arrays of a prepared dataset with the SHA-256 in its manifest.

    Args:
        path: a prepared folder or .h5 file. Arrays without a manifest, and those that
            earlier versions prepared, have no SHA-256 and cannot be compared.

    Returns:
        How many arrays were compared, and one line for each that differs or cannot be
        read.
    """
    path = Path(path)
    compared, faults = 0, []
    try:
        manifest = read_manifest(path)
    except UserError as error:
        return 0, [str(error)]
    for subset in SUBSETS if manifest else ():
        try:
            prepared = load_prepared(path, subset)
        except UserError as error:
            faults.append(str(error))
            continue
        hashes = manifest["subsets"][subset].get("sha256", {})
        for kind, array in (("images", prepared.images), ("masks", prepared.masks)):
            if kind not in hashes:
                continue
            compared += 1
            if _sha256(array) != hashes[kind]:
                faults.append(
                    f"{array.filename}: {subset}_{kind} has changed since it was"
                    f" prepared, its SHA-256 is not that of {MANIFEST_FILE}; prepare"
                    " again"
                )
    return compared, faults


def _sha256(array: np.ndarray) -> str:
    """SHA-256 of the values in C order, as `storage.ArrayWriter` computes it."""
    digest = hashlib.sha256()
    for part in array:
        digest.update(np.ascontiguousarray(part))
    return digest.hexdigest()


def _open_npy(file: Path) -> np.ndarray:
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{file}: is missing") from None
    # The header of a .npy file is parsed as Python literals.
    except (OSError, ValueError, EOFError, SyntaxError, TokenError) as error:
        raise UserError(f"{file}: is not a whole .npy array ({error})") from None
    if not isinstance(array, np.ndarray):
        raise UserError(f"{file}: is an archive, expected one .npy array")
    return array


def _open_h5(file: Path, key: str) -> np.ndarray:
    import h5py

    try:
        with h5py.File(file, "r") as stream:
            dataset = stream[key]
            region = Region(file, dataset.id.get_offset(), dataset.shape)
            if region.offset is None or dataset.dtype != np.uint8:
                raise UserError(
                    f"{file}: {key} is not a plain uint8 array; prepare again"
                )
        return region.open()
    except (OSError, KeyError, AttributeError, ValueError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file}: has no readable array {key}") from None


def _check_shapes(images: np.ndarray, masks: np.ndarray, where: str) -> None:
    fits = (
        images.ndim == 4
        and images.shape[3] == 3
        and masks.shape in {images.shape[:3] + end for end in ((), (1,), (3,))}
        and images.dtype.kind in "uif"
        and masks.dtype.kind in "uifb"
    )
    if not fits:
        raise UserError(
            f"{where}: expected images (N, H, W, 3) and masks (N, H, W, 1); found"
            f" {images.shape} {images.dtype} and {masks.shape} {masks.dtype}"
        )
    if not len(images):
        raise UserError(f"{where}: holds no images")


def _sample(array: np.ndarray) -> np.ndarray:
    return array[:: max(1, len(array) // SAMPLE)]


def _check_image_range(images: np.ndarray, where: str) -> None:
    if images.dtype == np.uint8:
        return
    sample = _sample(images)
    low, high = float(sample.min()), float(sample.max())
    if images.dtype.kind == "f":
        fits = -PUBLISHED_LIMIT <= low < 0 and high <= PUBLISHED_LIMIT
    else:
        fits = 0 <= low and high <= 255
    if not fits:
        raise UserError(
            f"{where}: expected images of uint8 0-255 or floats in [-1, 1]; found"
            f" {images.dtype} from {low:g} to {high:g}"
        )


def _mask_threshold(masks: np.ndarray, where: str) -> float:
    """Finds the middle of the masks' range: 0/1, 0/255, or floats in [0, 1]."""
    high = float(_sample(masks).max())
    if masks.dtype.kind != "f":
        return 127 if high > 1 else 0
    if high > 1:
        raise UserError(f"{where}: float masks reach {high:g}, expected [0, 1]")
    return 0.5
