"""Applies the published augmentation: one saved variant of each training image.

By default, training augments anew in every epoch (data/augment.py). This is the
published alternative, chosen with `--augment published` at preprocessing.
"""

import cv2
import numpy as np

from data.images import MASK_THRESHOLD

ZOOM = (0.8, 1.2)
BRIGHTNESS = 0.2 * 127.5  # grey levels; 0.2 on the scale [-1, 1]
CONTRAST = (0.8, 1.2)
ELASTIC_ALPHA = 34.0  # pixels
ELASTIC_SIGMA = 4.0  # pixels


def augment_published(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Zooms and deforms image and mask together, then relights the image.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        mask: `(H, W)` uint8 0/1.
        rng: source of all randomness.

    Returns:
        A new image and mask of the same shapes, types and ranges.
    """
    height, width = mask.shape
    across, down = _bent_grid(mask.shape, rng)
    zoom = rng.uniform(*ZOOM)
    across = _zoomed(across, width, zoom, rng)
    down = _zoomed(down, height, zoom, rng)
    image = cv2.remap(image, across, down, cv2.INTER_LINEAR)  # black outside
    grey = cv2.remap(mask * np.uint8(255), across, down, cv2.INTER_LINEAR)
    return _change_light(image, rng), (grey > MASK_THRESHOLD).astype(np.uint8)


def _bent_grid(
    shape: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Adds a smooth random shift to each pixel's position.

    Returns:
        Column and row, `(H, W)` float32 in pixels.

    Reference: Simard et al., Best Practices for Convolutional Neural Networks, 2003.
    """
    noise = rng.uniform(-1, 1, (2, *shape)).astype(np.float32)
    shift = [cv2.GaussianBlur(plane, (0, 0), ELASTIC_SIGMA) for plane in noise]
    down, across = np.indices(shape, np.float32)
    return across + ELASTIC_ALPHA * shift[0], down + ELASTIC_ALPHA * shift[1]


def _zoomed(
    position: np.ndarray, length: int, zoom: float, rng: np.random.Generator
) -> np.ndarray:
    """Maps positions of the zoomed frame to the original, along one axis.

    Zoomed in, the frame shows a random part of the original; zoomed out, the original
    stands at a random place in a black frame.
    """
    slack = length - length / zoom  # negative when zoomed out
    start = rng.uniform(min(0, slack), max(0, slack))
    return ((position + 0.5) / zoom + start - 0.5).astype(np.float32)


def _change_light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shifts the brightness, and scales the contrast about each channel's mean."""
    pixels = image.astype(np.float32) + rng.uniform(-BRIGHTNESS, BRIGHTNESS)
    mean = pixels.mean(axis=(0, 1))
    pixels = (pixels - mean) * rng.uniform(*CONTRAST) + mean
    return np.rint(pixels).clip(0, 255).astype(np.uint8)
