"""PVTSeg is trained by the same command into the same kind of folder."""

import json

import pytest

from models.checkpoints import load_checkpoint


@pytest.mark.slow
def test_one_epoch_then_resumed_for_another(run_train, tmp_path):
    folder = tmp_path / "run"
    flags = ["--model", "pvtseg", "--encoder", "pvt_v2_b0", "--epochs", 1]
    first = run_train(*flags, "--out_dir", folder)
    output, _ = first.communicate(timeout=900)
    assert first.returncode == 0, output
    second = run_train("--resume", "--epochs", 2, "--out_dir", folder)
    output, _ = second.communicate(timeout=900)
    assert second.returncode == 0, output
    assert "after epoch 1" in output and "Best val_dice" in output
    checkpoint = load_checkpoint(folder / "best.h5")
    assert (checkpoint.name, checkpoint.image_size) == ("pvtseg", (32, 32))
    assert json.loads((folder / "config.json").read_text())["model"] == "pvtseg"
    assert len((folder / "log.csv").read_text().splitlines()) == 3
