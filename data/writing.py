"""Decodes pairs in parallel and writes them, in order, as the arrays of a split."""

import hashlib
import zlib
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from cli.command import UserError
from cli.parallel import map_in_order
from data.images import decode_pair, read_file, resize_image, resize_mask
from data.offline_augment import augment_published
from data.pairs import Pair
from data.storage import Region


@dataclass(frozen=True)
class PreparedPair:
    """A pair as it will be stored, and its line of the manifest.

    Attributes:
        image: `(H, W, 3)` uint8 RGB.
        mask: `(H, W)` uint8 0/1.
        item: name, group, centre, source size, hashes, whether the mask is empty.
    """

    image: np.ndarray
    mask: np.ndarray
    item: dict


def write_pairs(
    pairs: list[Pair],
    images: Region,
    masks: Region,
    augment_seed: int | None = None,
    title: str = "",
) -> tuple[list[dict], list[str]]:
    """Writes all pairs, at the size of the regions.

    Args:
        pairs: in the order in which to write them.
        images: where the images go, `(N, H, W, 3)`.
        masks: where the masks go, `(N, H, W, 1)`.
        augment_seed: apply the published augmentation with this seed; None = do not.
        title: of the progress bar.

    Returns:
        The manifest's items and the problems, each naming a file. With a problem the
        arrays are incomplete and must be thrown away.
    """
    size = images.shape[1:3]
    items, problems = [], []
    results = map_in_order(lambda pair: _try(pair, size, augment_seed), pairs)
    with (
        images.file.open("r+b") as image_stream,
        masks.file.open("r+b") as mask_stream,
    ):
        image_stream.seek(images.offset)
        mask_stream.seek(masks.offset)
        for result in tqdm(results, title, len(pairs), unit="image"):
            if isinstance(result, UserError):
                problems.append(str(result))
                continue
            image_stream.write(result.image.tobytes())
            mask_stream.write(result.mask.tobytes())
            items.append(result.item)
    return items, problems


def prepare_pair(
    pair: Pair, size: tuple[int, int], augment_seed: int | None = None
) -> PreparedPair:
    """Reads, checks, resizes and, if asked, augments one pair.

    The augmentation depends on the seed and the image's name only, not on the order
    in which threads come to it.
    """
    image_content, mask_content = read_file(pair.image), read_file(pair.mask)
    image, mask = decode_pair(image_content, mask_content, pair.image, pair.mask)
    item = {
        "name": pair.name,
        "group": pair.group,
        "centre": pair.centre,
        "source_size": list(mask.shape),  # height, width
        "empty_mask": not mask.any(),
        "image_sha256": hashlib.sha256(image_content).hexdigest(),
        "mask_sha256": hashlib.sha256(mask_content).hexdigest(),
    }
    image, mask = resize_image(image, size), resize_mask(mask, size)
    if augment_seed is not None:
        rng = np.random.default_rng([augment_seed, zlib.crc32(pair.name.encode())])
        image, mask = augment_published(image, mask, rng)
    return PreparedPair(image, mask, item)


def _try(
    pair: Pair, size: tuple[int, int], augment_seed: int | None
) -> PreparedPair | UserError:
    try:
        return prepare_pair(pair, size, augment_seed)
    except UserError as error:
        return error
