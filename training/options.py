"""Options of a training run: what the user gave, the recipe, a run's saved ones."""

import json
import os
import sys
import time
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from cli.command import UserError
from data.arrays import is_prepared
from training.recipes import BEST_CHANGES, DEMO_CHANGES, RECIPES

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
DEMO_PATH = DATA / "demo"
CONFIG_FILE = "config.json"
BEST_FILE = "best.h5"
VALIDATION_FILE = "validation.json"

DEFAULTS = {
    "model": "lgps",
    "recipe": "published",
    "demo": False,
    "data_path": None,
    "val_data_path": None,
    "val_fraction": 0.1,
    "train_on_validation": False,
    "image_size": None,
    "stages": None,
    "no_shuffle": False,
    "encoder_weights": None,
    "precision": "auto",
    "strategy": "auto",
    "binarised_val_loss": False,
}
MODEL_DEFAULTS = {
    "lgps": {
        "no_se": False,
        "adversarial_weight": 0.0,
        "crf": "published",
        "no_discriminator": False,
    },
    "pvtseg": {"encoder": "pvt_v2_b3"},
}
# What may differ when a run is taken up again.
CHANGEABLE = ("epochs", "strategy", "demo")


def run_folder(name: str | None, out_dir: str | None, default_name: str) -> Path:
    """The folder of a run: `runs/NAME`, OUT_DIR, or OUT_DIR/NAME when both are given.

    Args:
        name: the run's name, or None.
        out_dir: the folder asked for, or None.
        default_name: used when neither is given.
    """
    if out_dir and not name:
        return Path(out_dir)
    root = Path(out_dir) if out_dir else _shown(ROOT / "runs")
    return root / (name or default_name)


def default_name(given: dict[str, Any]) -> str:
    """A name for a run without one: `demo`, or model and time."""
    if given.get("demo"):
        return "demo"
    model = given.get("model", DEFAULTS["model"])
    return time.strftime(f"{model}_%Y%m%d_%H%M%S")


def new_options(given: dict[str, Any]) -> dict[str, Any]:
    """Completes the given flags from the model's recipe.

    Args:
        given: the flags on the command line, by name.

    Returns:
        Every option of the run.

    Raises:
        UserError: when there is no prepared dataset to train on, or a flag does not
            belong to the model.
    """
    model = given.get("model", DEFAULTS["model"])
    options = _published_options(model)
    foreign = [f"--{name}" for name in given if name not in options]
    if foreign:
        raise UserError(f"{', '.join(foreign)} does not belong to --model {model}")
    if given.get("recipe") == "best":
        if model not in BEST_CHANGES:
            raise UserError(f"There is no --recipe best for --model {model}")
        options |= BEST_CHANGES[model]
    if given.get("demo"):
        options |= {k: v for k, v in DEMO_CHANGES.items() if k in options}
        options["data_path"] = [str(_shown(DEMO_PATH))]
    if given.get("adversarial_weight") or "crf" in given:
        if given.get("no_discriminator"):
            raise UserError("--no_discriminator leaves nothing for its other flags")
        options["no_discriminator"] = False
    options |= given
    if options["train_on_validation"] and options["val_data_path"]:
        raise UserError("--train_on_validation is not for sets of --val_data_path")
    if options["stages"]:
        if "epochs" in given or options["image_size"]:
            raise UserError(
                "--stages (--recipe best has them) takes the place of --epochs and "
                "--image_size; give --stages SIZE:EPOCHS instead"
            )
        if given.get("early_stop_patience"):
            raise UserError("--stages are of fixed length: no --early_stop_patience")
        options["early_stop_patience"] = 0
        options["epochs"] = sum(epochs for _, epochs in options["stages"])
    if options["early_stop_patience"] and options["monitor"] == "last":
        raise UserError("--early_stop_patience needs a --monitor other than last")
    if options["schedule"] == "cosine":
        bounds = [options["warmup_epochs"], *options["restart_epochs"]]
        if any(a >= b for a, b in pairwise([*bounds, options["epochs"]])):
            raise UserError(
                f"--warmup_epochs and --restart_epochs ({', '.join(map(str, bounds))})"
                f" do not ascend within the run's {options['epochs']} epochs"
            )
    if options["encoder_weights"] == "none":
        options["encoder_weights"] = None
    if not options["data_path"]:
        options["data_path"] = _found_datasets()
    return options


def saved_options(folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The options of a run that is taken up again.

    Args:
        folder: the run's folder.
        given: the flags on the command line; only some may differ from the saved.

    Raises:
        UserError: when there is no such run, or a flag contradicts it.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        runs = sorted(str(p.parent) for p in folder.parent.glob(f"*/{CONFIG_FILE}"))
        listed = f"; runs there: {', '.join(runs)}" if runs else ""
        raise UserError(f"There is no run to resume in {folder}{listed}")
    try:
        saved = json.loads(path.read_text())["options"]
        strange = saved.keys() ^ _published_options(saved["model"]).keys()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a run's configuration: {error}") from error
    if strange:
        raise UserError(
            f"{path} is of another version of this project, whose options differ "
            f"({', '.join(sorted(strange))}); start anew with another --name"
        )
    changeable = set(CHANGEABLE)
    if saved.get("stages") or saved.get("schedule") == "cosine" or saved.get("ema"):
        changeable.remove("epochs")  # laid out for them; an average ends in the last
    changed = [
        f"--{name} {value} (was {saved.get(name)})"
        for name, value in given.items()
        if name not in changeable and saved.get(name) != value
    ]
    if changed:
        raise UserError(f"The run in {folder} cannot go on with {', '.join(changed)}")
    return {**saved, **given}


def show_options(options: dict[str, Any]) -> str:
    """The options as `name=value`, several to a line."""
    words = [f"{name}={value}" for name, value in options.items() if value is not None]
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) > 86:
            lines.append(line)
            line = ""
        line += f"  {word}"
    return "\n".join([*lines, line])


def default_verbose() -> int:
    """A moving progress bar on a terminal, a line per epoch in a log file."""
    return 1 if sys.stdout.isatty() else 2


def _published_options(model: str) -> dict[str, Any]:
    return {**DEFAULTS, **MODEL_DEFAULTS[model], **asdict(RECIPES[model])}


def _found_datasets() -> list[str]:
    folders = [p for p in sorted(DATA.glob("*/")) if p != DEMO_PATH and is_prepared(p)]
    if not folders:
        raise UserError(
            "No prepared dataset under data/. Prepare one with `python "
            "Preprocess_SEG.py` or `python Preprocess_CVC_CliniCDB.py`, give its place "
            "with --data_path, or train on drawn frames with --demo"
        )
    return [str(_shown(folder)) for folder in folders]


def _shown(path: Path) -> Path:
    """A path relative to the working directory where it lies within."""
    relative = Path(os.path.relpath(path))
    return path if relative.parts[:1] == ("..",) else relative
