"""Reads and resizes images and masks; all image files are decoded here.

A mask is foreground where the source is above 127. Grayscale becomes RGB, alpha is
dropped, 16 bit is scaled to 8, an EXIF turn is applied as any viewer does. Images are
shrunk by area averages: a known checkpoint then gets its published scores to the digit,
and 0.3 Dice points less with bilinear resizing. Masks are shrunk in the same way, and
binarised before and after.
"""

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from cli.command import UserError
from cli.files import printable

MASK_THRESHOLD = 127  # masks are JPEG or smoothed: greys lie between 0 and 255
JPEG_NOISE = 32  # grey levels that compression adds to an empty mask
MANY_ROWS = 4  # rows in a mean from which `_shrink_rows_first` is faster
MOST_CELLS = 2**11  # float32 errs by less than half of 1/2¹¹ of a grey level


def read_image(path: Path | str) -> np.ndarray:
    """Reads an image as `(H, W, 3)` uint8 RGB.

    Raises:
        UserError: the file is missing, empty, damaged or not an image.
    """
    return decode_image(read_file(path), path)


def read_pair(
    image: Path | str, mask: Path | str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Reads an image and its mask, and checks that they fit each other.

    Args:
        image: the image file.
        mask: the mask file; None: the image shows no polyp.

    Returns:
        `(H, W, 3)` uint8 RGB and `(H, W)` uint8 0/1.

    Raises:
        UserError: a file cannot be read, or the sizes differ.
    """
    if mask is None:
        picture = read_image(image)
        return picture, np.zeros(picture.shape[:2], np.uint8)
    return decode_pair(read_file(image), read_file(mask), image, mask)


def read_file(path: Path | str) -> bytes:
    """Returns the bytes of a file.

    Raises:
        UserError: it is missing, empty or no regular file (reading a named pipe, for
            example, might never end), or its name is not in UTF-8.
    """
    refuse_unprintable(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError(f"{path}: is not a regular file")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if not content:
        raise UserError(f"{path}: the file is empty (zero bytes)")
    return content


def refuse_unprintable(path: Path | str) -> None:
    """Raises `UserError` for a name that is not in UTF-8.

    It could neither be written to a table, nor be given to OpenCV.
    """
    if printable(path) != str(path):
        raise UserError(f"{printable(path)}: the name is not in UTF-8; rename the file")


def decode_image(content: bytes, path: Path | str, turn: bool = True) -> np.ndarray:
    """Decodes an image file's bytes into `(H, W, 3)` uint8 RGB.

    Args:
        content: the file's bytes.
        path: named in the error.
        turn: apply the file's EXIF orientation.
    """
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    if not turn:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.cvtColor(_decode(content, path, flags), cv2.COLOR_BGR2RGB)


def decode_mask(content: bytes, path: Path | str) -> np.ndarray:
    """Decodes a mask file's bytes into `(H, W)` uint8, 1 = polyp.

    Raises:
        UserError: it is damaged, or not black but too dark to hold a polyp.
    """
    grey = decode_grey_mask(content, path)
    brightest = int(grey.max())
    if (JPEG_NOISE if is_jpeg(content) else 0) < brightest <= MASK_THRESHOLD:
        raise UserError(
            f"{path}: brightest value is {brightest}, so all of it is background;"
            f" a polyp must be above {MASK_THRESHOLD}"
        )
    return (grey > MASK_THRESHOLD).astype(np.uint8)


def decode_grey_mask(content: bytes, path: Path | str) -> np.ndarray:
    """Decodes a mask file's bytes into `(H, W)` uint8 grey values 0-255.

    A lossless mask whose brightest value is 1 holds class labels 0 and 1.
    """
    grey = decode_grey(content, path)
    return grey * 255 if grey.max() == 1 and not is_jpeg(content) else grey


def decode_grey(content: bytes, path: Path | str) -> np.ndarray:
    """Decodes an image file's bytes into `(H, W)` uint8 grey values 0-255."""
    return _decode(content, path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)


def is_jpeg(content: bytes) -> bool:
    """Says whether a file's bytes are a JPEG, whose values are not exact."""
    return content.startswith(b"\xff\xd8")


def decode_pair(
    image_content: bytes, mask_content: bytes, image: Path | str, mask: Path | str
) -> tuple[np.ndarray, np.ndarray]:
    """Decodes an image and its mask; see `read_pair`.

    An image with an EXIF turn is taken turned or as stored, whichever fits its mask.
    """
    pixels = decode_image(image_content, image)
    truth = decode_mask(mask_content, mask)
    if _has_exif(image_content) and not _has_exif(mask_content):
        stored = decode_image(image_content, image, turn=False)
        if pixels.shape == stored.shape and not np.array_equal(pixels, stored):
            raise UserError(
                f"{image}: is turned by its EXIF tag and its mask {mask} fits both"
                " ways; save the image without the tag"
            )
        if stored.shape[:2] == truth.shape:
            pixels = stored
    if pixels.shape[:2] != truth.shape:
        (height, width), (mask_height, mask_width) = pixels.shape[:2], truth.shape
        raise UserError(
            f"{image}: is {width}x{height} but its mask {mask} is"
            f" {mask_width}x{mask_height}"
        )
    return pixels, truth


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes `(h, w, 3)` uint8 to `size` = (H, W)."""
    return _resize(image, size)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a `(h, w)` mask (foreground > 0) to `size` = (H, W), uint8 0/1."""
    grey = _resize((mask > 0).astype(np.uint8) * 255, size)
    return (grey > MASK_THRESHOLD).astype(np.uint8)


def resize_pair(
    image: np.ndarray, mask: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Resizes a `(h, w, 3)` image and its `(h, w, c)` mask to `size` = (H, W).

    The first channel of the mask stays 0/1; others are resized as images are.
    """
    if image.shape[:2] == tuple(size):
        return image, mask
    others = [_resize(mask[..., i], size) for i in range(1, mask.shape[-1])]
    masks = np.stack([resize_mask(mask[..., 0], size), *others], axis=-1)
    return resize_image(image, size), masks


def _resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes by area averages when shrinking, against aliasing; else bilinear."""
    height, width = size
    shrinks = pixels.shape[0] > height or pixels.shape[1] > width
    if shrinks and _sums_rows_well(pixels.shape[:2], size):
        return _shrink_rows_first(pixels, size)
    filter_ = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(pixels, (width, height), interpolation=filter_)


def _sums_rows_well(shape: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether `_shrink_rows_first` is faster than OpenCV and gives the same pixels.

    With W / w = a / b and H / h = c / d in lowest terms, each mean is a whole number
    divided by a · c. If that product is odd, no mean lies nearer to a half than
    1 / (2 · a · c). Rounding is then the same in any order of summation whose error
    in float32 is smaller.
    """
    cells = 1
    for side, new in zip(shape, size, strict=True):
        cells *= side // math.gcd(side, new)
    is_smaller = shape[0] >= MANY_ROWS * size[0] and shape[1] >= size[1]
    return is_smaller and cells % 2 == 1 and cells <= MOST_CELLS


def _shrink_rows_first(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Area averages, as `cv2.INTER_AREA`, which averages each row before it adds rows.

    Whole rows are added here first, which OpenCV does with vector instructions.
    """
    height, width = size
    rows = pixels.reshape(len(pixels), -1)
    starts = np.arange(height + 1) * (len(rows) / height)
    first = starts.astype(int)
    sums = np.empty((height, rows.shape[1]), np.float32)
    for n in range(height):
        part, total = rows[first[n] : first[n + 1]], sums[n : n + 1]
        cv2.reduce(part, 0, cv2.REDUCE_SUM, total, cv2.CV_32F)
    # The row that two sums share was given to the second; move the first one's share.
    shared = rows[np.minimum(first, len(rows) - 1)].astype(np.float32)
    shared *= np.float32(starts - first)[:, None]
    sums -= shared[:-1]
    sums += shared[1:]
    sums = sums.reshape(height, *pixels.shape[1:])
    means = cv2.resize(sums, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.convertScaleAbs(means, alpha=height / len(rows))


@contextlib.contextmanager
def silent_codecs() -> Iterator[None]:
    """Suppresses what OpenCV and libpng themselves print about damaged files.

    They write to the process's error stream from C; Python's own stderr stays visible.
    """
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    stderr, saved = sys.stderr, os.dup(2)
    try:
        writes_to_screen = stderr.fileno() == 2
    except (OSError, ValueError, AttributeError):
        writes_to_screen = False
    with open(os.devnull, "w") as null, open(saved, "w") as visible:
        stderr.flush()
        os.dup2(null.fileno(), 2)
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        if writes_to_screen:
            sys.stderr = visible
        try:
            yield
        finally:
            sys.stderr = stderr
            logging.setLogLevel(level)
            os.dup2(saved, 2)


def _decode(content: bytes, path: Path | str, flags: int) -> np.ndarray:
    buffer = np.frombuffer(content, np.uint8)
    try:
        pixels = None if _is_cut_short(content) else cv2.imdecode(buffer, flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise UserError(f"{path}: is damaged, not an image, or not of 8 or 16 bits")
    if pixels.dtype == np.uint16:
        # 8-bit values in a 16-bit file stay; real 16 bit: 65535 / 257 = 255.
        divisor = 1 if pixels.max() <= 255 else 257
        pixels = np.rint(pixels / divisor).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise UserError(f"{path}: holds {pixels.dtype} values; save it as 8 or 16 bit")
    return pixels


def _is_cut_short(content: bytes) -> bool:
    """Finds a JPEG without an end after its last scan; OpenCV may grey the rest."""
    return is_jpeg(content) and content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")


def _has_exif(content: bytes) -> bool:
    return b"Exif\0" in content or b"eXIf" in content
