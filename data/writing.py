"""Decodes pairs in parallel and writes them, in order, as the arrays of a subset."""

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
from data.storage import ArrayWriter


@dataclass(frozen=True)
class PreparedPair:
    """A pair as it is stored, and its item in the manifest.

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
    size: tuple[int, int],
    images: ArrayWriter,
    masks: ArrayWriter,
    augment_seed: int | None = None,
    title: str = "",
) -> tuple[list[dict], list[str]]:
    """Writes all pairs at one size.

    Args:
        pairs: in the order in which to write them.
        size: (H, W) in pixels.
        images: writes the images, `(N, H, W, 3)`.
        masks: writes the masks, `(N, H, W, 1)`.
        augment_seed: apply the published augmentation with this seed; None = do not.
        title: of the progress bar.

    Returns:
        The items of the manifest, and the problems, each of which names a file. When
        there is a problem, the arrays are incomplete and must not be used.
    """
    items, problems = [], []
    results = map_in_order(lambda pair: _try(pair, size, augment_seed), pairs)
    for result in tqdm(results, title, len(pairs), unit="image", disable=None):
        if isinstance(result, UserError):
            problems.append(str(result))
            continue
        images.write(result.image)
        masks.write(result.mask)
        items.append(result.item)
    return items, problems


def prepare_pair(
    pair: Pair, size: tuple[int, int], augment_seed: int | None = None
) -> PreparedPair:
    """Reads, checks, resizes and, if asked, augments one pair.

    The augmentation depends on the seed and the image's name only, not on the order
    in which the threads process the pairs.
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
