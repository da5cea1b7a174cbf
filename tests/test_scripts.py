"""The road a user takes: raw folder, preparation, training, scores."""

import json
import shutil
from pathlib import Path

import pytest

import New_Test
import Preprocess_SEG
import Test
import train
from cli.command import UserError
from data import demo


@pytest.fixture(scope="module")
def raw_dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "Kvasir-SEG"
    demo.write_raw(folder, count=12, image_size=64, seed=0)
    return folder


@pytest.fixture(scope="module")
def run(raw_dataset, tmp_path_factory):
    """A run of one epoch on that dataset, prepared at 32×32."""
    out = tmp_path_factory.mktemp("work")
    prepared = out / "prepared"
    flags = ["--data_path", raw_dataset, "--out_dir", prepared, "--image_size", 32]
    flags += ["--split", "random"]
    Preprocess_SEG.main(Preprocess_SEG.parse_args([str(flag) for flag in flags]))
    flags = ["--data_path", prepared, "--epochs", 1, "--batch_size", 4]
    flags += ["--no_discriminator", "--bn_recalibrate", 4, "--out_dir", out / "run"]
    assert train.main(train.parse_args([str(flag) for flag in flags])) == 0
    return out


def test_the_run_folder_holds_what_is_promised(run):
    names = {file.name for file in (run / "run").iterdir()}
    promised = {"best.h5", "config.json", "log.csv", "curves.png", "samples.png"}
    assert promised | {"state.h5", "validation.json", "tensorboard"} <= names
    assert any(name.startswith("epoch_1_val_loss_") for name in names)
    config = json.loads((run / "run" / "config.json").read_text())
    assert config["model"] == "lgps" and config["options"]["epochs"] == 1
    validation = json.loads((run / "run" / "validation.json").read_text())
    assert 0 < validation["threshold"] < 1
    header, row = (run / "run" / "log.csv").read_text().splitlines()
    assert {"epoch", "loss", "val_loss", "val_dice"} <= set(header.split(","))


def test_test_and_new_test_score_the_checkpoint(run, raw_dataset, tmp_path):
    checkpoint = str(run / "run" / "best.h5")
    for script, data_path, out_dir in (
        (Test, run / "prepared", tmp_path / "test"),
        (New_Test, raw_dataset, tmp_path / "new"),
    ):
        flags = ["--model_path", checkpoint, "--data_path", data_path]
        flags += ["--out_dir", out_dir]
        script.main(script.parse_args([str(flag) for flag in flags]))
    written = sorted(tmp_path.rglob("metrics.json"))
    assert len(written) == 2
    for path in written:
        metrics = json.loads(path.read_text())
        assert 0 <= metrics["protocols"]["lgps"]["dice"] <= 1
        assert (path.parent / "qualitative.png").is_file()


def test_a_second_run_of_the_same_name_is_refused(run):
    flags = ["--data_path", str(run / "prepared"), "--out_dir", str(run / "run")]
    with pytest.raises(UserError, match="holds a run already"):
        train.main(train.parse_args(flags))
    assert (run / "run" / "best.h5").is_file()


def test_a_changed_array_is_not_trained_on(run, tmp_path):
    prepared = Path(shutil.copytree(run / "prepared", tmp_path / "prepared"))
    flags = ["--verify", "--data_path", str(prepared), "--out_dir", str(run / "run")]
    with pytest.raises(UserError, match="holds a run already"):  # nothing has changed
        train.main(train.parse_args(flags))
    content = bytearray((prepared / "train_masks.npy").read_bytes())
    content[-1] ^= 1
    (prepared / "train_masks.npy").write_bytes(content)
    with pytest.raises(UserError, match="train_masks has changed since"):
        train.main(train.parse_args(flags))


def test_data_that_was_never_prepared(tmp_path):
    flags = ["--data_path", str(tmp_path), "--out_dir", str(tmp_path / "run")]
    with pytest.raises(UserError, match=str(tmp_path)):
        train.main(train.parse_args(flags))
