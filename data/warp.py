"""Moves an image and its mask to their new places and size in one resampling."""

import cv2
import numpy as np

from data.images import resize_image, resize_pair


def warp(
    image: np.ndarray,
    mask: np.ndarray,
    matrix: np.ndarray,
    size: tuple[int, int],
    knots: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Warps a sample; what lies outside its frame is black, and background.

    Args:
        image: `(h, w, 3)` uint8 RGB.
        mask: `(h, w, c)` uint8: 0/1 in the first channel, any values in others.
        matrix: `(3, 3)`, from pixels `(x, y, 1)` of the warped frame to the original's,
            both of size `(h, w)`.
        size: `(H, W)` that the warped frame is resized to, pixels.
        knots: `(n, n, 2)` shifts in x and y, pixels of the original, spread evenly over
            the frame and interpolated between.

    Returns:
        `(H, W, 3)` uint8 image and `(H, W, c)` uint8 mask, 0/1 in the first channel.
    """
    frame = image.shape[:2]
    if knots is None and np.array_equal(matrix, np.eye(3)):
        return resize_pair(image, mask, size)
    matrix = matrix @ _resizing(size, frame)
    (a, b, c), (d, e, f), _ = matrix.astype(np.float32)
    height, width = size
    columns = np.arange(width, dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    source_x = a * columns + b * rows + c  # (H, W)
    source_y = d * columns + e * rows + f
    if knots is not None:
        shift = cv2.resize(
            knots.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        source_x += shift[..., 0]
        source_y += shift[..., 1]
    mask = cv2.remap(mask, source_x, source_y, cv2.INTER_NEAREST)
    # Bilinear interpolation skips pixels where the frame shrinks by more than 2. Below,
    # it is nearer to an average over areas than what is shrunk beforehand.
    shrinkage = int(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if shrinkage > 1:
        image = resize_image(image, tuple(max(1, side // shrinkage) for side in frame))
        source_x = (source_x + 0.5) * (image.shape[1] / frame[1]) - 0.5
        source_y = (source_y + 0.5) * (image.shape[0] / frame[0]) - 0.5
    image = cv2.remap(
        image, source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return image, mask.reshape(*size, -1)  # OpenCV drops a single channel


def _resizing(size: tuple[int, int], new_size: tuple[int, int]) -> np.ndarray:
    """`(3, 3)` matrix from pixels of a frame to those of the frame resized."""
    (height, width), (new_height, new_width) = size, new_size
    x, y = new_width / width, new_height / height
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
