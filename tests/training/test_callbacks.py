"""Which epochs count as the best, and what a run leaves of its predecessor."""

import math
from types import SimpleNamespace

import pytest

import train
import training.run
from cli.command import UserError
from models.run_folder import RunFolder, Validation
from training.callbacks import BestCheckpoints, RunLog
from training.options import TrainingOptions
from training.run import begin_folder, epochs_done, load_samples


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [
        ("val_loss", [3, 1, 2], 1),
        ("val_dice", [0.1, 0.3, 0.2], 0.3),
        ("last", [0.1, 0.3, 0.2], 0.2),
        ("val_loss", [math.nan, 2, math.nan, 3], 2),
    ],
)
def test_the_best_epoch(monitor, values, best, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "training.callbacks.save_checkpoint", lambda network, path: path.touch()
    )
    checkpoints = BestCheckpoints(RunFolder(tmp_path), monitor)
    checkpoints.set_model(type("Model", (), {"network": None}))
    for epoch, value in enumerate(values):
        logs = {"val_loss": 1.0, checkpoints.value_name: value}
        checkpoints.on_epoch_end(epoch, logs)
    assert checkpoints.best == best == values[checkpoints.best_epoch]


def test_a_new_best_has_no_validation_yet(monkeypatch, tmp_path):
    """The hash and the threshold in it are those of the checkpoint before."""
    run = RunFolder(tmp_path)
    monkeypatch.setattr(
        "training.callbacks.save_checkpoint", lambda network, path: path.touch()
    )
    checkpoints = BestCheckpoints(run, "val_loss")
    checkpoints.set_model(type("Model", (), {"network": None}))
    checkpoints.on_epoch_end(0, {"val_loss": 1.0})
    run.write_validation(Validation(0.5, 0.9, 0.9, sha256="of epoch 1"))
    checkpoints.on_epoch_end(1, {"val_loss": 2.0})
    assert run.validation.is_file()
    checkpoints.on_epoch_end(2, {"val_loss": 0.5})
    assert not run.validation.is_file()


def test_overwriting_removes_a_run_s_files_and_no_others(tmp_path):
    ours = ["best.h5", "state.h5", "epoch_3_val_loss_0.1000.h5", "curves.png"]
    for name in (*ours, "my_export.h5", "figure.png"):
        (tmp_path / name).touch()
    begin_folder(RunFolder(tmp_path), TrainingOptions(), resume=False)
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"config.json", "my_export.h5", "figure.png"}


@pytest.mark.parametrize(
    "flags",
    [
        ["--image_size", "100"],
        ["--stages", "40:1", "32:1"],
        ["--encoder_weights", "nowhere.h5"],
    ],
)
def test_a_mistake_overwrites_nothing(flags, tiny_dataset, tmp_path):
    (tmp_path / "best.h5").touch()
    flags += ["--data_path", str(tiny_dataset), "--out_dir", str(tmp_path)]
    with pytest.raises(UserError, match=flags[0]):  # the message names the flag
        train.main(train.parse_args([*flags, "--overwrite"]))
    assert [file.name for file in tmp_path.iterdir()] == ["best.h5"]


def test_a_run_is_not_replaced_without_being_asked(tiny_dataset, tmp_path):
    (tmp_path / "best.h5").touch()
    flags = ["--data_path", str(tiny_dataset), "--out_dir", str(tmp_path)]
    with pytest.raises(UserError, match="holds a run already"):
        train.main(train.parse_args(flags))
    assert [file.name for file in tmp_path.iterdir()] == ["best.h5"]


def test_a_run_without_its_state_does_not_start_again(tmp_path):
    run = RunFolder(tmp_path)
    assert epochs_done(run) == 0  # killed in its first epoch
    run.log.touch()
    with pytest.raises(UserError, match=r"state\.h5 is not there"):
        epochs_done(run)


@pytest.mark.slow
def test_a_run_that_stopped_early_has_stopped_when_it_is_taken_up(
    tiny_dataset, tmp_path, capsys, monkeypatch
):
    out = ["--out_dir", str(tmp_path)]
    flags = ["--data_path", str(tiny_dataset), "--no_discriminator", "--epochs", "9"]
    flags += ["--early_stop_patience", "1", "--learning_rate", "1e-12"]
    flags += ["--bn_recalibrate", "0", "--seed", "3", "--monitor", "val_iou"]
    train.main(train.parse_args([*out, *flags]))
    run = RunFolder(tmp_path)
    log = run.log.read_text()
    assert len(log.splitlines()) < 10
    run.log.unlink()  # as a kill after the state was saved would leave it
    train.main(train.parse_args(["--resume", *out]))
    assert run.log.read_text() == log
    assert "val_iou" in capsys.readouterr().out
    before = run.config.read_text()
    monkeypatch.setattr("training.run.hash_of_images", lambda *_: "others")
    with pytest.raises(UserError, match="other training or validation images"):
        train.main(train.parse_args(["--resume", "--epochs", "99", *out]))
    assert run.config.read_text() == before


def test_validation_sets_can_be_given(tiny_dataset):
    paths = (str(tiny_dataset),)
    options = TrainingOptions(data_path=paths, val_data_path=paths)
    assert [len(samples) for samples in load_samples(options)] == [8, 3]


def test_a_run_does_not_go_on_with_other_images(monkeypatch, tmp_path):
    progress = {"history": [], "best": 1.0, "best_epoch": 0, "counters": {}}
    monkeypatch.setattr("training.callbacks.load_state", lambda *_: progress)
    run = RunFolder(tmp_path)
    log = RunLog(run, [], BestCheckpoints(run, "val_loss"), images="now")
    log.restore(None)  # of an earlier version, which did not save them
    progress["images"] = "now"
    log.restore(None)
    progress["images"] = "then"
    with pytest.raises(UserError, match="other training or validation images"):
        log.restore(None)


def test_each_device_needs_an_image(monkeypatch, tmp_path):
    two = SimpleNamespace(num_replicas_in_sync=2)
    monkeypatch.setattr("training.run.make_strategy", lambda name: two)
    options = TrainingOptions(data_path=("x",), batch_size=1)
    with pytest.raises(UserError, match="--batch_size 1 is below the 2 devices"):
        training.run.train(options, RunFolder(tmp_path))


def test_ctrl_c_before_anything_is_written(monkeypatch, tmp_path, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("training.run.train", interrupted)
    flags = ["--data_path", "x", "--out_dir", str(tmp_path / "run")]
    assert train.main(train.parse_args(flags)) == 130
    shown = capsys.readouterr().out
    assert "nothing was written" in shown and "--resume" not in shown
