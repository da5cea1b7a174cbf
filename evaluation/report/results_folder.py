"""Writes the results folder of a model on a dataset, `results/<model>/<dataset>/`."""

import csv
from pathlib import Path

from cli.command import UserError
from cli.files import make_folder, parse_json, replacing, write_json, write_text
from data.splits import pranet_training_names
from evaluation.analysis.slices import frame_findings, slice_scores
from evaluation.analysis.statistics import intervals
from evaluation.cases import CaseSet, MapSource
from evaluation.report.tables import (
    format_score,
    latex_table,
    markdown_table,
    paper_table,
    rules_list,
    scores_table,
    slices_table,
)
from evaluation.report.video_tables import video_metrics, video_tables
from evaluation.scoring import SetScores
from evaluation.video.scoring import VideoScores
from models.run_folder import RunFolder
from models.shipped import SHIPPED_WEIGHTS

METRICS_FILE = "metrics.json"


def claim_folder(root: Path, maps: MapSource, case_set: CaseSet) -> Path:
    """Makes the results folder, and refuses one with another model's or set's scores.

    Args:
        root: the results root.
        maps: the source of the maps.
        case_set: the set about to be scored.

    Returns:
        The folder.

    Raises:
        UserError: the folder cannot be made, or holds scores of another checkpoint or
            dataset of the same name, which would be lost.
    """
    folder = root / maps.label / case_set.name
    metrics = folder / METRICS_FILE
    make_folder(folder)
    try:
        before = dict(parse_json(metrics.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return folder
    for key, now in (("model_path", maps.source), ("data_path", case_set.path)):
        then = before.get(key)
        if then and Path(then) != Path(now).resolve() and Path(then).exists():
            raise UserError(
                f"{folder} holds the scores of {then}, not of {now}; give another "
                "--out_dir, or delete that folder"
            )
    return folder


def write_metrics(
    folder: Path,
    maps: MapSource,
    case_set: CaseSet,
    scores: SetScores,
    video: VideoScores | None = None,
) -> dict:
    """Writes `metrics.json`, floats unrounded, and returns its content.

    Args:
        folder: the results folder.
        maps: the source of the maps.
        case_set: the scored set.
        scores: its scores.
        video: the scores of its sequences, if it was judged as video.
    """
    metrics = {
        "dataset": case_set.name,
        "model": maps.label,
        "images": len(scores),
        "protocols": scores.table(),
        "intervals": intervals(scores),
        "groups": len(set(scores.column("group"))),
        "threshold": scores.threshold,
        "findings": frame_findings(scores),
        "slices": slice_scores(scores),
        "rules": {protocol.name: protocol.rules for protocol in scores.protocols},
        "view": maps.view,
        "images_per_second": maps.images_per_second,
        "note": training_note(maps, case_set),
        "model_path": str(Path(maps.source).resolve()),
        "data_path": str(case_set.path.resolve()),
    }
    if video:
        metrics["video"] = video_metrics(video)
    write_json(folder / METRICS_FILE, metrics)
    return metrics


def trained_names(maps: MapSource, case_set: CaseSet) -> frozenset[str]:
    """Names the cases of the set that the shipped weights were trained on.

    It holds for their exports too; of other models nothing is known. Images that were
    held back for validation are not among them.
    """
    checkpoint = Path(maps.checkpoint).resolve()
    if checkpoint not in SHIPPED_WEIGHTS.values():
        return frozenset()
    validation = RunFolder.of_checkpoint(checkpoint).read_validation()
    names = frozenset(pranet_training_names(case_set.name))
    if validation and not validation.trained_on:
        names -= validation.image_names  # the two training lists share no name
    return names.intersection(case_set.names)


def training_note(maps: MapSource, case_set: CaseSet) -> str:
    """Says how many images of the set are known to be trained on; else ""."""
    seen = trained_names(maps, case_set)
    if not seen:
        return ""
    return (
        f"{len(seen)} of {len(case_set)} images of {case_set.name} were in the "
        f"training of {Path(maps.checkpoint).name}; scores on them are not of unseen "
        "images."
    )


def write_per_image(folder: Path, scores: SetScores) -> None:
    """Writes `per_image.csv`, one row per case, in the set's order.

    The first columns are the facts of `SetScores.cases`; a column `protocol.score`
    holds a protocol's score of that image alone.
    """
    columns = {key: scores.column(key) for key in scores.cases[0]}
    for protocol in scores.protocols:
        per_image = protocol.scores(scores.statistics[protocol.name])
        for name in protocol.image_means:
            columns[f"{protocol.name}.{name}"] = per_image[name]
    with (
        replacing(folder / "per_image.csv") as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_tables(
    folder: Path, metrics: dict, scores: SetScores, video: VideoScores | None = None
) -> str:
    """Writes `README.md`, `table.md` and `table.tex`.

    Returns:
        The note, if any, the table of all protocols, the rules of each, and the tables
        of the sequences, if the set was judged as video.
    """
    table = scores_table(metrics["protocols"])
    table += f"\n\n{rules_list(scores.protocols)}"
    if video:
        table += f"\n\n{video_tables(video)}"
    if metrics["note"]:
        table = f"{metrics['note']}\n\n{table}"
    speed = metrics["images_per_second"]
    speed = f", {speed:.1f} images/s after warm-up" if speed else ""
    text = f"""# {metrics["model"]} on {metrics["dataset"]}

{metrics["images"]} images{speed}.

{table}

{slices_table(metrics["slices"])}

The scores of the slices are means over images at the network's size, with threshold
{metrics["threshold"]:g}. `found` is the share of polyps that a predicted region matches
with an IoU above 0.5. `FP` is the number of predicted regions per image that match no
polyp. A size holds the images whose polyps have that area together; its `polyps` are
single polyps of that area, in whatever image.

`metrics.json` holds these numbers unrounded, with 95 % intervals. `per_image.csv` has
one row per image, with scores at the network's size and distances in pixels. `table.md`
and `table.tex` are for papers. `report.html` shows every case.

![best, median and worst cases](qualitative.png)
"""
    write_text(folder / "README.md", text)
    write_text(folder / "table.md", paper_table(metrics))
    write_text(folder / "table.tex", latex_table(metrics))
    return table


def write_summary(folder: Path, results: dict[str, SetScores]) -> str:
    """Writes `summary.md`: the first two scores of each protocol on every dataset."""
    tables = {name: scores.table() for name, scores in results.items()}
    shown = [
        (protocol, score)
        for protocol, scores in next(iter(tables.values())).items()
        for score in list(scores)[:2]
    ]
    head = ["dataset", "images", *(f"{p} {s}" for p, s in shown)]
    rows = [
        [name, str(len(results[name]))]
        + [format_score(score, table[protocol][score]) for protocol, score in shown]
        for name, table in tables.items()
    ]
    text = markdown_table(head, rows)
    write_text(folder / "summary.md", text)
    return text
