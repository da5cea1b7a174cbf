"""Formats scores as text: Markdown tables for screen and files, LaTeX for papers."""

import re
from collections.abc import Sequence

from evaluation.protocols.base import Protocol
from evaluation.report.anchors import find_anchors

PIXEL_SCORES = {"row_hd", "hausdorff", "hd95"}  # in pixels, lower is better


def format_score(name: str, value: float | None) -> str:
    """Formats a score: two digits in pixels, else four; a dash for None."""
    if value is None:
        return "–"
    return f"{value:.2f}" if name in PIXEL_SCORES else f"{value:.4f}"


def markdown_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1
) -> str:
    """Formats an aligned Markdown table, its first columns text, the others numbers."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]
    is_text = [place < text_columns for place in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(cells, widths, is_text, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        f":{'-' * (width - 1)}" if text else f"{'-' * (width - 1)}:"
        for width, text in zip(widths, is_text, strict=True)
    ]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def scores_table(table: dict[str, dict[str, float]]) -> str:
    """Formats a set's scores: one row per score, one column per protocol."""
    names = list(dict.fromkeys(name for scores in table.values() for name in scores))
    rows = [
        [name, *(format_score(name, scores.get(name)) for scores in table.values())]
        for name in names
    ]
    return markdown_table(["score", *table], rows)


def rules_list(protocols: Sequence[Protocol]) -> str:
    """Lists the rules of each protocol in Markdown."""
    return "\n".join(f"- **{p.name}**: {p.rules}" for p in protocols)


def slices_table(slices: Sequence[dict]) -> str:
    """Formats `slices.slice_scores`: one row per slice."""
    head = ["slice", "images", "dice", "95 %", "iou", "hd95", "polyps", "found", "FP"]
    rows = [
        [
            part["slice"],
            str(part["images"]),
            format_score("dice", part["dice"]),
            format_interval("dice", part["dice_interval"]),
            format_score("iou", part["iou"]),
            format_score("hd95", part["hd95"]),
            str(part["polyps"]),
            format_share(part["lesion_recall"]),
            f"{part['false_positives']:.2f}",
        ]
        for part in slices
    ]
    return markdown_table(head, rows)


def format_interval(name: str, interval: Sequence[float] | None) -> str:
    """Formats an interval, such as "0.872–0.921"."""
    if interval is None:
        return "–"
    digits = 1 if name in PIXEL_SCORES else 3
    return "–".join(f"{end:.{digits}f}" for end in interval)


def format_share(share: float | None) -> str:
    """Formats a share in per cent; a dash for None."""
    return "–" if share is None else f"{100 * share:.1f} %"


def paper_rows(metrics: dict, protocol: str) -> list[list[str]]:
    """Lays out a protocol's table: head, the model's row, rows of published models."""
    scores = metrics["protocols"][protocol]
    rows = [(metrics["model"], scores)] + [
        (f"{anchor.model}, published", anchor.scores)
        for anchor in find_anchors(metrics["dataset"], protocol)
    ]
    return [[protocol, *scores]] + [
        [model, *(format_score(name, values.get(name)) for name in scores)]
        for model, values in rows
    ]


def paper_table(metrics: dict) -> str:
    """Formats one Markdown table per protocol: a row per model, a column per score."""
    tables = [f"{metrics['dataset']}, {metrics['images']} images"]
    for protocol in metrics["protocols"]:
        head, *rows = paper_rows(metrics, protocol)
        tables.append(markdown_table(head, rows))
    return "\n\n".join(tables)


def latex_table(metrics: dict) -> str:
    """Formats the same tables in LaTeX, with the rules of the `booktabs` package."""
    tables = ["% needs \\usepackage{booktabs}"]
    for protocol in metrics["protocols"]:
        lines = [
            f"{' & '.join(map(escape_latex, row))} \\\\"
            for row in paper_rows(metrics, protocol)
        ]
        caption = f"{metrics['dataset']}, {metrics['images']} images: {protocol}."
        columns = "l" + "r" * len(metrics["protocols"][protocol])
        tables.append(
            "\n".join(
                [
                    "\\begin{table}",
                    "\\centering",
                    f"\\caption{{{escape_latex(caption)}}}",
                    f"\\begin{{tabular}}{{{columns}}}",
                    "\\toprule",
                    lines[0],
                    "\\midrule",
                    *lines[1:],
                    "\\bottomrule",
                    "\\end{tabular}",
                    "\\end{table}",
                ]
            )
        )
    return "\n\n".join(tables)


def escape_latex(text: str) -> str:
    """Escapes the characters that LaTeX would interpret."""
    words = {"\\": "backslash", "^": "asciicircum", "~": "asciitilde"}
    return re.sub(
        r"[&%$#_{}\\^~]",
        lambda found: (
            f"\\text{words[found[0]]}{{}}" if found[0] in words else f"\\{found[0]}"
        ),
        text,
    )
