"""Augmentation as training goes, of image and mask together.

Plain NumPy and OpenCV on one sample, driven by one generator: the caller seeds it
with (seed, epoch, sample), so a resumed run sees what an uninterrupted one would.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from data.recolour import (
    LabStatistics,
    add_noise,
    blur,
    change_brightness_and_contrast,
    change_hue_and_saturation,
    compress,
    exchange_colours,
)
from data.warp import warp


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a sample, in the order in which it happens.

    Zoom is given as the side of the part of the frame that fills the result: at 0.5
    a polyp looks twice as large, at 1.3 the whole frame lies within a black border
    and a polyp looks 1 / 1.3 as large.

    Attributes:
        flip_x, flip_y: probability of a mirror image, left-right and upside down.
        quarter_turns: whether the frame (when square) is turned by 0, 90, 180 or 270°.
        rotation: largest angle either way, degrees.
        rotation_probability: how often it is turned.
        zoom, zoom_out: smallest and largest side of what is shown, as a share of the
            frame's.
        log_zoom: draw the zoom evenly on a logarithmic scale, so that 0.5 to 1 is as
            frequent as 1 to 2; else evenly on the linear one.
        aspect: largest change of the ratio of width to height around 1.
        shear_probability: how often the frame is sheared.
        shear: largest angle either way, degrees.
        elastic_probability: how often the frame is warped elastically.
        elastic_amplitude: largest elastic shift, as a share of the side.
        exchange_probability: how often the image takes the colours of a random
            training image.
        exchange_blend: smallest share of the other's colours; the largest is 1.
        brightness: largest shift, as a share of the range 0–255.
        contrast, saturation: largest change of the factor around 1.
        hue: largest shift, degrees on the colour circle.
        wide_hue_probability: how often it is up to `wide_hue` degrees instead.
        wide_hue: largest shift then.
        degrade_probability: how often the image is blurred, compressed as JPEG or
            made noisy, one of the three.
        blur: smallest and largest standard deviation, pixels of the result.
        jpeg_quality: lowest and highest quality, 1–100.
        noise: smallest and largest standard deviation, as a share of the range 0–255.
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
    log_zoom: bool = False
    aspect: float = 0.0
    shear_probability: float = 0.0
    shear: float = 12.0
    elastic_probability: float = 0.0
    elastic_amplitude: float = 0.04
    exchange_probability: float = 0.0
    exchange_blend: float = 0.5
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    wide_hue_probability: float = 0.0
    wide_hue: float = 60.0
    degrade_probability: float = 0.0
    blur: tuple[float, float] = (0.5, 1.5)
    jpeg_quality: tuple[int, int] = (20, 85)
    noise: tuple[float, float] = (0.01, 0.05)
    dropout_probability: float = 0.0
    dropout_holes: int = 10
    dropout_size: float = 32 / 256


MILD = Augmentation(
    flip_x=0.5,
    flip_y=0.5,
    quarter_turns=True,
    zoom=0.7,
    brightness=0.1,
    contrast=0.1,
    saturation=0.1,
    hue=4,
)
# The two halves of "strong", as changes of "mild".
STRONG_GEOMETRY = {
    "rotation": 45,
    "rotation_probability": 0.4,
    "zoom": 0.5,
    "zoom_out": 1.3,
    "log_zoom": True,
    "aspect": 0.12,
    "shear_probability": 0.3,
}
STRONG_COLOUR = {
    "exchange_probability": 0.35,
    "brightness": 0.12,
    "contrast": 0.3,
    "saturation": 0.35,
    "hue": 10,
    "wide_hue_probability": 0.15,
    "degrade_probability": 0.28,
}
STRONG = replace(MILD, **STRONG_GEOMETRY, **STRONG_COLOUR)

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
    "mild": MILD,
    # Each strength half-way between mild and strong; what mild lacks happens half as
    # often, or as often by half the angle.
    "halfway": replace(
        STRONG,
        rotation=22.5,
        zoom=0.6,
        zoom_out=1.15,
        aspect=0.06,
        shear=6,
        exchange_probability=0.175,
        brightness=0.11,
        contrast=0.2,
        saturation=0.225,
        hue=7,
        wide_hue_probability=0.075,
        degrade_probability=0.14,
    ),
    "strong": STRONG,
    "strong_geometry": replace(MILD, **STRONG_GEOMETRY),
    "strong_colour": replace(MILD, **STRONG_COLOUR),
    "strong_no_exchange": replace(STRONG, exchange_probability=0.0),
    # Zoomed the other way: polyps look from 1.3 times as large to half as large.
    "strong_far": replace(STRONG, zoom=1 / 1.3, zoom_out=2.0),
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
    size: tuple[int, int] | None = None,
    draw_donor: Callable[[np.random.Generator], LabStatistics] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Augments one sample.

    Args:
        image: `(h, w, 3)` uint8 RGB.
        mask: `(h, w, c)` uint8: 0/1 in the first channel; any values in others.
        augmentation: what may happen to it.
        rng: the source of all randomness.
        size: `(H, W)` of the result, pixels; default: the image's.
        draw_donor: gives the colours of a training image drawn by the generator;
            needed for an augmentation with an `exchange_probability`.

    Returns:
        `(H, W, 3)` uint8 RGB image and `(H, W, c)` uint8 mask, whose first channel is
        still 0/1.
    """
    image, mask = _move(image, mask, augmentation, rng, size or image.shape[:2])
    if _happens(augmentation.exchange_probability, rng):
        blend = rng.uniform(augmentation.exchange_blend, 1)
        image = exchange_colours(image, draw_donor(rng), blend)
    image = _recolour(image, augmentation, rng)
    if _happens(augmentation.degrade_probability, rng):
        image = _degrade(image, augmentation, rng)
    if rng.random() < augmentation.dropout_probability:
        image = _cut_holes(image, augmentation, rng)
    return image, mask


def _happens(probability: float, rng: np.random.Generator) -> bool:
    """Draws only what can happen: seeds of a run then keep their meaning when an
    effect is added that the run does not use."""
    return probability > 0 and rng.random() < probability


def _move(image, mask, augmentation, rng, size) -> tuple[np.ndarray, np.ndarray]:
    """Flips, turns, crops, warps and resizes, all in one resampling."""
    matrix = _random_matrix(*image.shape[:2], augmentation, rng)
    knots = None
    if rng.random() < augmentation.elastic_probability:
        limit = augmentation.elastic_amplitude * min(image.shape[:2])
        knots = rng.uniform(-limit, limit, (ELASTIC_KNOTS, ELASTIC_KNOTS, 2))
    return warp(image, mask, matrix, size, knots)


def _random_matrix(height, width, augmentation, rng) -> np.ndarray:
    """`(3, 3)` matrix from pixels `(x, y, 1)` of the moved frame to the original's."""
    angle = rng.uniform(-augmentation.rotation, augmentation.rotation)
    if rng.random() >= augmentation.rotation_probability:
        angle = 0.0
    turns = rng.integers(4)
    if augmentation.quarter_turns and height == width:
        angle += 90.0 * turns
    limits = augmentation.zoom, augmentation.zoom_out
    zoom = (
        np.exp(rng.uniform(*np.log(limits)))
        if augmentation.log_zoom
        else rng.uniform(*limits)
    )
    # Place of the crop's centre: anywhere such that crop or frame holds the other.
    slack = abs(1 - zoom) * np.array([width - 1, height - 1]) / 2
    shift_x, shift_y = rng.uniform(-slack, slack)
    mirror_x = -1.0 if rng.random() < augmentation.flip_x else 1.0
    mirror_y = -1.0 if rng.random() < augmentation.flip_y else 1.0

    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    linear = zoom * np.array([[cosine, -sine], [sine, cosine]])
    if augmentation.aspect:
        ratio = 1 + rng.uniform(-augmentation.aspect, augmentation.aspect)
        linear = linear @ np.diag([ratio**-0.5, ratio**0.5])
    if _happens(augmentation.shear_probability, rng):
        shear = np.radians(rng.uniform(-augmentation.shear, augmentation.shear))
        linear = linear @ np.array([[1, np.tan(shear)], [0, 1]])
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
    if _happens(augmentation.wide_hue_probability, rng):
        hue = rng.uniform(-augmentation.wide_hue, augmentation.wide_hue)
    if saturation != 1 or hue != 0:
        image = change_hue_and_saturation(image, hue, saturation)
    if brightness or contrast != 1:
        image = change_brightness_and_contrast(image, brightness, contrast)
    return image


def _degrade(image, augmentation, rng) -> np.ndarray:
    """Blurs, compresses or adds noise."""
    kind = rng.integers(3)
    if kind == 0:
        return blur(image, rng.uniform(*augmentation.blur))
    if kind == 1:
        return compress(
            image, int(rng.integers(*augmentation.jpeg_quality, endpoint=True))
        )
    return add_noise(image, 255 * rng.uniform(*augmentation.noise), rng)


def _cut_holes(image, augmentation, rng) -> np.ndarray:
    image = image.copy()
    height, width = image.shape[:2]
    side = max(1, round(augmentation.dropout_size * height))
    for _ in range(rng.integers(1, augmentation.dropout_holes + 1)):
        top = rng.integers(max(1, height - side + 1))
        left = rng.integers(max(1, width - side + 1))
        image[top : top + side, left : left + side] = 0
    return image
