"""Finds images of the same picture, even if scaled or compressed again."""

import cv2
import numpy as np

THUMBNAIL = 64  # pixels
FREQUENCIES = 16  # lowest ones kept in each direction: 255 bits without the mean
# Of 255 bits. The true duplicates of Kvasir-SEG differ in at most 18, all its other
# images in 42 and more, different sequences of CVC-ClinicDB in 28 and more.
NEAR = 24


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """Describes an image by the signs of its low frequencies against their median.

    Scaling, recompression and light changes flip few bits; a crop or a mirrored copy
    is another image.

    Args:
        image: `(H, W, 3)` uint8 RGB.

    Returns:
        `(32,)` uint8, 255 bits.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    waves = cv2.dct(small.astype(np.float32))[:FREQUENCIES, :FREQUENCIES].ravel()[1:]
    return np.packbits(waves > np.median(waves))


def near_duplicates(
    hashes: np.ndarray, others: np.ndarray | None = None
) -> list[tuple[int, int, int]]:
    """Finds pairs of hashes that differ in at most `NEAR` bits.

    Args:
        hashes: `(N, 32)` uint8.
        others: `(M, 32)` uint8 to compare with; None compares `hashes` with itself.

    Returns:
        (index in `hashes`, index in `others`, bits), the nearest first.
    """
    found = []
    for index, one in enumerate(hashes):
        start = index + 1 if others is None else 0
        rest = (hashes if others is None else others)[start:]
        bits = np.bitwise_count(rest ^ one).sum(axis=1)
        found += [
            (index, start + int(k), int(bits[k])) for k in np.flatnonzero(bits <= NEAR)
        ]
    return sorted(found, key=lambda pair: pair[2])
