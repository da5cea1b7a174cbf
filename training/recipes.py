"""What each model is trained with unless the command line says otherwise."""

import os
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from cli.command import UserError
from data.arrays import is_prepared
from models.run_folder import RunFolder
from training.options import Stage, TrainingOptions, flag_of

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
DEMO_PATH = DATA / "demo"

# LGPS's released training script. Not published are the seed, augmentation on the fly
# (published: once, at preprocessing) and re-estimated statistics (published: none).
LGPS = TrainingOptions()

PUBLISHED = {
    "lgps": LGPS,
    # PVTSeg's released training script.
    "pvtseg": replace(
        LGPS,
        model="pvtseg",
        epochs=500,
        learning_rate=1e-4,
        beta_1=0.9,
        clipvalue=0.0,
        plateau_factor=0.1,
        plateau_patience=5,
        min_learning_rate=0.0,
        loss="pvtseg",
        monitor="val_dice",
        early_stop_patience=50,
        augmentation="pvtseg",
        bn_recalibrate=0,
    ),
}

# `--recipe best`: how the shipped weights began (`make train-best`). Sizes grow as the
# rate falls, so that the early passes are cheap; docs/recipe.md tells which parts were
# compared.
BEST = {
    "stages": (
        Stage(28, ((128, 30.0), (160, 40.0), (192, 30.0))),
        Stage(12, ((192, 40.0), (256, 60.0))),
        Stage(6, ((256, 1.0),), "mild"),
    ),
    "epochs": 46,
    "batch_size": 8,  # two views of each
    "consistency": 1.0,
    "learning_rate": 1e-3,
    "beta_1": 0.9,
    "weight_decay": 1e-2,
    "clipvalue": 0.0,
    "clipnorm": 5.0,
    "schedule": "cosine",
    "warmup_epochs": 2,
    "min_learning_rate": 2e-4,
    "ema": 0.999,
    "loss": "structure_dice",
    "deep_supervision": True,
    "logit_scale": 3.0,
    "monitor": "last",
    "augmentation": "halfway",
    "use_discriminator": False,
}

# `--recipe finetune`: how they went on, before they were averaged
# (`tools/average_checkpoints.py`). It serves other images too.
FINETUNE_SIZES = ((192, 15.0), (256, 60.0), (320, 25.0))
FINETUNE = BEST | {
    "initial_weights": "lgps",
    "stages": (Stage(13, FINETUNE_SIZES), Stage(7, FINETUNE_SIZES, "mild")),
    "epochs": 20,
    "learning_rate": 5e-4,
    "warmup_epochs": 1,
    "min_learning_rate": 1e-4,
}
RECIPES = {("best", "lgps"): BEST, ("finetune", "lgps"): FINETUNE}

# `--demo`: minutes on two CPU cores, from random weights. The discriminator is left
# out: at weight 0 it takes half the time and changes nothing.
DEMO = {
    "stages": (),
    "epochs": 25,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "bn_recalibrate": 96,
    "use_discriminator": False,
}

# The flags that only one schedule of the learning rate reads.
OF_SCHEDULE = {
    "plateau": ("plateau_factor", "plateau_patience"),
    "cosine": ("warmup_epochs", "restart_epochs"),
}


def new_options(given: Mapping[str, Any]) -> TrainingOptions:
    """Completes the given values from the model's recipe.

    Args:
        given: field name → value, of the flags on the command line.

    Raises:
        UserError: when there is no prepared dataset to train on, or a flag does not
            belong to the model or contradicts another.
    """
    model = given.get("model", LGPS.model)
    options = PUBLISHED[model]
    _refuse_foreign(model, given)
    changes: dict[str, Any] = {}
    recipe = given.get("recipe", "published")
    if recipe != "published":
        if (recipe, model) not in RECIPES:
            raise UserError(f"There is no --recipe {recipe} for --model {model}")
        changes |= RECIPES[recipe, model]
    if given.get("demo"):
        changes |= DEMO | {"data_path": (str(shown(DEMO_PATH)),)}
    if given.get("adversarial_weight") or "crf" in given:
        if given.get("use_discriminator") is False:
            raise UserError("--no_discriminator leaves nothing for its other flags")
        changes["use_discriminator"] = True
    if "teacher_weight" in given and not given.get("teacher"):
        raise UserError("--teacher_weight has no effect without --teacher")
    changes |= {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
    }
    if changes.get("stages"):
        if "epochs" in given:
            raise UserError(
                "--stages (--recipe best has them) takes the place of --epochs; give "
                "--stages SIZE:EPOCHS instead"
            )
        changes["epochs"] = sum(stage.epochs for stage in changes["stages"])
        changes.setdefault("early_stop_patience", 0)
    if changes.get("encoder_weights") == "none":
        changes["encoder_weights"] = None
    if not changes.get("data_path"):
        changes["data_path"] = found_datasets()
    completed = replace(options, **changes)
    _refuse_other_schedules(completed.schedule, given)
    return completed


def _refuse_other_schedules(schedule: str, given: Mapping[str, Any]) -> None:
    for other, names in OF_SCHEDULE.items():
        idle = [f"--{name}" for name in names if given.get(name)]
        if idle and schedule != other:
            raise UserError(
                f"{', '.join(idle)} has no effect with --schedule {schedule}"
            )


def _refuse_foreign(model: str, given: Mapping[str, Any]) -> None:
    foreign = [
        flag_of(one.name, one.default)
        for one in fields(TrainingOptions)
        if one.name in given and one.metadata["model"] not in (None, model)
    ]
    if foreign:
        raise UserError(f"{', '.join(foreign)} does not belong to --model {model}")


def found_datasets() -> tuple[str, ...]:
    """The prepared datasets under `data/`, without the drawn one.

    Raises:
        UserError: there is none.
    """
    folders = [p for p in sorted(DATA.glob("*/")) if p != DEMO_PATH and is_prepared(p)]
    if not folders:
        raise UserError(
            "No prepared dataset under data/. Prepare one with `python "
            "Preprocess_SEG.py` or `python Preprocess_CVC_CliniCDB.py`, give its place "
            "with --data_path, or train on drawn frames with --demo"
        )
    return tuple(str(shown(folder)) for folder in folders)


def run_folder(name: str | None, out_dir: str | None, default_name: str) -> RunFolder:
    """The folder of a run: `runs/NAME`, OUT_DIR, or OUT_DIR/NAME when both are given.

    Args:
        name: the run's name, or None.
        out_dir: the folder asked for, or None.
        default_name: used when neither is given.
    """
    if out_dir and not name:
        return RunFolder(out_dir)
    root = Path(out_dir) if out_dir else shown(ROOT / "runs")
    return RunFolder(root / (name or default_name))


def default_name(given: Mapping[str, Any]) -> str:
    """A name for a run without one: `demo`, or model and time."""
    if given.get("demo"):
        return "demo"
    return time.strftime(f"{given.get('model', LGPS.model)}_%Y%m%d_%H%M%S")


def shown(path: Path) -> Path:
    """A path relative to the working directory where it lies within."""
    relative = Path(os.path.relpath(path))
    return path if relative.parts[:1] == ("..",) else relative
