"""Tables of scores as text: Markdown for the screen and for files."""

from collections.abc import Sequence

from evaluation.protocols import Protocol

PIXEL_SCORES = {"row_hd", "hausdorff", "hd95"}  # in pixels, lower is better


def format_score(name: str, value: float | None) -> str:
    """Three or four significant digits, a dash for what a protocol does not have."""
    if value is None:
        return "–"
    return f"{value:.2f}" if name in PIXEL_SCORES else f"{value:.4f}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An aligned Markdown table, first column to the left, the others to the right."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(3, *(len(cell) for cell in column)) for column in columns]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join([first, *rest])} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (w - 1) + ":" for w in widths[1:])]
    return "\n".join([line(head), f"| {' | '.join(rule)} |", *map(line, rows)])


def scores_table(table: dict[str, dict[str, float]]) -> str:
    """The protocols side by side: one row per score, one column per protocol."""
    names = list(dict.fromkeys(name for scores in table.values() for name in scores))
    rows = [
        [name, *(format_score(name, scores.get(name)) for scores in table.values())]
        for name in names
    ]
    return markdown_table(["score", *table], rows)


def rules_list(protocols: Sequence[Protocol]) -> str:
    """What each protocol's numbers mean, as a Markdown list."""
    return "\n".join(f"- **{p.name}**: {p.rules}" for p in protocols)
