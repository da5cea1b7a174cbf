"""Changes of an image's colours and sharpness, each as plain NumPy and OpenCV.

Nothing here draws at random except `add_noise`, and nothing moves a pixel, so that
the mask of an image stays true.
"""

from typing import NamedTuple

import cv2
import numpy as np

# Lightness in OpenCV's 8-bit Lab (0-255) up to which a pixel is taken for the black
# surround of the scope's view: about RGB (16, 16, 16), above JPEG noise on black.
SURROUND_LIGHTNESS = 12
LEVELS = np.arange(256)


class LabStatistics(NamedTuple):
    """Colours of an image without its black surround, in OpenCV's 8-bit Lab.

    Attributes:
        mean, deviation: `(3,)` float, of L, a and b, in levels of 0-255.
    """

    mean: np.ndarray
    deviation: np.ndarray


def lab_statistics(image: np.ndarray) -> LabStatistics:
    """Measures the colours of a `(H, W, 3)` uint8 RGB image."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    return _statistics(lab, _view(lab))


def exchange_colours(
    image: np.ndarray, donor: LabStatistics, blend: float
) -> np.ndarray:
    """Gives an image the colours of another (Reinhard et al., 2001).

    Formula, per channel of Lab and for all pixels but the black surround:
        (value - mean) / deviation * donor.deviation + donor.mean

    Args:
        image: `(H, W, 3)` uint8 RGB.
        donor: statistics of the other image.
        blend: share of the other's colours in the result, in [0, 1].

    Returns:
        `(H, W, 3)` uint8 RGB; the black surround is as before.
    """
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    view = _view(lab)
    own = _statistics(lab, view)
    scale = donor.deviation / np.maximum(own.deviation, 1)
    exchanged = (LEVELS[:, None] - own.mean) * scale + donor.mean  # (256, 3)
    table = (1 - blend) * LEVELS[:, None] + blend * exchanged
    result = cv2.cvtColor(look_up(lab, table), cv2.COLOR_LAB2RGB)
    cv2.copyTo(image, cv2.bitwise_not(view), result)
    return result


def _view(lab: np.ndarray) -> np.ndarray:
    """`(H, W)` uint8, 255 where the scope sees and 0 in its black surround."""
    return cv2.inRange(lab, (SURROUND_LIGHTNESS + 1, 0, 0), (255, 255, 255))


def _statistics(lab: np.ndarray, view: np.ndarray) -> LabStatistics:
    mean, deviation = cv2.meanStdDev(lab, mask=view)
    return LabStatistics(mean[:, 0], deviation[:, 0])


def change_hue_and_saturation(
    image: np.ndarray, hue: float, saturation: float
) -> np.ndarray:
    """Turns the hue by so many degrees and multiplies the saturation."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    turned = (LEVELS + round(hue / 2)) % 180  # OpenCV counts hue in 2° steps
    hsv = look_up(hsv, np.stack([turned, saturation * LEVELS, LEVELS], axis=-1))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def change_brightness_and_contrast(
    image: np.ndarray, brightness: float, contrast: float
) -> np.ndarray:
    """Adds so many levels, and multiplies the distance to the middle level."""
    return look_up(image, contrast * (LEVELS - 127.5) + 127.5 + brightness)


def look_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Replaces each value by `table[value]`, `(256,)` or one column per channel."""
    table = np.clip(np.rint(table), 0, 255).astype(np.uint8)
    return cv2.LUT(image, table if table.ndim == 1 else table[None])


def blur(image: np.ndarray, deviation: float) -> np.ndarray:
    """Blurs by a Gaussian of this standard deviation, pixels."""
    return cv2.GaussianBlur(image, (0, 0), deviation)


def compress(image: np.ndarray, quality: int) -> np.ndarray:
    """Leaves the traces of JPEG compression at this quality, 1-100."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def add_noise(
    image: np.ndarray, deviation: float, rng: np.random.Generator
) -> np.ndarray:
    """Adds normal noise of this standard deviation, levels, to each value."""
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(deviation)
    return cv2.add(image, noise, dtype=cv2.CV_8U)
