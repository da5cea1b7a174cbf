"""Flags, recipes and run folders."""

import json
from pathlib import Path

import pytest

import train
from cli.command import UserError
from training.options import new_options, run_folder, saved_options


def _given(*flags) -> dict:
    return vars(train.parse_args(list(flags)))


def test_defaults_are_the_published_values():
    lgps = new_options(_given("--data_path", "x"))
    assert (lgps["epochs"], lgps["batch_size"], lgps["learning_rate"]) == (
        200,
        16,
        3e-4,
    )
    assert (lgps["beta_1"], lgps["clipvalue"]) == (0.5, 1.0)
    assert (lgps["plateau_factor"], lgps["plateau_patience"]) == (0.5, 3)
    assert lgps["min_learning_rate"] == 1e-6
    assert lgps["adversarial_weight"] == 0 and lgps["crf"] == "published"
    pvtseg = new_options(_given("--data_path", "x", "--model", "pvtseg"))
    assert (pvtseg["epochs"], pvtseg["learning_rate"]) == (500, 1e-4)
    assert (pvtseg["plateau_factor"], pvtseg["plateau_patience"]) == (0.1, 5)
    assert pvtseg["early_stop_patience"] == 50 and pvtseg["monitor"] == "val_dice"
    assert pvtseg["seed"] == 42 and pvtseg["encoder"] == "pvt_v2_b3"


def test_given_flags_win_over_recipe_and_demo():
    options = new_options(_given("--demo", "--epochs", "2", "--learning_rate", "0.5"))
    assert (options["epochs"], options["learning_rate"]) == (2, 0.5)


def test_the_best_recipe_is_lgps_s_and_gives_way_to_flags():
    best = new_options(_given("--data_path", "x", "--recipe", "best", "--ema", "0.5"))
    assert best["schedule"] == "cosine" and best["ema"] == 0.5
    assert best["epochs"] == sum(epochs for _, epochs in best["stages"]) >= 60
    assert new_options(_given("--demo", "--recipe", "best"))["stages"] is None
    with pytest.raises(UserError, match="no --recipe best for --model pvtseg"):
        new_options(_given("--model", "pvtseg", "--recipe", "best"))


def test_a_flag_of_the_other_model_is_refused():
    with pytest.raises(UserError, match="--encoder does not belong to --model lgps"):
        new_options(_given("--data_path", "x", "--encoder", "pvt_v2_b0"))


def test_no_dataset_names_the_commands(monkeypatch, tmp_path):
    monkeypatch.setattr("training.options.DATA", tmp_path)
    with pytest.raises(UserError, match=r"Preprocess_SEG\.py.*--demo"):
        new_options({})


@pytest.mark.parametrize(
    ("name", "out_dir", "expected"),
    [
        ("n", None, "runs/n"),
        (None, "o", "o"),
        ("n", "o", "o/n"),
        (None, None, "runs/d"),
    ],
)
def test_run_folder(name, out_dir, expected, monkeypatch):
    monkeypatch.chdir(Path(train.__file__).parent)
    assert str(run_folder(name, out_dir, "d")) == expected


def test_resuming_refuses_what_contradicts_the_run(tmp_path):
    saved = new_options({"data_path": ["x"]})
    (tmp_path / "config.json").write_text(json.dumps({"options": saved}))
    assert saved_options(tmp_path, {"epochs": 7}) == {**saved, "epochs": 7}
    with pytest.raises(UserError, match=r"--batch_size 8 \(was 16\)"):
        saved_options(tmp_path, {"batch_size": 8})
    with pytest.raises(UserError, match="no run to resume"):
        saved_options(tmp_path / "other", {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "is not a run's configuration"),
        ({"model": "unet"}, "is not a run's configuration"),
        ({**new_options({"data_path": ["x"]}), "lr": 1}, r"another version .*\(lr\)"),
    ],
)
def test_a_configuration_that_is_none_of_ours_is_refused(options, message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"options": options}))
    with pytest.raises(UserError, match=message):
        saved_options(tmp_path, {})


@pytest.mark.parametrize(
    "flags",
    [
        ["--val_fraction", "1"],
        ["--image_size", "0"],
        ["--epochs", "few"],
        ["--batch_size", "0"],
        ["--learning_rate", "0"],
        ["--learning_rate", "nan"],
        ["--ema", "1"],
        ["--seed", "4294967296"],
    ],
)
def test_impossible_values_exit_2(flags):
    with pytest.raises(SystemExit) as error:
        train.parse_args(flags)
    assert error.value.code == 2


def test_an_adversarial_weight_brings_the_discriminator_back():
    flags = ["--data_path", "x", "--recipe", "best"]
    assert new_options(_given(*flags))["no_discriminator"]
    flags += ["--adversarial_weight", "0.1"]
    assert not new_options(_given(*flags))["no_discriminator"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--no_discriminator", "--crf", "meanfield"], "--no_discriminator leaves"),
        (["--train_on_validation", "--val_data_path", "y"], "is not for sets of"),
        (["--stages", "32:2", "--early_stop_patience", "3"], "of fixed length"),
        (["--monitor", "last", "--early_stop_patience", "3"], "other than last"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        new_options(_given("--data_path", "x", *flags))
