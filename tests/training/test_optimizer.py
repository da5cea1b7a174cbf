"""Schedules, decay, averaged weights, statistics, stages and image sizes."""

import csv
from dataclasses import asdict, replace

import h5py
import keras
import numpy as np
import pytest

import train
from cli.command import UserError
from models.checkpoints import load_checkpoint, save_checkpoint
from models.run_folder import RunFolder
from training.build import build_trainer
from training.optimizer import average_decay, learning_rate
from training.options import Stage, TrainingOptions
from training.recalibrate import batch_normalisations
from training.recipes import new_options
from training.saved_options import saved_options


def _options(**given) -> TrainingOptions:
    return new_options({"data_path": ["x"], "use_discriminator": False, **given})


COSINE = {
    "schedule": "cosine",
    "warmup_epochs": 2,
    "epochs": 10,
    "learning_rate": 1e-3,
    "min_learning_rate": 1e-5,
}


def test_cosine_rises_over_the_warm_up_and_falls_to_the_minimum():
    options = _options(**COSINE)
    schedule = learning_rate(options, steps_per_epoch=5)
    rates = [float(schedule(step)) for step in range(51)]
    assert rates[0] == 0 and rates[5] == pytest.approx(5e-4)
    assert rates[10] == pytest.approx(1e-3) == max(rates)
    assert rates[30] == pytest.approx((1e-3 + 1e-5) / 2)  # half of the way down
    assert rates[50] == pytest.approx(1e-5)


def test_cosine_starts_again_from_the_top():
    options = _options(**COSINE, restart_epochs=[4, 6])
    schedule = learning_rate(options, steps_per_epoch=5)
    rates = [float(schedule(step)) for step in range(51)]
    once = learning_rate(replace(options, restart_epochs=(), epochs=4), 5)
    assert rates[:20] == [float(once(step)) for step in range(20)]
    for start, end in ((20, 30), (30, 50)):
        assert rates[start] == pytest.approx(1e-3)
        assert rates[(start + end) // 2] == pytest.approx((1e-3 + 1e-5) / 2)
        assert rates[end - 1] < 4e-5
    assert rates[50] == pytest.approx(1e-5)
    with pytest.raises(
        UserError, match=r"\(0, 6\) must ascend and be below .* 6 epochs"
    ):
        _options(schedule="cosine", restart_epochs=[6], epochs=6)


def test_only_kernels_decay():
    options = _options(weight_decay=0.1, learning_rate=0.5, clipvalue=0.0)
    trainer = build_trainer(options, (32, 32))
    variables = trainer.network.trainable_variables
    before = [variable.numpy() for variable in variables]
    trainer.optimizer.apply([np.zeros_like(value) for value in before], variables)
    for variable, old in zip(variables, before, strict=True):
        kept = 1 - 0.5 * 0.1 if "kernel" in variable.name else 1
        np.testing.assert_allclose(variable.numpy(), kept * old, rtol=1e-5)


def test_the_gradient_s_norm_is_limited():
    given = {"clipvalue": 0.0, "clipnorm": 2.0}
    optimizer = build_trainer(_options(**given), (32, 32)).optimizer
    assert optimizer.global_clipnorm == 2.0 and optimizer.clipvalue is None
    with pytest.raises(UserError, match="--clipnorm takes the place of --clipvalue"):
        _options(clipnorm=2.0)


def test_batch_normalisation_is_slowed_everywhere():
    network = build_trainer(_options(bn_momentum=0.5), (32, 32)).network
    assert {layer.momentum for layer in batch_normalisations(network)} == {0.5}


def test_stages_follow_each_other():
    stages = (Stage.parse("32:2"), Stage.parse("48=1,64=3:3:mild:average"))
    options = _options(stages=stages, ema=0.9)
    assert options.epochs == 5
    assert options.planned_stages((96, 96)) == [(stages[0], 0, 2), (stages[1], 2, 5)]
    assert options.final_size((96, 96)) == (64, 64)  # the last stage's most frequent
    assert stages[1] == Stage(3, ((48, 1.0), (64, 3.0)), "mild", average_at_end=True)
    assert [str(stage) for stage in stages] == ["32:2", "48=1,64=3:3:mild:average"]
    ((_, first, end),) = _options(epochs=7).planned_stages((96, 128))
    assert (first, end) == (0, 7)
    assert _options().final_size((96, 128)) == (96, 128)
    assert _options(image_size=64, stages=stages, ema=0.9).final_size((9, 9)) == (
        64,
        64,
    )
    with pytest.raises(UserError, match="--stages .*takes the place of"):
        _options(stages=stages, epochs=3)


@pytest.mark.parametrize(
    "text",
    ["32", "32:", ":3", "0:3", "32:0", "a:b", "-1:2", "32:1:no", "32=0:1", "9999:1"],
)
def test_a_malformed_stage_exits_2(text):
    with pytest.raises(SystemExit) as error:
        train.parse_args(["--stages", text])
    assert error.value.code == 2


def test_a_laid_out_schedule_cannot_be_lengthened(tmp_path):
    run = RunFolder(tmp_path)
    run.write_config({"options": asdict(_options(schedule="cosine"))})
    with pytest.raises(UserError, match="cannot go on with --epochs 300"):
        saved_options(run, {"epochs": 300})


def _train(*flags) -> None:
    train.main(train.parse_args([*map(str, flags), "--verbose", "0"]))


@pytest.mark.slow
def test_averaged_weights_at_two_sizes_are_saved_and_taken_up_again(
    tiny_dataset, tmp_path, monkeypatch
):
    flags = ["--data_path", tiny_dataset, "--ema", "0.9"]
    flags += ["--stages", "32=1,48=1:2:strong", "48:2:mild"]
    flags += ["--deep_supervision", "--consistency", "1"]
    flags += ["--loss", "structure_dice"]
    flags += ["--schedule", "cosine", "--monitor", "last", "--batch_size", "4"]
    flags += ["--no_discriminator", "--bn_recalibrate", "4"]
    begin = tmp_path / "begin.h5"
    save_checkpoint(build_trainer(_options(), (32, 32)).network, begin)
    flags += ["--initial_weights", begin]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    _train(*flags, "--out_dir", whole)

    class Stop(Exception):
        pass

    def stop_in_the_fourth_epoch(self, epoch, logs=None):
        if epoch == 3:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(
            "training.callbacks.StopOnNaN.on_epoch_begin",
            stop_in_the_fourth_epoch,
            raising=False,
        )
        with pytest.raises(Stop):
            _train(*flags, "--out_dir", stopped)
    begin.unlink()  # the state has taken its place
    _train("--resume", "--out_dir", stopped)

    states = []
    for folder in (whole, stopped):
        rows = list(csv.DictReader(open(folder / "log.csv")))
        assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
        assert load_checkpoint(folder / "best.h5").image_size == (48, 48)
        with h5py.File(RunFolder(folder).state) as file:
            states.append([file[str(index)][()] for index in range(len(file))])
    for expected, got in zip(*states, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_average_covers_a_third_of_a_short_run_at_most():
    options = _options(ema=0.999, epochs=20)
    assert average_decay(options, 3) == pytest.approx(1 - 1 / 20)
    assert average_decay(options, 181) == 0.999  # the shipped weights' second run
    assert average_decay(_options(ema=0.5, epochs=1), 1) == 0


@pytest.mark.slow
def test_what_is_saved_is_the_average(tiny_dataset, tmp_path, monkeypatch):
    """An average that never forgets the start stays there while the weights move."""
    monkeypatch.setattr("training.optimizer.average_decay", lambda *_: 0.999999)
    flags = ["--data_path", tiny_dataset, "--epochs", "2", "--batch_size", "4"]
    flags += ["--no_discriminator", "--bn_recalibrate", "0", "--monitor", "last"]
    _train(*flags, "--ema", "0.9", "--out_dir", tmp_path / "slow")
    _train(*flags, "--out_dir", tmp_path / "none")
    keras.utils.set_random_seed(42)  # as train.py does before it builds
    start = build_trainer(_options(), (32, 32)).network
    moved = [
        max(
            np.abs(a.numpy() - b.numpy()).max()
            for a, b in zip(
                load_checkpoint(tmp_path / name / "best.h5").model.trainable_variables,
                start.trainable_variables,
                strict=True,
            )
        )
        for name in ("slow", "none")
    ]
    assert moved[0] < moved[1]
