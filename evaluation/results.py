"""The results folder of one model on one dataset: `results/<model>/<dataset>/`."""

import csv
import json
import os
from pathlib import Path

from data.cli import UserError
from evaluation.cases import CaseSet
from evaluation.scoring import SetScores
from evaluation.tables import rules_list, scores_table

METRICS_FILE = "metrics.json"
RUN_CHECKPOINT = "best"  # runs/NAME/best.h5 is known by its run's name


def model_label(path: str | Path) -> str:
    """What a checkpoint is called in results: its run's name, or its file's stem."""
    path = Path(path).resolve()
    return path.parent.name if path.stem == RUN_CHECKPOINT else path.stem


def claim_folder(
    root: str | Path, model: str, case_set: CaseSet, source: str | Path
) -> Path:
    """Names the results folder, and refuses one that holds other things' scores.

    Args:
        root: the results root.
        model: label of the model.
        case_set: the set about to be scored.
        source: the checkpoint, or the folder of saved maps.

    Raises:
        UserError: the folder holds scores of another checkpoint or dataset of the same
            name, which would be lost.
    """
    folder = Path(root) / model / case_set.name
    metrics = folder / METRICS_FILE
    if metrics.is_file():
        try:
            before = json.loads(metrics.read_text())
        except ValueError:
            before = {}
        for key, now in (("model_path", source), ("data_path", case_set.path)):
            then = before.get(key)
            if then and Path(then) != Path(now).resolve() and Path(then).exists():
                raise UserError(
                    f"{folder} holds the scores of {then}, not of {now}; give another "
                    "--out_dir, or delete that folder"
                )
    return folder


def write_metrics(
    folder: Path,
    model: str,
    source: str | Path,
    case_set: CaseSet,
    scores: SetScores,
    images_per_second: float | None,
) -> dict:
    """Writes `metrics.json`, floats unrounded, and returns what it holds."""
    metrics = {
        "dataset": case_set.name,
        "model": model,
        "images": len(scores),
        "protocols": scores.table(),
        "rules": {protocol.name: protocol.rules for protocol in scores.protocols},
        "images_per_second": images_per_second,
        "model_path": str(Path(source).resolve()),
        "data_path": str(case_set.path.resolve()),
    }
    write_text(folder / METRICS_FILE, json.dumps(metrics, indent=1, allow_nan=False))
    return metrics


def write_per_image(folder: Path, scores: SetScores) -> None:
    """Writes `per_image.csv`, one row per case, in the set's order."""
    with (folder / "per_image.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(scores.cases[0]))
        writer.writeheader()
        writer.writerows(scores.cases)


def write_readme(folder: Path, metrics: dict, scores: SetScores) -> str:
    """Writes the folder's `README.md` and returns its table."""
    table = scores_table(metrics["protocols"])
    speed = metrics["images_per_second"]
    speed = f", {speed:.1f} images/s after warm-up" if speed else ""
    text = f"""# {metrics["model"]} on {metrics["dataset"]}

{metrics["images"]} images{speed}.

{table}

{rules_list(scores.protocols)}

`metrics.json` holds the same numbers unrounded, `per_image.csv` every image's (at the
network's size, threshold 0.5, distances in pixels).

![best, median and worst cases](qualitative.png)
"""
    write_text(folder / "README.md", text)
    return table


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8")
    os.replace(partial, path)
