"""The options of a run that is taken up again, in today's form or an earlier one."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from cli.command import UserError
from models.run_folder import RunFolder
from training.options import TrainingOptions, flag_of
from training.recipes import PUBLISHED

# What may differ when a run is taken up again.
CHANGEABLE = {"epochs", "strategy", "demo"}
# Switches that earlier versions saved the other way round.
NEGATED = {
    "no_shuffle": "shuffle",
    "no_se": "use_se",
    "no_discriminator": "use_discriminator",
}
# Options that are gone, with the value that did nothing.
REMOVED = {"encoder_lr_factor": 1.0, "freeze_encoder_bn": False}


def saved_options(run: RunFolder, given: Mapping[str, Any]) -> TrainingOptions:
    """Reads a run's options and changes what may be changed.

    Args:
        run: its folder.
        given: field name → value, of the flags on the command line.

    Raises:
        UserError: when there is no such run, it is of another version of this project,
            or a flag contradicts it.
    """
    saved = _of_any_version(run.read_config().get("options"), run)
    changeable = CHANGEABLE - ({"epochs"} if saved.is_laid_out else set())
    changed = []
    for one in fields(saved):
        if one.name not in given or one.name in changeable:
            continue
        value, before = given[one.name], getattr(saved, one.name)
        value = tuple(value) if isinstance(value, list) else value
        # What `train.py` makes of these words when a run begins.
        value = {
            ("encoder_weights", "none"): None,
            ("precision", "auto"): before,
        }.get((one.name, value), value)
        if value != before:
            flag = flag_of(one.name, one.default)
            said = "" if isinstance(value, bool) else f" {_as_text(value)}"
            changed.append(f"{flag}{said} (was {_as_text(before)})")
    if changed:
        raise UserError(f"The run in {run} cannot go on with {', '.join(changed)}")
    allowed = {name: given[name] for name in changeable if name in given}
    return replace(saved, **allowed)


def _as_text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _of_any_version(content: Any, run: RunFolder) -> TrainingOptions:
    if not isinstance(content, dict) or content.get("model") not in list(PUBLISHED):
        raise UserError(f"{run.config} is not a run's configuration")
    if content.keys() & NEGATED.keys():
        content = _migrated(dict(content), run)
    strange = content.keys() - {one.name for one in fields(TrainingOptions)}
    if strange:
        raise UserError(
            f"{run.config} is of another version of this project, whose options differ "
            f"({', '.join(sorted(strange))}); start anew with another --name"
        )
    try:
        # An option that was added since is off by default, as it was then.
        return TrainingOptions.from_json(content)
    except (ValueError, TypeError, KeyError) as error:
        message = f"{run.config} is not a run's configuration: {error}"
        raise UserError(message) from error


def _migrated(content: dict[str, Any], run: RunFolder) -> dict[str, Any]:
    """Options as versions up to 0.1 saved them, in today's form."""
    for name, inert in REMOVED.items():
        if content.pop(name, inert) != inert:
            raise UserError(
                f"{run} was trained with {name}, which is gone; start anew with "
                "another --name"
            )
    for old, new in NEGATED.items():
        if old in content:
            content[new] = not content.pop(old)
    if "restart_epoch" in content:  # one number; 0: none
        content["restart_epochs"] = [e for e in [content.pop("restart_epoch")] if e]
    # The averaged weights took the place of the others at the end of every stage.
    content["stages"] = [
        {
            "epochs": epochs,
            "sizes": [[side, 1.0]],
            "augmentation": None,
            "average_at_end": content.get("ema", 0) > 0,
        }
        for side, epochs in content.get("stages") or []
    ]
    for name in ("data_path", "val_data_path", "restart_epochs"):  # None: none
        content[name] = content.get(name) or []
    return content
