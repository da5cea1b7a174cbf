"""A run's folder: names, reading, writing, clearing."""

import json
from dataclasses import replace

import pytest

from cli.command import UserError
from models.run_folder import RunFolder, Validation, model_label


def test_a_validation_comes_back_as_it_was_written(tmp_path):
    run = RunFolder(tmp_path)
    assert run.read_validation() is None
    scored = Validation(0.55, 0.9, 0.89, 1, [("a/1", "a/s", 0.9)], epoch=3, sha256="ab")
    scored = replace(scored, temperature=1.5, ece=0.04, ece_calibrated=0.01)
    scored = replace(scored, threshold_from="runs/first")
    run.write_validation(scored)
    assert run.read_validation() == scored
    assert json.loads(run.validation.read_text())["dice_at_0.5"] == 0.89


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"threshold": "x", "dice": 1, "dice_at_0.5": 1}',
        '{"threshold": 0.5, "dice": 1, "dice_at_0.5": 1, "temperature": "hot"}',
        '{"threshold": 0.5, "dice": 1, "dice_at_0.5": 1, "epoch": [1]}',
    ],
)
def test_a_damaged_validation_is_named(text, tmp_path):
    run = RunFolder(tmp_path)
    run.validation.write_text(text)
    with pytest.raises(UserError, match=r"validation\.json is damaged"):
        run.read_validation()


def test_no_run_lists_those_beside_it(tmp_path):
    other = RunFolder(tmp_path / "other")
    other.path.mkdir()
    other.write_config({})
    with pytest.raises(UserError, match=r"no run in .*mine; runs.*other"):
        RunFolder(tmp_path / "mine").read_config()
    other.config.write_text("[")
    with pytest.raises(UserError, match="is not a run's configuration"):
        other.read_config()


def test_clearing_removes_what_a_run_writes_and_nothing_else(tmp_path):
    run = RunFolder(tmp_path)
    run.write_config({})
    run.tensorboard.mkdir()
    run.epoch_checkpoint(10, 0.5).touch()
    run.epoch_checkpoint(9, 0.25).touch()
    assert [file.name for file in run.epoch_checkpoints()] == [
        "epoch_9_val_loss_0.2500.h5",
        "epoch_10_val_loss_0.5000.h5",
    ]
    kept = [tmp_path / "epoch_best_val_loss_0.1.h5", tmp_path / "mine.h5"]
    for file in kept:
        file.touch()
    assert run.holds_a_run()
    run.clear()
    assert sorted(tmp_path.iterdir()) == kept
    assert not run.holds_a_run()
    run.best.touch()  # of a run whose configuration is gone
    assert run.holds_a_run()


def test_a_run_s_best_is_called_by_the_run(tmp_path):
    assert model_label(tmp_path / "lgps" / "best.h5") == "lgps"
    assert model_label(tmp_path / "lgps" / "last.h5") == "last"
