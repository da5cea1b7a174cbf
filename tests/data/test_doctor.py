import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from data import demo, doctor
from data.arrays import load_prepared
from data.duplicates import near_duplicates, perceptual_hash


def run(tmp_path, *paths):
    figure = tmp_path / "figure.png"
    argv = [*map(str, paths), "--figure", str(figure)]
    code = doctor.main(doctor.parse_args(argv))
    assert figure.stat().st_size > 0
    return code


def scene(seed, size=(96, 128)):
    """A random smooth picture, `(H, W, 3)` uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (24, 32, 3), np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def write(root, number, image, suffix=".png"):
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[:20, :30] = 255
    Image.fromarray(image).save(root / f"images/{number}{suffix}")
    Image.fromarray(mask).save(root / f"masks/{number}.png")


def test_healthy_set(tmp_path, capsys):
    for seed in range(3):
        write(tmp_path / "A", seed, scene(seed))
    assert run(tmp_path, tmp_path / "A") == 0
    report = capsys.readouterr().out
    assert "A: 3 pairs in images + masks" in report
    assert "most often 128x96 (3)" in report
    assert "mask values: 3 0 and 255" in report
    assert "empty masks: 0, full masks: 0" in report
    # 20 x 30 = 600 of 96 x 128 = 12288 pixels are 4.9 %.
    assert "median 4.9%" in report and "3 small" in report
    assert "similar pictures: 0 pairs" in report and "faults: 0" in report


def test_every_fault_is_named(tmp_path, capsys):
    root = tmp_path / "A"
    for seed in range(8):
        write(root, seed, scene(seed))
    (root / "images/0.png").write_bytes(b"")
    (root / "masks/1.png").unlink()
    (root / "images/2.png").unlink()
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(root / "masks/3.png")
    Image.fromarray(np.full((96, 128), 38, np.uint8)).save(root / "masks/4.png")
    shutil.copy(root / "images/5.png", root / "images/6.png")
    assert run(tmp_path, root) == 1
    report = capsys.readouterr().out
    for fault in (
        "images/0.png: the file is empty",
        "images/1.png: image without mask",
        "masks/2.png: mask without image",
        "masks/3.png is 5x5",
        "masks/4.png: brightest value is 38",
        "images/6.png: is the same file as",
        "faults: 6",
    ):
        assert fault in report


def test_faults_are_printed_before_the_figure_fails(tmp_path, capsys):
    write(tmp_path / "A", 1, scene(1))
    (tmp_path / "A/images/1.png").write_bytes(b"")
    assert run(tmp_path, tmp_path / "A") == 1  # nothing to draw
    with pytest.raises(OSError):
        run(tmp_path / "figure.png", tmp_path / "A")
    assert capsys.readouterr().out.count("images/1.png: the file is empty") == 2


def test_near_duplicates_are_named_within_and_faults_between(tmp_path, capsys):
    for seed in range(3):
        write(tmp_path / "A", seed, scene(seed))
        write(tmp_path / "B", 10 + seed, scene(10 + seed))
    again = cv2.resize(scene(0), (100, 75))
    write(tmp_path / "A", 7, again, suffix=".jpg")
    assert run(tmp_path, tmp_path / "A") == 0
    assert "similar pictures: 1 pairs\n  0 ~ 7" in capsys.readouterr().out
    assert run(tmp_path, tmp_path / "A", tmp_path / "B") == 0
    write(tmp_path / "B", 99, again, suffix=".jpg")
    assert run(tmp_path, tmp_path / "A", tmp_path / "B") == 1
    report = capsys.readouterr().out
    assert "pictures in both: 2 pairs" in report
    assert "A/images/7.jpg: is also" in report and "A/images/0.png: is also" in report


def test_hash_ignores_light_and_scale_but_not_content():
    image = scene(0)
    darker = (image * 0.8).astype(np.uint8)
    smaller = cv2.resize(image, (64, 48), interpolation=cv2.INTER_AREA)
    hashes = np.stack([perceptual_hash(i) for i in (image, darker, smaller, scene(1))])
    assert hashes.shape == (4, 32) and hashes.dtype == np.uint8
    found = {(a, b) for a, b, _ in near_duplicates(hashes)}
    assert found == {(0, 1), (0, 2), (1, 2)}


def test_distance_counts_bits():
    hashes = np.zeros((2, 32), np.uint8)
    hashes[1, :3] = (0b1, 0b11, 0b111)  # 6 bits differ
    assert near_duplicates(hashes) == [(0, 1, 6)]
    assert near_duplicates(hashes[:1], hashes) == [(0, 0, 0), (0, 1, 6)]
    hashes[1] = 255
    assert near_duplicates(hashes) == []


@pytest.mark.parametrize("value", [0, 5])
def test_dark_jpeg_mask_is_an_empty_mask(tmp_path, capsys, value):
    write(tmp_path / "A", 1, scene(1))
    (tmp_path / "A/masks/1.png").unlink()
    dark = Image.fromarray(np.full((96, 128), value, np.uint8))
    dark.save(tmp_path / "A/masks/1.jpg")
    assert run(tmp_path, tmp_path / "A") == 0
    assert "empty masks: 1" in capsys.readouterr().out


def test_changed_bit_of_a_prepared_array_is_a_fault(tmp_path, capsys):
    folder = tmp_path / "prepared"
    demo.write_prepared(folder, train=2, test=1, image_size=32, seed=0)
    args = doctor.parse_args([str(folder)])
    assert doctor.main(args) == 0
    assert "4 prepared arrays compared with their SHA-256" in capsys.readouterr().out
    array = load_prepared(folder, "test").masks
    content = bytearray((folder / "test_masks.npy").read_bytes())
    content[array.offset + 100] ^= 1
    (folder / "test_masks.npy").write_bytes(content)
    assert doctor.main(args) == 1
    report = capsys.readouterr().out
    assert "faults: 1\n" in report and "test_masks.npy: test_masks has ch" in report


def test_pictures_beside_their_arrays_are_examined_too(tmp_path, capsys):
    demo.write_prepared(tmp_path / "A", train=2, test=1, image_size=32, seed=0)
    write(tmp_path / "A", 1, scene(1))
    assert run(tmp_path, tmp_path / "A") == 0
    report = capsys.readouterr().out
    assert "4 prepared arrays" in report and "A: 1 pairs in images + masks" in report


def test_arrays_of_an_earlier_version_are_said_not_to_be_compared(tmp_path, capsys):
    demo.write_prepared(tmp_path, train=1, test=1, image_size=32, seed=0)
    (tmp_path / "prepared.json").unlink()
    assert doctor.main(doctor.parse_args([str(tmp_path)])) == 0
    assert "have no SHA-256 to compare them with" in capsys.readouterr().out
