"""Writes the comparison of several models on one set: table, JSON and figure."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from cli.files import make_folder, write_json, write_text
from evaluation.analysis.comparison import Difference, compare, mean_and_deviation
from evaluation.cases import CaseSet, MapSource
from evaluation.report.qualitative import draw_side_by_side, pick_ranked
from evaluation.report.tables import format_score, markdown_table
from evaluation.scoring import SetScores

LONGEST_NAME = 200  # bytes, of a folder


def comparison_name(labels: Sequence[str]) -> str:
    """The name of a comparison's folder; cut where a file system would refuse it."""
    name = "_vs_".join(labels)
    if len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{labels[0][:40]}_vs_{len(labels) - 1}_others_{digest}"


def write_comparison(
    root: Path,
    sources: Sequence[MapSource],
    case_set: CaseSet,
    scores: dict[str, SetScores],
    seeds: bool = False,
) -> None:
    """Writes `comparison.{md,json,png}` of several models on one set and prints it.

    Args:
        root: the results root.
        sources: the sources of each model's maps.
        case_set: the set that all were scored on.
        scores: label → scores, in the order of `sources`.
        seeds: the models are one model trained with several seeds.
    """
    folder = root / comparison_name(list(scores)) / case_set.name
    make_folder(folder)
    content: dict = {"dataset": case_set.name, "models": list(scores)}
    if seeds:
        content["mean_and_deviation"] = mean_and_deviation(scores)
        table = _seeds_table(content["mean_and_deviation"], len(scores))
    else:
        differences = compare(scores)
        content["differences"] = [asdict(difference) for difference in differences]
        table = _differences_table(differences)
    write_json(folder / "comparison.json", content)
    title = f"{', '.join(scores)} on {case_set.name}"
    write_text(
        folder / "comparison.md",
        f"# {title}\n\n{table}\n\n![side by side](comparison.png)",
    )
    dice = np.mean([one.column("dice") for one in scores.values()], axis=0)
    shown = list(pick_ranked(dice))
    draw_side_by_side(
        {source.label: list(source.cases(case_set, shown)) for source in sources},
        {label: one.column("dice")[shown] for label, one in scores.items()},
        folder / "comparison.png",
        title,
        [one.threshold for one in scores.values()],
    )
    print(f"\n{title}\n\n{table}\n\nside by side: {folder / 'comparison.png'}")


def _differences_table(differences: Sequence[Difference]) -> str:
    rows = [
        [
            f"{d.a} - {d.b}",
            d.protocol,
            d.score,
            _signed(d.score, d.difference),
            _signed_interval(d),
            "–" if d.p_value is None else f"{d.p_value:.3g}",
            "–" if d.p_holm is None else f"{d.p_holm:.3g}",
        ]
        for d in differences
    ]
    head = ["models", "protocol", "score", "difference", "95 %", "p", "p (Holm)"]
    return (
        f"{markdown_table(head, rows, text_columns=3)}\n\n"
        "Intervals: paired bootstrap over groups. p: Wilcoxon signed-rank test over "
        "groups, for scores that are means over images; Holm's correction for all "
        "tests of this table."
    )


def _signed_interval(one: Difference) -> str:
    if one.low is None:
        return "–"
    return f"{_signed(one.score, one.low)} to {_signed(one.score, one.high)}"


def _signed(name: str, value: float) -> str:
    text = format_score(name, value)
    return text if value < 0 else f"+{text}"


def _seeds_table(summary: dict[str, dict[str, list]], count: int) -> str:
    rows = [
        [
            protocol,
            name,
            f"{format_score(name, mean)} ± {format_score(name, deviation)}",
        ]
        for protocol, scores in summary.items()
        for name, (mean, deviation) in scores.items()
    ]
    head = ["protocol", "score", f"mean ± sd of {count} seeds"]
    return markdown_table(head, rows, text_columns=2)
