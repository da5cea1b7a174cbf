import ast
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import Preprocess_CVC_CliniCDB
import Preprocess_SEG
from cli import parallel
from cli.command import UserError
from data import prepare, storage, writing
from data.arrays import load_prepared
from data.images import read_pair, resize_image, resize_mask

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = [str(n) for n in range(1, 13)]


def run(root, *options):
    argv = [str(root), "--image_size", "32", *map(str, options)]
    prepare.main(prepare.parse_args(argv))


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.mark.parametrize("file_format", ["npy", "h5"])
def test_arrays_and_manifest_hold_the_dataset(tmp_path, write_set, file_format):
    root = write_set(tmp_path / "My set", NAMES)
    cv2.imwrite(str(root / "masks/5.png"), np.zeros((40, 56), np.uint8))
    run(root, "--format", file_format, "--image_size", "16", "32")
    manifest = json.loads((root / "prepared.json").read_text())
    subsets = manifest["subsets"]
    # A tenth of 12, rounded up, is 2.
    assert [subsets[name]["count"] for name in ("train", "test")] == [10, 2]
    assert sum(subset["empty_masks"] for subset in subsets.values()) == 1
    assert manifest["dataset"] == "My set" and manifest["split"] == "random"
    for subset in ("train", "test"):
        loaded = load_prepared(root, subset)
        images, masks = loaded.batch(slice(None))
        for index, item in enumerate(subsets[subset]["items"]):
            source = root / f"images/{item['name']}.png"
            image, mask = read_pair(source, root / f"masks/{item['name']}.png")
            np.testing.assert_array_equal(images[index], resize_image(image, (16, 32)))
            np.testing.assert_array_equal(
                masks[index, ..., 0], resize_mask(mask, (16, 32))
            )
            assert (
                item["image_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
            )
            assert item["source_size"] == [40, 56]


def test_every_bad_file_is_in_one_message_and_the_old_output_stays(tmp_path, write_set):
    root = write_set(tmp_path, NAMES)
    run(root)
    before = contents(root)
    (root / "images/1.png").write_bytes(b"")
    (root / "images/2.png").write_bytes(b"text")
    (root / "masks/3.png").unlink()
    (root / "images/4.png").unlink()
    cv2.imwrite(str(root / "masks/5.png"), np.zeros((9, 9), np.uint8))
    with pytest.raises(UserError) as error:
        run(root)
    message = str(error.value)
    assert "5 problems" in message
    for part in (
        "images/1.png: the file is empty",
        "images/2.png: is damaged",
        "images/3.png: image without mask",
        "masks/4.png: mask without image",
        "masks/5.png is 9x9",
    ):
        assert part in message
    assert contents(root) == before
    assert not list(root.glob(".prep*"))


def test_names_of_a_list_that_are_not_on_disk_stop_the_run(tmp_path, write_set):
    root = write_set(tmp_path / "set", NAMES)
    (root / "train.txt").write_text("1\n2\nlost\n")
    (root / "test.txt").write_text("gone\n")
    with pytest.raises(UserError, match="(?s)lost: in train.txt.*gone: in test.txt"):
        run(root)


def test_split_that_lists_would_override_is_refused(tmp_path, write_set):
    root = write_set(tmp_path / "Kvasir-SEG", NAMES)
    (root / "train.txt").write_text("1\n2\n3\n")
    (root / "val.txt").write_text("4\n")
    argv = ["--data_path", str(root), "--image_size", "16"]
    with pytest.raises(UserError, match="train.txt/val.txt.*leave out --split pranet"):
        Preprocess_SEG.main(Preprocess_SEG.parse_args([*argv, "--split", "pranet"]))
    assert not list(root.glob("*.npy"))
    Preprocess_SEG.main(Preprocess_SEG.parse_args(argv))
    assert load_prepared(root, "test").names == ["4"]


def test_terminated_run_leaves_the_old_output(tmp_path, write_set, monkeypatch):
    root = write_set(tmp_path, NAMES)
    run(root)
    before = contents(root)
    whole = writing.prepare_pair

    def terminated(pair, *options):
        if pair.name == "9":
            signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)
        return whole(pair, *options)

    monkeypatch.setattr(writing, "prepare_pair", terminated)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run(root, "--image_size", "16")
    assert contents(root) == before and not list(root.glob(".prep*"))
    assert signal.getsignal(signal.SIGTERM) == handler


def test_disk_full_while_writing(tmp_path, write_set, monkeypatch):
    root = write_set(tmp_path / "set", NAMES)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "write_pairs", full)
    with pytest.raises(UserError, match="No space left"):
        run(root, "--out_dir", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("subset", ["train", "test"])
def test_augmentation_depends_on_the_seed_alone(
    tmp_path, write_set, monkeypatch, subset
):
    root = write_set(tmp_path / "set", NAMES)
    (root / "train.txt").write_text("1\n2\n3\n4\n")  # the same split for any seed
    (root / "test.txt").write_text("5\n6\n")

    def prepared(out, *options):
        run(root, "--out_dir", tmp_path / out, *options)
        return load_prepared(tmp_path / out, subset).batch(slice(None))[0]

    plain = prepared("plain")
    first = prepared("first", "--augment", "published")
    monkeypatch.setattr(parallel, "WORKERS", 1)
    np.testing.assert_array_equal(first, prepared("again", "--augment", "published"))
    other = prepared("other", "--augment", "published", "--seed", "7")
    untouched = subset == "test"
    assert np.array_equal(first, plain) == untouched
    if not untouched:
        assert not np.array_equal(first, other)


def test_folds_are_prepared_folders(tmp_path, write_set):
    root = write_set(tmp_path / "set", NAMES)
    run(root, "--folds", "3", "--out_dir", tmp_path / "out")
    tested = [
        name
        for fold in (1, 2, 3)
        for name in load_prepared(tmp_path / "out" / f"fold_{fold}", "test").names
    ]
    assert sorted(tested) == sorted(NAMES)


def test_folds_of_another_division_are_not_left_beside(tmp_path, write_set):
    root = write_set(tmp_path / "set", NAMES)
    run(root, "--folds", "3", "--out_dir", tmp_path / "out")
    with pytest.raises(UserError, match="fold_3: is of a division into more folds"):
        run(root, "--folds", "2", "--out_dir", tmp_path / "out")


@pytest.mark.parametrize("name", ["", "..", "a/b", "/a"])
def test_a_name_is_no_path(name, capsys):
    with pytest.raises(SystemExit, match="2"):
        prepare.parse_args(["data", "--name", name])
    assert "must be a plain name" in capsys.readouterr().err


def test_failed_fold_writes_no_fold(tmp_path, write_set, monkeypatch):
    root = write_set(tmp_path / "set", NAMES)
    manifests = []

    def fails_second_time(*arguments):
        manifests.append(arguments)
        if len(manifests) == 2:
            raise OSError(28, "No space left on device")
        return storage_manifest(*arguments)

    storage_manifest = storage.write_manifest
    monkeypatch.setattr(storage, "write_manifest", fails_second_time)
    with pytest.raises(UserError, match="No space left"):
        run(root, "--folds", "3", "--out_dir", tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.npy"))


def test_clinicdb_script_keeps_sequences_apart(tmp_path, write_set):
    names = ["1", "2", "26", "27", "51", "52", "68", "69"]
    root = write_set(tmp_path / "any name", names, "Original", "Ground Truth", ".tif")
    argv = ["--data_path", str(root), "--image_size", "16"]
    Preprocess_CVC_CliniCDB.main(Preprocess_CVC_CliniCDB.parse_args(argv))
    train, test = load_prepared(root), load_prepared(root, "test")
    assert (len(train), len(test)) == (6, 2)
    assert not set(train.groups) & set(test.groups)
    assert train.name == "CVC-ClinicDB"


@pytest.mark.parametrize("script", [Preprocess_SEG, Preprocess_CVC_CliniCDB])
def test_missing_dataset_says_where_to_get_it(tmp_path, script):
    with pytest.raises(UserError, match="none: not found.*download.*--data_path"):
        script.main(script.parse_args(["--data_path", str(tmp_path / "none")]))


@pytest.mark.parametrize(
    ("flag", "value", "reason"),
    [
        ("--image_size", "0", "must be at least 1 and at most 4096, received 0"),
        ("--image_size", "4097", "must be at least 1 and at most 4096, received 4097"),
        ("--folds", "1", "must be at least 2, received 1"),
        ("--seed", "-1", "must be at least 0, received -1"),
    ],
)
def test_numbers_out_of_range(capsys, flag, value, reason):
    for parse_args in (prepare.parse_args, Preprocess_SEG.parse_args):
        path = ["data"] if parse_args is prepare.parse_args else []
        with pytest.raises(SystemExit, match="2"):
            parse_args([*path, flag, value])
        assert f"error: argument {flag}: {reason} (" in capsys.readouterr().err


def test_three_numbers_are_no_image_size(tmp_path, write_set):
    with pytest.raises(UserError, match="--image_size must be H or H W"):
        run(write_set(tmp_path, NAMES), "--image_size", "16", "16", "3")


def test_named_pipe_among_the_pictures_is_named_and_left_out(
    tmp_path, write_set, capsys
):
    root = write_set(tmp_path / "set", NAMES)
    os.mkfifo(root / "images/13.png")
    run(root, "--image_size", "16")
    left_out = "left out: images/13.png (not a regular file)"
    assert left_out in capsys.readouterr().out
    manifest = json.loads((root / "prepared.json").read_text())
    assert manifest["left_out"] == [["images/13.png", "not a regular file"]]
    os.mkfifo(root / "masks/13.png")
    (root / "images/1.png").unlink()
    os.mkfifo(root / "images/1.png")  # now its mask has no image
    with pytest.raises(UserError, match="1 problem\\n.*masks/1.png: mask with"):
        run(root, "--image_size", "16")


def test_command_exits_2_with_one_message_and_no_traceback(tmp_path, write_set):
    root = write_set(tmp_path / "Kvasir-SEG", NAMES)
    command = [
        sys.executable,
        str(REPOSITORY / "Preprocess_SEG.py"),
        "--data_path",
        root,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    # None of the 1000 names of the official split is on disk.
    assert "error:" in done.stderr and "cju0qkwl35piu0993l0dewei2" in done.stderr
    assert "Traceback" not in done.stderr


def modules_after(code):
    """The last line that a fresh interpreter prints: which of four it imported."""
    code += "\nprint({'tensorflow', 'keras', 'numpy', 'cv2'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    return set(ast.literal_eval(done.stdout.splitlines()[-1].replace("set()", "()")))


def test_help_imports_nothing_heavy():
    code = "import sys, Preprocess_SEG, Preprocess_CVC_CliniCDB, data.doctor"
    assert modules_after(code) == set()


def test_preparing_and_checking_need_neither_tensorflow_nor_keras(tmp_path, write_set):
    root = write_set(tmp_path / "set", NAMES)
    options = ["--data_path", str(root), "--image_size", "16", "--split", "random"]
    options += ["--augment", "published", "--format", "h5"]
    code = f"""
import sys, Preprocess_SEG, data.doctor
Preprocess_SEG.main(Preprocess_SEG.parse_args({options}))
figure = ["--figure", {str(tmp_path / "figure.png")!r}]
data.doctor.main(data.doctor.parse_args([{str(root)!r}, *figure]))
"""
    assert modules_after(code) == {"numpy", "cv2"}
