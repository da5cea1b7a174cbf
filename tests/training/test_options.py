"""Flags, recipes and run folders."""

import re
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import train
from cli.command import UserError
from models.run_folder import RunFolder
from training.options import Stage, TrainingOptions
from training.recipes import new_options, run_folder
from training.saved_options import saved_options

ROOT = Path(train.__file__).parent


def _given(*flags) -> dict:
    return vars(train.parse_args(list(flags)))


def test_defaults_are_the_published_values():
    lgps = new_options(_given("--data_path", "x"))
    assert (lgps.epochs, lgps.batch_size, lgps.learning_rate) == (
        200,
        16,
        3e-4,
    )
    assert (lgps.beta_1, lgps.clipvalue) == (0.5, 1.0)
    assert (lgps.plateau_factor, lgps.plateau_patience) == (0.5, 3)
    assert lgps.min_learning_rate == 1e-6
    assert lgps.adversarial_weight == 0 and lgps.crf == "published"
    pvtseg = new_options(_given("--data_path", "x", "--model", "pvtseg"))
    assert (pvtseg.epochs, pvtseg.learning_rate) == (500, 1e-4)
    assert (pvtseg.plateau_factor, pvtseg.plateau_patience) == (0.1, 5)
    assert pvtseg.early_stop_patience == 50 and pvtseg.monitor == "val_dice"
    assert pvtseg.seed == 42 and pvtseg.encoder == "pvt_v2_b3"


def test_given_flags_win_over_recipe_and_demo():
    options = new_options(_given("--demo", "--epochs", "2", "--learning_rate", "0.5"))
    assert (options.epochs, options.learning_rate) == (2, 0.5)


def test_the_best_recipe_is_lgps_s_and_gives_way_to_flags():
    best = new_options(_given("--data_path", "x", "--recipe", "best", "--ema", "0.5"))
    assert best.schedule == "cosine" and best.ema == 0.5
    assert best.epochs == sum(stage.epochs for stage in best.stages)
    # Two views of each image in an epoch, of as many images as elsewhere in a step.
    assert best.consistency and 2 * best.batch_size == 16 and 2 * best.epochs >= 90
    assert new_options(_given("--demo", "--recipe", "best")).stages == ()
    with pytest.raises(UserError, match="no --recipe best for --model pvtseg"):
        new_options(_given("--model", "pvtseg", "--recipe", "best"))


def test_the_finetune_recipe_goes_on_from_the_shipped_weights():
    options = new_options(_given("--data_path", "x", "--recipe", "finetune"))
    assert options.initial_weights == "lgps" and options.encoder_weights is None
    assert options.epochs == sum(stage.epochs for stage in options.stages)
    with pytest.raises(UserError, match="no --encoder_weights"):
        replace(options, encoder_weights="imagenet")


def test_a_flag_of_the_other_model_is_refused():
    with pytest.raises(UserError, match="--encoder does not belong to --model lgps"):
        new_options(_given("--data_path", "x", "--encoder", "pvt_v2_b0"))


def test_no_dataset_names_the_commands(monkeypatch, tmp_path):
    monkeypatch.setattr("training.recipes.DATA", tmp_path)
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


def _saved(folder: Path, options) -> RunFolder:
    run = RunFolder(folder)
    run.write_config({"options": options})
    return run


def test_resuming_refuses_what_contradicts_the_run(tmp_path):
    saved = new_options({"data_path": ["x"]})
    run = _saved(tmp_path, asdict(saved))
    assert saved_options(run, {"epochs": 7}) == replace(saved, epochs=7)
    with pytest.raises(UserError, match=r"--batch_size 8 \(was 16\)"):
        saved_options(run, {"batch_size": 8})
    with pytest.raises(UserError, match=r"go on with --no_se \(was True\)"):
        saved_options(run, {"use_se": False})
    same = {"precision": "auto", "encoder_weights": "none"}
    trained = replace(saved, precision="float32")  # "auto" as the run resolved it
    assert saved_options(_saved(tmp_path, asdict(trained)), same) == trained
    with pytest.raises(UserError, match="no run in"):
        saved_options(RunFolder(tmp_path / "other"), {})


def test_what_is_saved_comes_back_the_same(tmp_path):
    given = ["--data_path", "x", "--recipe", "best", "--no_se", "--clipvalue", "0"]
    options = new_options(_given(*given))
    assert options.stages and not options.use_se
    assert saved_options(_saved(tmp_path, asdict(options)), {}) == options


# What version 0.1 saved of a run of the best recipe.
FORMER = {
    **{"model": "lgps", "recipe": "best", "demo": False, "data_path": ["a", "b"]},
    **{"val_data_path": None, "val_fraction": 0.1, "train_on_validation": True},
    **{"image_size": None, "stages": [[128, 38], [256, 2]], "no_shuffle": False},
    **{"encoder_weights": "f.h5", "precision": "auto", "strategy": "auto"},
    **{"binarised_val_loss": False, "no_se": True, "adversarial_weight": 0.0},
    **{"crf": "published", "no_discriminator": True, "epochs": 40, "batch_size": 16},
    **{"learning_rate": 1e-3, "beta_1": 0.9, "clipvalue": 1.0, "schedule": "cosine"},
    **{"plateau_factor": 0.5, "plateau_patience": 3, "warmup_epochs": 2},
    **{"restart_epoch": 20, "min_learning_rate": 1e-5, "encoder_lr_factor": 1.0},
    **{"ema": 0.995, "loss": "structure", "monitor": "last", "seed": 42},
    **{"early_stop_patience": 0, "augmentation": "mild", "bn_momentum": 0.0},
    **{"freeze_encoder_bn": False, "bn_recalibrate": 256},
}


def test_a_run_of_the_first_version_is_taken_up(tmp_path):
    options = saved_options(_saved(tmp_path, FORMER), {})
    assert options == replace(
        TrainingOptions(),
        recipe="best",
        data_path=("a", "b"),
        train_on_validation=True,
        stages=(
            Stage(38, ((128, 1.0),), average_at_end=True),
            Stage(2, ((256, 1.0),), average_at_end=True),
        ),
        encoder_weights="f.h5",
        use_se=False,
        use_discriminator=False,
        epochs=40,
        learning_rate=1e-3,
        beta_1=0.9,
        schedule="cosine",
        warmup_epochs=2,
        restart_epochs=(20,),
        min_learning_rate=1e-5,
        ema=0.995,
        loss="structure",
        monitor="last",
        augmentation="mild",
    )
    slower = {**FORMER, "encoder_lr_factor": 0.3}
    with pytest.raises(UserError, match="encoder_lr_factor, which is gone"):
        saved_options(_saved(tmp_path, slower), {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "is not a run's configuration"),
        ({"model": "unet"}, "is not a run's configuration"),
        ({"model": ["lgps"]}, "is not a run's configuration"),
        *[
            ({**asdict(TrainingOptions()), name: value}, f"configuration.*--{name} ")
            for name, value in (
                ("epochs", 2.5),
                ("epochs", None),
                ("batch_size", True),
                ("use_se", 1),
                ("data_path", "x"),
                ("initial_weights", 3),
                ("fold", 3),
                ("fold", "3/2"),
            )
        ],
        ({**asdict(TrainingOptions()), "ema": 2}, "is not a run's configuration.*ema"),
        ({**asdict(TrainingOptions()), "stages": [3]}, "is not a run's configuration"),
        ({**asdict(TrainingOptions()), "lr": 1}, r"another version .*\(lr\)"),
    ],
)
def test_a_configuration_that_is_none_of_ours_is_refused(options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        saved_options(_saved(tmp_path, options), {})


@pytest.mark.parametrize(
    "flags",
    [
        ["--val_fraction", "1"],
        ["--image_size", "0"],
        ["--image_size", "1000000"],
        ["--epochs", "few"],
        ["--batch_size", "0"],
        ["--learning_rate", "0"],
        ["--learning_rate", "nan"],
        ["--ema", "1"],
        ["--seed", "4294967296"],
        ["--stages", "192=30,256=40,192=30:5"],
        ["--fold", "0/4"],
        ["--fold", "2"],
    ],
)
def test_impossible_values_exit_2(flags):
    with pytest.raises(SystemExit) as error:
        train.parse_args(flags)
    assert error.value.code == 2


def test_an_adversarial_weight_brings_the_discriminator_back():
    flags = ["--data_path", "x", "--recipe", "best"]
    assert not new_options(_given(*flags)).use_discriminator
    flags += ["--adversarial_weight", "0.1"]
    assert new_options(_given(*flags)).use_discriminator


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--no_discriminator", "--crf", "meanfield"], "--no_discriminator leaves"),
        (["--train_on_validation", "--val_data_path", "y"], "is not for sets of"),
        (["--fold", "1/4", "--val_data_path", "y"], "--fold is not for sets of"),
        (["--teacher", "maps.npz"], "--teacher is for training with --no_disc"),
        (["--threshold_from", "runs/a"], "is for a run with --train_on_validation"),
        (["--stages", "32:2", "--early_stop_patience", "3"], "of fixed length"),
        (["--monitor", "last", "--early_stop_patience", "3"], "other than last"),
        (["--teacher_weight", "2"], "--teacher_weight has no effect without --teacher"),
        (["--warmup_epochs", "2"], "--warmup_epochs has no effect with --schedule pl"),
        (
            ["--schedule", "cosine", "--plateau_patience", "9"],
            "plateau_patience has no",
        ),
        (["--stages", "32:2:average"], ":average needs --ema"),
        (
            ["--recipe", "best", "--learning_rate", "1e-4"],
            "--min_learning_rate 0.0002, at which .* above --learning_rate 0.0001",
        ),
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        new_options(_given("--data_path", "x", *flags))


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("best_first", "weights/first_run"),
        ("best_second", "weights/second_run"),
        ("teacher_1", "weights/teacher_run"),
        ("student_2", "weights"),
    ],
)
def test_the_shipped_configuration_is_what_make_train_best_runs(name, folder):
    saved = saved_options(RunFolder(ROOT / folder), {})
    make = ["make", "-n", "train-best", f"ENCODER_WEIGHTS={saved.encoder_weights}"]
    commands = subprocess.run(
        make, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.replace("\\\n", " ")
    given = _given(*re.search(rf"train\.py (--name {name} .*)", commands)[1].split())
    del given["name"]
    assert new_options(given) == saved
