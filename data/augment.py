"""Augmentation as training goes, of image and mask together.

Plain NumPy and OpenCV on one sample, driven by one generator: the caller seeds it
with (seed, epoch, sample), so a resumed run sees what an uninterrupted one would.
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a sample.

    Attributes:
        flip_x, flip_y: probability of a mirror image, left-right and upside down.
        quarter_turns: whether the frame (when square) is turned by 0, 90, 180 or 270°.
        rotation: largest angle either way, degrees.
        rotation_probability: how often it is turned.
        zoom: smallest side of the random crop, as a share of the frame; 1 = no crop.
        zoom_out: the largest; above 1 the frame shrinks within a black border.
        brightness: largest shift, as a share of the range 0–255.
        contrast, saturation: largest change of the factor around 1.
        hue: largest shift, degrees on the colour circle.
        elastic_probability: how often the frame is warped elastically.
        elastic_amplitude: largest elastic shift, as a share of the side.
        dropout_probability: how often holes are cut into the image (not the mask).
        dropout_holes, dropout_size: largest number of holes; their side, as a share
            of the frame's height.
    """

    flip_x: float = 0.0
    flip_y: float = 0.0
    quarter_turns: bool = False
    rotation: float = 0.0
    rotation_probability: float = 1.0
    zoom: float = 1.0
    zoom_out: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    elastic_probability: float = 0.0
    elastic_amplitude: float = 0.04
    dropout_probability: float = 0.0
    dropout_holes: int = 10
    dropout_size: float = 32 / 256


AUGMENTATIONS = {
    "none": Augmentation(),
    "lgps": Augmentation(
        flip_x=0.5,
        flip_y=0.5,
        quarter_turns=True,
        rotation=15,
        zoom=0.7,
        brightness=0.1,
        contrast=0.2,
        saturation=0.2,
        hue=5,
        elastic_probability=0.2,
    ),
    "mild": Augmentation(
        flip_x=0.5,
        flip_y=0.5,
        quarter_turns=True,
        zoom=0.7,
        brightness=0.1,
        contrast=0.1,
        saturation=0.1,
        hue=4,
    ),
    "wide": Augmentation(
        flip_x=0.5,
        flip_y=0.5,
        quarter_turns=True,
        rotation=15,
        zoom=0.6,
        zoom_out=1.4,
        brightness=0.15,
        contrast=0.3,
        saturation=0.3,
        hue=8,
        elastic_probability=0.2,
    ),
    # The four published for PVTSeg, each with probability 0.3.
    "pvtseg": Augmentation(
        flip_x=0.3,
        flip_y=0.3,
        rotation=35,
        rotation_probability=0.3,
        dropout_probability=0.3,
    ),
}

ELASTIC_KNOTS = 5  # random shifts per side, smoothly interpolated between


def augment(
    image: np.ndarray,
    mask: np.ndarray,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Augments one sample.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        mask: `(H, W, 1)` uint8 0/1.
        augmentation: what may happen to it.
        rng: the source of all randomness.

    Returns:
        Image and mask of the same shapes and types; the mask is still 0/1.
    """
    image, mask = _move(image, mask, augmentation, rng)
    image = _recolour(image, augmentation, rng)
    if rng.random() < augmentation.dropout_probability:
        image = _cut_holes(image, augmentation, rng)
    return image, mask


def _move(image, mask, augmentation, rng) -> tuple[np.ndarray, np.ndarray]:
    """Flips, turns, crops and warps, all in one resampling."""
    height, width = image.shape[:2]
    matrix = _random_matrix(height, width, augmentation, rng)
    elastic = rng.random() < augmentation.elastic_probability
    if np.array_equal(matrix, np.eye(3)) and not elastic:
        return image, mask
    columns, rows = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    (a, b, c), (d, e, f), _ = matrix.astype(np.float32)
    source_x = a * columns + b * rows + c
    source_y = d * columns + e * rows + f
    if elastic:
        limit = augmentation.elastic_amplitude * min(height, width)
        knots = rng.uniform(-limit, limit, (ELASTIC_KNOTS, ELASTIC_KNOTS, 2))
        shift = cv2.resize(
            knots.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        source_x += shift[..., 0]
        source_y += shift[..., 1]
    image = cv2.remap(
        image, source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    mask = cv2.remap(mask[..., 0], source_x, source_y, cv2.INTER_NEAREST)
    return image, mask[..., None]


def _random_matrix(height, width, augmentation, rng) -> np.ndarray:
    """`(3, 3)` matrix from pixels `(x, y, 1)` of the result to the source's."""
    angle = rng.uniform(-augmentation.rotation, augmentation.rotation)
    if rng.random() >= augmentation.rotation_probability:
        angle = 0.0
    turns = rng.integers(4)
    if augmentation.quarter_turns and height == width:
        angle += 90.0 * turns
    zoom = rng.uniform(augmentation.zoom, augmentation.zoom_out)
    # Place of the crop's centre: anywhere such that crop or frame holds the other.
    slack = abs(1 - zoom) * np.array([width - 1, height - 1]) / 2
    shift_x, shift_y = rng.uniform(-slack, slack)
    mirror_x = -1.0 if rng.random() < augmentation.flip_x else 1.0
    mirror_y = -1.0 if rng.random() < augmentation.flip_y else 1.0

    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    linear = zoom * np.array([[cosine, -sine], [sine, cosine]])
    linear = linear @ np.diag([mirror_x, mirror_y])
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = (
        np.array([centre_x + shift_x, centre_y + shift_y])
        - linear @ np.array([centre_x, centre_y])
    )  # fmt: skip
    return matrix


def _recolour(image, augmentation, rng) -> np.ndarray:
    """Changes brightness, contrast, saturation and hue."""
    brightness = 255 * rng.uniform(-augmentation.brightness, augmentation.brightness)
    contrast = 1 + rng.uniform(-augmentation.contrast, augmentation.contrast)
    saturation = 1 + rng.uniform(-augmentation.saturation, augmentation.saturation)
    hue = rng.uniform(-augmentation.hue, augmentation.hue)
    levels = np.arange(256)
    if saturation != 1 or hue != 0:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        turned = (levels + round(hue / 2)) % 180  # OpenCV counts hue in 2° steps
        hsv = _look_up(hsv, np.stack([turned, saturation * levels, levels], axis=-1))
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if brightness or contrast != 1:
        image = _look_up(image, contrast * (levels - 127.5) + 127.5 + brightness)
    return image


def _look_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Replaces each value by `table[value]`, `(256,)` or one column per channel."""
    table = np.clip(np.rint(table), 0, 255).astype(np.uint8)
    return cv2.LUT(image, table if table.ndim == 1 else table[None])


def _cut_holes(image, augmentation, rng) -> np.ndarray:
    image = image.copy()
    height, width = image.shape[:2]
    side = max(1, round(augmentation.dropout_size * height))
    for _ in range(rng.integers(1, augmentation.dropout_holes + 1)):
        top = rng.integers(max(1, height - side + 1))
        left = rng.integers(max(1, width - side + 1))
        image[top : top + side, left : left + side] = 0
    return image
