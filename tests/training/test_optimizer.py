"""Schedules, a slower encoder, averaged weights, frozen statistics, image sizes."""

import csv
import json

import h5py
import keras
import numpy as np
import pytest

import train
from cli.command import UserError
from models.checkpoints import load_checkpoint
from training.optimizer import encoder_of, learning_rate
from training.options import new_options, saved_options
from training.recalibrate import batch_normalisations
from training.run import Stage, build_trainer, stages_of
from training.state import STATE_FILE


def _options(**given) -> dict:
    return new_options({"data_path": ["x"], "no_discriminator": True, **given})


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
    once = learning_rate({**options, "restart_epochs": [], "epochs": 4}, 5)
    assert rates[:20] == [float(once(step)) for step in range(20)]
    for start, end in ((20, 30), (30, 50)):
        assert rates[start] == pytest.approx(1e-3)
        assert rates[(start + end) // 2] == pytest.approx((1e-3 + 1e-5) / 2)
        assert rates[end - 1] < 4e-5
    assert rates[50] == pytest.approx(1e-5)
    with pytest.raises(UserError, match=r"\(0, 6\) do not ascend within .* 6 epochs"):
        _options(schedule="cosine", restart_epochs=[6], epochs=6)


def test_the_encoder_moves_by_its_share_of_the_rate():
    trainer = build_trainer(
        _options(encoder_lr_factor=0.1, learning_rate=1e-3), (32, 32)
    )
    network = trainer.network
    encoder = {variable.path for variable in encoder_of(network).trainable_variables}
    before = [variable.numpy() for variable in network.trainable_variables]
    # Adam's first step is the learning rate wherever the gradient is not tiny.
    gradients = [np.ones_like(value) for value in before]
    trainer.optimizer.apply(gradients, network.trainable_variables)
    for variable, old in zip(network.trainable_variables, before, strict=True):
        expected = 1e-4 if variable.path in encoder else 1e-3
        np.testing.assert_allclose(old - variable.numpy(), expected, rtol=2e-2)


def test_batch_normalisation_is_frozen_in_the_encoder_only_and_slowed_everywhere():
    network = build_trainer(
        _options(freeze_encoder_bn=True, bn_momentum=0.5), (32, 32)
    ).network
    frozen = [layer.trainable for layer in batch_normalisations(encoder_of(network))]
    assert frozen and not any(frozen)
    layers = batch_normalisations(network)
    assert sum(layer.trainable for layer in layers) == len(layers) - len(frozen)
    assert {layer.momentum for layer in layers} == {0.5}


def test_stages_follow_each_other():
    options = _options(stages=[[32, 2], [64, 3]])
    assert options["epochs"] == 5
    assert stages_of(options, (96, 96)) == [
        Stage((32, 32), 0, 2),
        Stage((64, 64), 2, 5),
    ]
    assert stages_of(_options(epochs=7), (96, 128)) == [Stage((96, 128), 0, 7)]
    with pytest.raises(UserError, match="--stages .*takes the place of"):
        _options(stages=[[32, 2]], epochs=3)


@pytest.mark.parametrize("text", ["32", "32:", ":3", "0:3", "32:0", "a:b", "-1:2"])
def test_a_malformed_stage_exits_2(text):
    with pytest.raises(SystemExit) as error:
        train.parse_args(["--stages", text])
    assert error.value.code == 2


def test_a_laid_out_schedule_cannot_be_lengthened(tmp_path):
    saved = _options(schedule="cosine")
    (tmp_path / "config.json").write_text(json.dumps({"options": saved}))
    with pytest.raises(UserError, match="cannot go on with --epochs 300"):
        saved_options(tmp_path, {"epochs": 300})


def _train(*flags) -> None:
    train.main(train.parse_args([*map(str, flags), "--verbose", "0"]))


@pytest.mark.slow
def test_averaged_weights_at_two_sizes_are_saved_and_taken_up_again(
    tiny_dataset, tmp_path, monkeypatch
):
    flags = ["--data_path", tiny_dataset, "--stages", "32:2", "48:2", "--ema", "0.9"]
    flags += ["--schedule", "cosine", "--monitor", "last", "--batch_size", "4"]
    flags += ["--no_discriminator", "--bn_recalibrate", "4"]
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
    _train("--resume", "--out_dir", stopped)

    states = []
    for folder in (whole, stopped):
        rows = list(csv.DictReader(open(folder / "log.csv")))
        assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
        assert load_checkpoint(folder / "best.h5").image_size == (48, 48)
        with h5py.File(folder / STATE_FILE) as file:
            states.append([file[str(index)][()] for index in range(len(file))])
    for expected, got in zip(*states, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.slow
def test_what_is_saved_is_the_average(tiny_dataset, tmp_path):
    """An average that never forgets the start stays there while the weights move."""
    flags = ["--data_path", tiny_dataset, "--epochs", "2", "--batch_size", "4"]
    flags += ["--no_discriminator", "--bn_recalibrate", "0", "--monitor", "last"]
    _train(*flags, "--ema", "0.999999", "--out_dir", tmp_path / "slow")
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
