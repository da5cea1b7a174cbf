"""Figures of a scored set, drawn without a screen."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from evaluation.cases import Case
from evaluation.panels import (
    PANEL_NAMES,
    PREDICTION_COLOUR,
    TRUTH_COLOUR,
    draw_panels,
)
from evaluation.scoring import SetScores

CASES_PER_KIND = 2


def pick_cases(scores: SetScores) -> dict[int, str]:
    """Chooses which cases to show: best, median and worst by per-image Dice.

    Returns:
        case index → "best", "median" or "worst"; no case twice.
    """
    ranked = scores.ranked()[::-1]  # best first
    middle = (len(ranked) - CASES_PER_KIND) // 2
    middle = max(0, middle)
    kinds = {
        "best": ranked[:CASES_PER_KIND],
        "worst": ranked[-CASES_PER_KIND:],
        "median": ranked[middle : middle + CASES_PER_KIND],
    }
    chosen: dict[int, str] = {}
    for kind in ("best", "median", "worst"):
        for index in kinds[kind]:
            chosen.setdefault(int(index), kind)
    return chosen


def draw_qualitative(
    cases: Sequence[Case], captions: Sequence[str], path: Path, title: str
) -> None:
    """Draws one row per case: image, truth, prediction, heatmap and overlay.

    Args:
        cases: predicted cases.
        captions: one per case, such as "worst · Dice 0.07".
        path: the PNG to write.
        title: heading of the figure.
    """
    figure = Figure(figsize=(11.5, 0.9 + 1.85 * len(cases)), layout="constrained")
    grid = figure.subplots(len(cases), len(PANEL_NAMES), squeeze=False)
    for row, case, caption in zip(grid, cases, captions, strict=True):
        panels = draw_panels(case)
        for axes, picture in zip(row, panels.values(), strict=True):
            axes.imshow(picture)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"{caption}\n{_shorten(case.name)}", fontsize=8)
    for axes, name in zip(grid[0], PANEL_NAMES, strict=True):
        axes.set_title(name, fontsize=10)
    _add_heatmap_scale(figure, grid)
    figure.legend(
        handles=[
            Line2D([], [], color=np.array(TRUTH_COLOUR) / 255, label="truth"),
            Line2D([], [], color=np.array(PREDICTION_COLOUR) / 255, label="prediction"),
        ],
        loc="outside lower right",
        ncols=2,
        fontsize=8,
        frameon=False,
    )
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)


def _add_heatmap_scale(figure: Figure, grid: np.ndarray) -> None:
    scale = ScalarMappable(cmap="inferno")
    scale.set_clim(0, 1)
    bar = figure.colorbar(scale, ax=grid, shrink=min(1.0, 1.5 / len(grid)), pad=0.01)
    bar.set_label("probability of polyp", fontsize=8)
    bar.ax.tick_params(labelsize=8)


def _shorten(name: str, most: int = 24) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
