import json
import re

import numpy as np
import pytest

from cli.command import UserError
from data.arrays import find_damage, is_prepared, load_prepared
from data.storage import (
    FINISHED,
    MANIFEST_FILE,
    ArrayWriter,
    create_arrays,
    replace_prepared,
    write_manifest,
)

SIZE = (6, 8)


def save(folder, images, masks, subset="train"):
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{subset}_images.npy", images)
    np.save(folder / f"{subset}_masks.npy", masks)
    return folder


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, *SIZE, 3), np.uint8)
    images[0, 0, 0] = 0
    return images, rng.integers(0, 2, (5, *SIZE, 1), np.uint8)


def prepare(folder, pixels, file_format="npy"):
    """Writes train (all images) and test (the last two) as preprocessing does."""
    images, masks = pixels
    first = {"train": 0, "test": 3}
    counts = {subset: 5 - start for subset, start in first.items()}
    with replace_prepared(folder) as staged:
        regions = create_arrays(staged, counts, SIZE, file_format)
        items = [
            {"name": f"n{k}", "group": f"g{k // 2}", "centre": "C1"} for k in range(5)
        ]
        subsets = {}
        for subset, start in first.items():
            hashes = {}
            for kind, array in (("images", images), ("masks", masks)):
                with ArrayWriter(regions[f"{subset}_{kind}"]) as writer:
                    for part in array[start:]:
                        writer.write(part)
                hashes[kind] = writer.sha256
            subsets[subset] = {"items": items[start:], "sha256": hashes}
        manifest = {"dataset": "Toy", "format": file_format, "subsets": subsets}
        write_manifest(staged, manifest)
    return folder


@pytest.mark.parametrize("file_format", ["npy", "h5"])
def test_round_trip(tmp_path, pixels, file_format):
    folder = prepare(tmp_path / "out", pixels, file_format)
    places = [folder] + [folder / "prepared.h5"] * (file_format == "h5")
    for place in places:
        assert is_prepared(place)
        test = load_prepared(place, "test")
        assert (test.name, len(test), test.image_size) == ("Toy", 2, SIZE)
        assert test.names == ["n3", "n4"] and test.groups == ["g1", "g2"]
        assert test.centres == ["C1", "C1"]
        assert isinstance(test.images, np.memmap)
        images, masks = load_prepared(place).batch([4, 0, 4])
        np.testing.assert_array_equal(images, pixels[0][[4, 0, 4]])
        np.testing.assert_array_equal(masks, pixels[1][[4, 0, 4]])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_published_floats_give_the_same_batch(tmp_path, pixels, kind, channels):
    images, masks = pixels
    floats = (images / 127.5 - 1).astype(kind)
    save(tmp_path / "Kvasir-SEG", floats, np.repeat(masks, channels, -1).astype(kind))
    loaded = load_prepared(tmp_path / "Kvasir-SEG")
    batch = loaded.batch(slice(1, 4))
    np.testing.assert_array_equal(batch[0], images[1:4])
    np.testing.assert_array_equal(batch[1], masks[1:4])
    assert batch[0].dtype == batch[1].dtype == np.uint8
    assert loaded.name == "Kvasir-SEG" and loaded.names[1] == "0001"


def test_interpolated_masks_are_cut_in_the_middle(tmp_path, pixels):
    images, _ = pixels
    masks = np.broadcast_to(np.float32([0.996, 0.51, 0.5, 0.1] * 2), (5, *SIZE))
    _, binary = load_prepared(save(tmp_path, images / 127.5 - 1, masks)).batch([0])
    np.testing.assert_array_equal(binary[0, 0, :, 0], [1, 1, 0, 0] * 2)


def test_grey_masks_are_cut_at_127(tmp_path, pixels):
    images, masks = pixels
    smooth = np.where(masks, 200, 100).astype(np.uint8)
    loaded = load_prepared(save(tmp_path, images, smooth))
    np.testing.assert_array_equal(loaded.batch([2])[1], masks[[2]])


def test_wrong_ranges_and_shapes_are_refused(tmp_path, pixels):
    images, masks = pixels
    for wrong in (images / 255.0, images.astype(np.float32)):
        with pytest.raises(UserError, match=r"floats in \[-1, 1\]"):
            load_prepared(save(tmp_path, wrong, masks))
    for wrong in (masks[:4], masks[:, :4], np.repeat(masks, 2, -1)):
        with pytest.raises(UserError, match="expected images"):
            load_prepared(save(tmp_path, images, wrong))
    for none in (images[:0], images[:0] / 127.5 - 1):
        with pytest.raises(UserError, match="holds no images"):
            load_prepared(save(tmp_path, none, masks[:0]))


def test_damaged_npy_is_refused(tmp_path, pixels):
    file = save(tmp_path, *pixels) / "train_images.npy"
    whole = file.read_bytes()
    for content in (b"", b"junk" * 50, whole[:40], whole[:-100]):
        file.write_bytes(content)
        with pytest.raises(UserError, match="train_images.npy: is not a whole"):
            load_prepared(tmp_path)


def test_objects_are_never_unpickled(tmp_path, pixels):
    save(tmp_path, np.array([{"code": 1}], dtype=object), pixels[1])
    with pytest.raises(UserError, match="train_images.npy"):
        load_prepared(tmp_path)


def test_damaged_h5_is_refused(tmp_path, pixels):
    folder = prepare(tmp_path, pixels, "h5")
    file = folder / "prepared.h5"
    file.write_bytes(file.read_bytes()[:500])
    assert not is_prepared(file)
    with pytest.raises(UserError, match="prepared.h5"):
        load_prepared(folder)


def test_missing_arrays_name_the_commands(tmp_path):
    assert not is_prepared(tmp_path)
    with pytest.raises(UserError, match="Preprocess_SEG.py"):
        load_prepared(tmp_path)


def test_manifest_that_does_not_fit_is_refused(tmp_path, pixels):
    folder = prepare(tmp_path, pixels)
    save(folder, pixels[0][:2], pixels[1][:2])
    with pytest.raises(UserError, match="2 images but prepared.json lists 5"):
        load_prepared(folder)
    for text in ("", "[]", "{}", '{"format_version": 1}', 100_000 * "["):
        (folder / MANIFEST_FILE).write_text(text)
        with pytest.raises(UserError, match="prepared.json is damaged"):
            load_prepared(folder)


def test_manifest_of_names_that_are_no_names_is_refused(tmp_path, pixels):
    folder = prepare(tmp_path, pixels)
    file = folder / MANIFEST_FILE
    whole = file.read_text()
    for name in ("../../x", "/x", "a/../../x", "a\0b", "a\ud800b"):
        for known in ("Toy", "n3"):
            file.write_text(whole.replace(f'"{known}"', json.dumps(name)))
            message = re.escape(f"prepared.json holds the name {name!r}")
            with pytest.raises(UserError, match=message):
                load_prepared(folder)
    for known, wrong in (
        ('"Toy"', "3"),
        ('"n3"', "null"),
        ('"C1"', "[1]"),
        ('"items"', '"x"'),
        ('"images": "', '"images": 7, "x": "'),
        ('"sha256": {', '"sha256": [1], "x": {'),
        ('"name": "n3"', '"source_size": 5, "name": "n3"'),
        ('"name": "n3"', '"source_size": "ab", "name": "n3"'),
        ('"format"', '"source": 5, "format"'),
    ):
        file.write_text(whole.replace(known, wrong))
        with pytest.raises(UserError, match="prepared.json is damaged"):
            load_prepared(folder)


def change_one_bit(array):
    """Changes one bit of a mapped array on the disk."""
    with open(array.filename, "r+b") as stream:
        stream.seek(array.offset + array.size // 2)
        byte = stream.read(1)[0]
        stream.seek(-1, 1)
        stream.write(bytes([byte ^ 0b100]))


@pytest.mark.parametrize("file_format", ["npy", "h5"])
@pytest.mark.parametrize("subset", ["train", "test"])
@pytest.mark.parametrize("kind", ["images", "masks"])
def test_one_changed_bit_is_found(tmp_path, pixels, file_format, subset, kind):
    folder = prepare(tmp_path, pixels, file_format)
    assert find_damage(folder) == (4, [])
    array = getattr(load_prepared(folder, subset), kind)
    change_one_bit(array)
    compared, (fault,) = find_damage(folder)
    assert compared == 4
    assert fault.startswith(f"{array.filename}: {subset}_{kind} has changed")


def test_arrays_that_cannot_be_read_are_damage(tmp_path, pixels):
    folder = prepare(tmp_path, pixels)
    file = folder / "test_masks.npy"
    file.write_bytes(file.read_bytes()[:-10])
    compared, (fault,) = find_damage(folder)
    assert compared == 2 and "test_masks.npy: is not a whole" in fault
    (folder / MANIFEST_FILE).write_text("{")
    compared, (fault,) = find_damage(folder)
    assert compared == 0 and "prepared.json is damaged" in fault


def test_manifest_of_an_earlier_version_is_read_but_proves_nothing(tmp_path, pixels):
    folder = prepare(tmp_path, pixels)
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    for part in manifest["subsets"].values():
        del part["sha256"]
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    assert load_prepared(folder).names[0] == "n0"
    assert find_damage(folder) == (0, [])
    (folder / MANIFEST_FILE).unlink()
    assert find_damage(folder) == (0, [])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failed_replacement_changes_nothing(tmp_path, pixels, error):
    folder = prepare(tmp_path / "out", pixels)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(error), replace_prepared(folder) as staged:
        (staged / "train_images.npy").write_bytes(b"half")
        raise error
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    with pytest.raises(error), replace_prepared(tmp_path / "new"):
        raise error
    assert not (tmp_path / "new").exists()


def test_write_errors_become_one_line(tmp_path):
    with pytest.raises(UserError, match="No space left"):
        with replace_prepared(tmp_path / "out"):
            raise OSError(28, "No space left on device")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--out_dir"):
        with replace_prepared(tmp_path / "file" / "out"):
            pass


def test_killed_while_moving_is_read_whole_and_finished_later(tmp_path, pixels):
    old = tuple(np.zeros_like(array) for array in pixels)
    folder = prepare(tmp_path / "out", old)
    new = prepare(tmp_path / "new", pixels)
    new.rename(folder / FINISHED)
    (folder / FINISHED / "train_masks.npy").rename(folder / "train_masks.npy")
    images, masks = load_prepared(folder).batch(range(5))
    np.testing.assert_array_equal(images, pixels[0])
    np.testing.assert_array_equal(masks, pixels[1])
    (folder / ".preparing-old").mkdir()
    with pytest.raises(RuntimeError), replace_prepared(folder):
        raise RuntimeError
    assert not list(folder.glob(".prep*"))
    np.testing.assert_array_equal(load_prepared(folder).batch(range(5))[0], pixels[0])


def test_other_format_is_replaced(tmp_path, pixels):
    prepare(tmp_path, pixels)
    prepare(tmp_path, pixels, "h5")
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == ["prepared.h5", "prepared.json"]


def test_disk_too_small_is_said_before_writing(tmp_path):
    with pytest.raises(UserError, match="disk full, .* MB needed"):
        create_arrays(tmp_path, {"train": 10**9}, (256, 256), "npy")
    assert not list(tmp_path.iterdir())


def test_a_damaged_header_is_named(tmp_path, pixels):
    file = prepare(tmp_path, pixels) / "train_images.npy"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"}", b" ", 1))
    with pytest.raises(UserError, match="train_images.npy: is not a whole .npy array"):
        load_prepared(file.parent)
