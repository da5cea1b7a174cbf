import io
import os
import threading

import cv2
import numpy as np
import pytest
from PIL import Image

from cli.command import UserError
from data import images
from data.images import (
    decode_mask,
    read_file,
    read_image,
    read_pair,
    resize_image,
    resize_mask,
)
from data.images import silent_codecs as silent

EXIF_ORIENTATION = 0x0112


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def read_mask(path):
    return decode_mask(read_file(path), path)


def end_whoever_reads(pipe):
    """Closes the other end of a named pipe, so that a reader fails and never hangs."""
    threading.Thread(target=lambda: open(pipe, "wb").close(), daemon=True).start()


def exif(orientation):
    tags = Image.Exif()
    tags[EXIF_ORIENTATION] = orientation
    return tags


@pytest.fixture
def picture():
    """40 high, 56 wide, red grows to the right, green downwards, blue is 7."""
    red, green = np.meshgrid(np.arange(56) * 4, np.arange(40) * 6)
    return np.stack([red, green, np.full_like(red, 7)], axis=-1).astype(np.uint8)


def test_channels_come_as_rgb(tmp_path, picture):
    image = read_image(save(tmp_path / "a.png", picture))
    np.testing.assert_array_equal(image, picture)


def test_grey_palette_and_alpha_become_rgb(tmp_path, picture):
    grey = save(tmp_path / "grey.png", picture[..., 0])
    np.testing.assert_array_equal(read_image(grey), picture[..., [0, 0, 0]])
    alpha = np.dstack([picture, np.full((40, 56), 3, np.uint8)])
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", alpha)), picture)


def test_16_bit_is_scaled_to_8(tmp_path, picture):
    file = str(tmp_path / "deep.png")
    cv2.imwrite(file, picture[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(file), picture)
    cv2.imwrite(file, picture[..., ::-1].astype(np.uint16))  # 8-bit values in 16 bit
    np.testing.assert_array_equal(read_image(file), picture)


def test_mask_is_foreground_above_127(tmp_path):
    file = save(
        tmp_path / "m.png", np.array([[0, 126, 127], [128, 200, 255]], np.uint8)
    )
    np.testing.assert_array_equal(read_mask(file), [[0, 0, 0], [1, 1, 1]])


def test_lossless_mask_of_labels_0_and_1(tmp_path):
    labels = np.array([[0, 1], [1, 0]], np.uint8)
    np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", labels)), labels)
    noise = save(tmp_path / "m.jpg", np.full((16, 16), 1, np.uint8))
    assert not read_mask(noise).any()


def test_dark_mask_is_no_empty_mask(tmp_path):
    for value, ending in ((2, "png"), (127, "png"), (60, "jpg")):
        file = save(tmp_path / f"m.{ending}", np.full((16, 16), value, np.uint8))
        with pytest.raises(UserError, match=f"{file}: brightest value is {value}"):
            read_mask(file)
    assert not read_mask(save(tmp_path / "m.png", np.zeros((4, 4), np.uint8))).any()
    assert not read_mask(
        save(tmp_path / "m.jpg", np.full((16, 16), 20, np.uint8))
    ).any()


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_bad_file_is_named(tmp_path, content):
    file = tmp_path / "bad.png"
    file.write_bytes(content)
    with pytest.raises(UserError, match="bad.png"):
        read_image(file)
    with pytest.raises(UserError, match="none.png: cannot be read"):
        read_mask(tmp_path / "none.png")


def test_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    end_whoever_reads(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", tmp_path):
        with pytest.raises(UserError, match=f"^{path}: is not a regular file$"):
            read_image(path)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_truncated_file_is_refused(tmp_path, picture, ending):
    file = save(tmp_path / f"cut.{ending}", picture)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])
    with silent(), pytest.raises(UserError, match="damaged"):
        read_image(file)


def test_exif_turn_follows_the_mask(tmp_path, picture):
    upright = save(tmp_path / "upright.png", np.zeros((40, 56), np.uint8))
    turned = save(tmp_path / "turned.png", np.zeros((56, 40), np.uint8))
    image = save(tmp_path / "image.png", picture, exif=exif(6))
    np.testing.assert_array_equal(read_pair(image, upright)[0], picture)
    clockwise = np.rot90(picture, -1)
    np.testing.assert_array_equal(read_pair(image, turned)[0], clockwise)


def test_exif_turn_that_the_mask_cannot_decide_is_refused(tmp_path, picture):
    mask = save(tmp_path / "mask.png", np.zeros((40, 56), np.uint8))
    image = save(tmp_path / "image.png", picture, exif=exif(3))
    with pytest.raises(UserError, match="image.png: is turned by its EXIF tag"):
        read_pair(image, mask)
    harmless = save(tmp_path / "upright.png", picture, exif=exif(1))
    assert read_pair(harmless, mask)[0].shape == (40, 56, 3)


def test_size_mismatch_names_both(tmp_path, picture):
    image = save(tmp_path / "image.png", picture)
    mask = save(tmp_path / "mask.png", np.zeros((40, 50), np.uint8))
    with pytest.raises(UserError, match="image.png: is 56x40 but .*mask.png is 50x40"):
        read_pair(image, mask)


def test_resize_keeps_types_and_centres():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:, 2:] = 200
    # Halving averages each 2x2 block: columns 0, 0, 200, 200 become 0 and 200.
    small = resize_image(image, (2, 2))
    np.testing.assert_array_equal(small[..., 0], [[0, 200], [0, 200]])
    assert resize_image(image, (3, 7)).shape == (3, 7, 3)


def test_resized_mask_is_binary():
    mask = np.zeros((8, 8), np.uint8)
    mask[2:6, 3:8] = 1
    # Each output pixel averages a 2x2 block: column 1 holds one of its two columns,
    # 127.5 rounded to 128, above 127.
    expected = [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]]
    np.testing.assert_array_equal(resize_mask(mask, (4, 4)), expected)
    np.testing.assert_array_equal(resize_mask(mask * 255, (4, 4)), expected)


def test_silent_codecs_hides_c_messages_only(tmp_path, picture, capfd):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[len(content) // 2] ^= 0xFF  # libpng prints "CRC error"
    (tmp_path / "bad.png").write_bytes(content)
    with silent(), pytest.raises(UserError):
        read_image(tmp_path / "bad.png")
    assert capfd.readouterr().err == ""


def test_shrinking_averages_areas_instead_of_picking_pixels():
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, ::4] = 200  # one column in four: 200 / 4 = 50 on average
    assert (resize_image(stripes, (2, 2)) == 50).all()


@pytest.mark.parametrize(
    ("shape", "size", "is_used"),
    [
        ((1080, 1920), (256, 256), True),  # 135 · 15 = 2025
        ((2160, 3840), (256, 256), True),  # the same again
        ((90, 40), (16, 16), True),  # 45 · 5 = 225
        ((1080, 1350), (256, 256), False),  # 135 · 675: means too near to a half
        ((120, 64), (16, 16), False),  # 15 · 4: means that are a half
        ((480, 640), (256, 256), False),  # too few rows in a mean to be faster
    ],
)
def test_sums_of_rows_give_the_pixels_of_opencv(shape, size, is_used, monkeypatch):
    used, sums = [], images._shrink_rows_first
    monkeypatch.setattr(
        images, "_shrink_rows_first", lambda *given: used.append(1) or sums(*given)
    )
    rng = np.random.default_rng(0)
    for low, high, channels in ((0, 256, (3,)), (240, 256, (3,)), (0, 256, ())):
        picture = rng.integers(low, high, (*shape, *channels), np.uint8)
        expected = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(resize_image(picture, size), expected)
    assert len(used) == (3 if is_used else 0)
