"""Finds the images and masks of a dataset folder, in any of these layouts.

images/ + masks/                  Kvasir-SEG, CVC-300, PraNet's sets, your own
Original/ + Ground Truth/         CVC-ClinicDB, also inside TIF/ or PNG/
NAME/ or N.tif + Ground Truth/pN  ETIS-LaribPolypDB
N.tiff and pN.tiff together       CVC-ColonDB
data_C1/ ... data_C6/             PolypGen, its centres together
seq1/ ... or positive/seq1/ ...   PolypGen's sequences
"""

import bisect
import os
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from cli.command import UserError
from cli.files import printable

# CVC-ClinicDB is video: frame n is of the last sequence that starts at or before n.
CLINICDB_SEQUENCE_STARTS = (
    1, 26, 51, 68, 79, 104, 127, 152, 178, 200, 206, 228, 253, 278, 298, 318, 343, 364,
    384, 409, 429, 448, 467, 479, 504, 529, 547, 572, 592,
)  # fmt: skip
CLINICDB_FRAMES = 612

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"}
# Folders of one set saved in several file formats; the fullest is used.
FORMAT_FOLDERS = {"png", "tif", "tiff", "jpg", "jpeg", "bmp"}
IMAGE_FOLDER = re.compile(r"(?:images?|originals?|imgs?|frames?)(?P<which>.*)")
MASK_FOLDER = re.compile(r"(?:masks?|groundtruths?|gts?|labels?)(?P<which>.*)")
MASK_ENDING = re.compile(r"[_-](?:mask|gt|segmentation|label)$", re.IGNORECASE)
P_AND_NUMBER = re.compile(r"p\d+")  # ETIS and ColonDB: p12 is the mask of 12

NO_MASK = "image without mask"
NO_IMAGE = "mask without image"
SECOND_FILE = "second file for the same name"
NOT_A_FILE = "not a regular file"  # such as a named pipe, which might never end
SEARCH_DEPTH = 4


def without_ending(name: str) -> str:
    """Takes the ending of an image file off a line of a list, if it has one."""
    ending = Path(name).suffix
    return name.removesuffix(ending) if ending.lower() in IMAGE_SUFFIXES else name


@dataclass(frozen=True)
class Pair:
    """One image and its mask.

    Attributes:
        name: unique within the dataset; the image's file name without its ending.
        image: the image file.
        mask: the mask file; None of a frame that shows no polyp and has none, which
            only `data/sequences.py` finds.
        group: the video sequence, else `name`. The training and the test set of a
            split by sequence have no group in common.
        centre: the hospital of a multi-centre dataset ("C1"), else None.
    """

    name: str
    image: Path
    mask: Path | None
    group: str
    centre: str | None = None


@dataclass
class Dataset:
    """The pairs of one dataset folder, and the files in it that are not used.

    Attributes:
        name: for tables and result folders, such as "Kvasir-SEG".
        layout: the folders read, such as "images + masks".
        root: the dataset folder.
        pairs: in natural order of their names (2 before 10).
        left_out: (path relative to root, reason) of everything not used.
    """

    name: str
    layout: str
    root: Path
    pairs: list[Pair]
    left_out: list[tuple[str, str]] = field(default_factory=list)

    @property
    def unpaired(self) -> list[tuple[str, str]]:
        """The files of `left_out` that lack their partner; preparing refuses them."""
        faults = {NO_MASK, NO_IMAGE, SECOND_FILE}
        return [(file, reason) for file, reason in self.left_out if reason in faults]

    def describe(self, most: int = 10) -> str:
        """Describes the pairs, and at most `most` of the files that are not used."""
        lines = [
            f"{self.name}: {len(self.pairs)} pairs in {self.layout} of {self.root}"
        ]
        lines += [f"  left out: {file} ({why})" for file, why in self.left_out[:most]]
        if len(self.left_out) > most:
            lines.append(f"  left out: {len(self.left_out) - most} more")
        return "\n".join(lines)


def find_pairs(path: Path | str, name: str | None = None) -> Dataset:
    """Finds the one dataset in a folder.

    An image or mask without its partner is not an error here: it is in `left_out`,
    and `Dataset.unpaired` lists it for callers that want every file used.

    Args:
        path: a dataset folder in any layout of this module's docstring.
        name: overrides the folder's name; "ClinicDB" in it means video sequences.

    Raises:
        UserError: the folder is missing, or holds no pair, or several datasets.
    """
    root = Path(path)
    datasets = find_datasets(root, name)
    if not datasets:
        for images, masks in image_and_mask_folders(root):
            raise UserError(
                f"{root}: no mask of {masks.name}/ is named like an image of"
                f" {images.name}/; expected the same name, NAME_mask or pNUMBER"
            )
        raise UserError(
            f"{root}: no images with masks found; expected images/ and masks/,"
            " Original/ and Ground Truth/, or data_C1/ to data_C6/"
        )
    if len(datasets) > 1:
        folders = ", ".join(str(dataset.root) for dataset in datasets)
        raise UserError(f"{root}: holds several datasets, name one of them: {folders}")
    return datasets[0]


def find_datasets(
    root: Path | str, name: str | None = None, depth: int = SEARCH_DEPTH
) -> list[Dataset]:
    """Finds every dataset at or below a folder, such as PraNet's TestDataset."""
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: is not a folder")
    dataset = (
        _find_centres(root, name) or _find_sequences(root, name) or find_set(root, name)
    )
    if dataset:
        return [dataset]
    if depth == 0:
        return []
    return [
        found
        for child in subfolders(root)
        for found in find_datasets(child, name, depth - 1)
    ]


def natural_order(text: str) -> list[tuple[int, int, str]]:
    """Makes a sort key: frame 2 comes before frame 10, and numbers before words."""
    parts = re.findall(r"\d+|\D+", text)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _find_centres(root: Path, name: str | None) -> Dataset | None:
    """Finds PolypGen's single frames: data_C1 to data_C6, or one of these."""
    inside = subfolders(root, r"data_C\d+")
    folders = inside or ([root] if re.fullmatch(r"data_C\d+", root.name) else [])
    parts = []
    for folder in folders:
        centre = folder.name.removeprefix("data_")
        part = find_set(folder, f"PolypGen-{centre}")
        if part:
            part.pairs = [replace(pair, centre=centre) for pair in part.pairs]
            parts.append(part)
    if not inside:
        return parts[0] if parts else None
    return _join(parts, name or "PolypGen", root)


def _find_sequences(root: Path, name: str | None) -> Dataset | None:
    """Finds PolypGen's videos: seq1, seq2, ... in the folder or in its positive/."""
    folders = subfolders(root, r"seq\d+") or subfolders(root / "positive", r"seq\d+")
    if not folders and re.fullmatch(r"seq\d+", root.name):
        folders = [root]
    parts = []
    for folder in folders:
        part = find_set(folder, folder.name)
        if part:
            group = f"sequence {folder.name.removeprefix('seq')}"
            part.pairs = [replace(pair, group=group) for pair in part.pairs]
            parts.append(part)
    return _join(parts, name or "PolypGen-sequences", root)


def find_set(root: Path, name: str | None) -> Dataset | None:
    """Finds one set of images and masks; of several copies, the one of most pairs."""
    formats = [folder for folder in subfolders(root) if _is_format(folder)]
    candidates = [
        match_files(root, images, masks, name or _name_of(root))
        for folder in (root, *formats)
        for images, masks in image_and_mask_folders(folder)
    ] or [match_files(root, root, root, name or _name_of(root))]
    candidates = [found for found in candidates if found.pairs]
    if not candidates:
        return None
    best = max(candidates, key=lambda found: len(found.pairs))
    best.left_out += [
        (other.layout, f"{len(other.pairs)} pairs; {best.layout} has {len(best.pairs)}")
        for other in candidates
        if other is not best
    ]
    return best


def image_and_mask_folders(folder: Path) -> list[tuple[Path, Path]]:
    """Finds the folders that belong together, such as images_C1 and masks_C1."""
    images, masks, others = {}, {}, []
    for child in subfolders(folder):
        plain = re.sub(r"[ _-]", "", child.name.lower())
        if match := IMAGE_FOLDER.fullmatch(plain):
            images[match["which"]] = child
        elif match := MASK_FOLDER.fullmatch(plain):
            masks[match["which"]] = child
        elif any(list_images(child)):
            others.append(child)
    if masks.get("") and not images:  # ETIS: images in a folder of any name, or beside
        images[""] = others[0] if len(others) == 1 else folder
    return [(images[which], masks[which]) for which in images if which in masks]


def match_files(root: Path, images: Path, masks: Path, name: str) -> Dataset:
    """Pairs the files of an image folder and a mask folder, which may be one folder."""
    image_files, no_files = list_images(images)
    mask_files, no_mask_files = list_images(masks)
    layout = f"{_relative(images, root)} + {_relative(masks, root)}"
    if images == masks:
        mask_files = [file for file in image_files if _is_mask_name(file.stem)]
        image_files = [file for file in image_files if file not in set(mask_files)]
        layout = "images and masks side by side"
    left_out = [
        (_relative(path, root), NOT_A_FILE)
        for path in dict.fromkeys(no_files + no_mask_files)
    ]
    image_of: dict[str, Path] = {}
    for file in image_files:
        if file.stem in image_of:
            left_out.append((_relative(file, root), SECOND_FILE))
        image_of.setdefault(file.stem, file)
    mask_of: dict[str, Path] = {}
    for file in mask_files:
        stem = next(
            (stem for stem in _image_stems(file.stem) if stem in image_of), None
        )
        if stem is None or stem in mask_of:
            left_out.append((_relative(file, root), SECOND_FILE if stem else NO_IMAGE))
        else:
            mask_of[stem] = file
    left_out += [
        (_relative(file, root), NO_MASK)
        for stem, file in image_of.items()
        if stem not in mask_of
    ]
    pairs = [
        Pair(stem, image_of[stem], mask_of[stem], group=_group_of(stem, name))
        for stem in sorted(mask_of, key=natural_order)
    ]
    return Dataset(name, layout, root, pairs, left_out)


def _join(parts: list[Dataset], name: str, root: Path) -> Dataset | None:
    """Joins the datasets of several folders of `root`."""
    if not parts:
        return None
    count = Counter(pair.name for part in parts for pair in part.pairs)
    pairs, left_out = [], []
    for part in parts:
        own = part.root.name
        for pair in part.pairs:
            clash = count[pair.name] > 1
            pairs.append(replace(pair, name=f"{own}_{pair.name}") if clash else pair)
        left_out += [
            (f"{_relative(part.root, root)}/{file}", why) for file, why in part.left_out
        ]
    used = {part.root for part in parts} | {part.root.parent for part in parts}
    left_out += [
        (folder.name, "not among the masked frames; name it to use it")
        for folder in subfolders(root)
        if folder not in used
    ]
    layout = ", ".join(_relative(part.root, root) for part in parts)
    return Dataset(name, layout, root, pairs, left_out)


def _is_mask_name(stem: str) -> bool:
    return bool(P_AND_NUMBER.fullmatch(stem) or MASK_ENDING.search(stem))


def _image_stems(mask_stem: str) -> list[str]:
    """Lists the image names that a mask may belong to, the likeliest first."""
    stems = [mask_stem, MASK_ENDING.sub("", mask_stem)]
    return stems + [mask_stem[1:]] if P_AND_NUMBER.fullmatch(mask_stem) else stems


def _group_of(stem: str, dataset: str) -> str:
    """Names the group: for frames of ClinicDB, also in PraNet's sets, the sequence."""
    holds_clinicdb = re.search("clinicdb|traindataset", dataset, re.IGNORECASE)
    if holds_clinicdb and stem.isdecimal() and 1 <= int(stem) <= CLINICDB_FRAMES:
        return f"sequence {bisect.bisect(CLINICDB_SEQUENCE_STARTS, int(stem))}"
    return stem


def _name_of(root: Path) -> str:
    root = Path(os.path.abspath(root))  # a link keeps its own name
    return root.parent.name if _is_format(root) else root.name


def _is_format(folder: Path) -> bool:
    return folder.name.lower() in FORMAT_FOLDERS


def _relative(path: Path, root: Path) -> str:
    return printable(path.relative_to(root).as_posix())


def subfolders(root: Path, pattern: str = r"[^._].*") -> list[Path]:
    """Lists subfolders whose whole name fits; the default leaves out hidden ones."""
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if re.fullmatch(pattern, path.name)]
    folders = [path for path in found if path.is_dir()]
    return sorted(folders, key=lambda path: natural_order(path.name))


def list_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """Lists the images directly in a folder; hidden ones (`._1.png`) are skipped.

    Returns:
        Regular files, and what is named like an image but is something else.
    """
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    found.sort(key=lambda path: natural_order(path.name))
    files = [path for path in found if path.is_file()]
    return files, [path for path in found if not path.is_file()]
