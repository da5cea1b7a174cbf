"""The threshold that was chosen for a model on the validation images of its run."""

from pathlib import Path

from cli.command import UserError
from deploy.card import card_path, read_card
from models.run_folder import BEST_CHECKPOINT, RunFolder, Validation
from models.shipped import SHIPPED_WEIGHTS


def read_threshold(wanted: float | str | None, model_path: Path) -> float | None:
    """Returns the threshold asked for; for `auto`, the one chosen by the model's run.

    Args:
        wanted: a number, None or `"auto"`.
        model_path: a checkpoint, or a file of Export.py, whose card holds the
            threshold.

    Raises:
        UserError: for `auto`, when the run has chosen none.
    """
    if wanted != "auto":
        return wanted
    if model_path.suffix != ".h5":
        threshold = read_card(model_path).get("threshold")
        if not isinstance(threshold, float) or not 0 < threshold < 1:
            raise UserError(
                f"--threshold auto: {card_path(model_path)} names no threshold; "
                "give a number"
            )
        return threshold
    if not is_best(model_path):
        raise UserError(
            f"--threshold auto is known for a run's {BEST_CHECKPOINT} only, not for "
            f"{model_path}; give a number"
        )
    validation = scored_validation(model_path)
    chosen = validation and validation.chosen_threshold
    if chosen is None:
        file = RunFolder.of_checkpoint(model_path).validation
        fault = "its images were trained on too" if validation else "it is not there"
        raise UserError(f"--threshold auto needs {file}, but {fault}; give a number")
    return chosen


def scored_validation(checkpoint: Path) -> Validation | None:
    """How a checkpoint scored on its run's validation images; None: unknown."""
    if not is_best(checkpoint):
        return None
    return RunFolder.of_checkpoint(checkpoint).read_validation()


def is_best(checkpoint: Path) -> bool:
    """Whether a checkpoint is the one that its run's validation scores are of."""
    shipped = checkpoint.resolve() in SHIPPED_WEIGHTS.values()
    return shipped or checkpoint.name == BEST_CHECKPOINT
