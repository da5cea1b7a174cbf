"""Figures of example cases: image, truth and what the models predict."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cli.files import replacing
from evaluation.cases import Case
from evaluation.report.panels import (
    HEATMAP_NAME,
    PREDICTION_COLOUR,
    TRUTH_COLOUR,
    draw_panels,
)

CASES_PER_KIND = 2

matplotlib.rcParams["text.parse_math"] = False  # a name may hold "$"


def pick_ranked(dice: np.ndarray) -> dict[int, str]:
    """Chooses the best, median and worst cases.

    Args:
        dice: `(N,)` per-image Dice.

    Returns:
        case index → "best", "median" or "worst", by falling Dice; no case twice.
    """
    ranked = np.argsort(-dice, kind="stable")
    middle = max(0, (len(ranked) - CASES_PER_KIND) // 2)
    kinds = {
        "best": ranked[:CASES_PER_KIND],
        "worst": ranked[-CASES_PER_KIND:],
        "median": ranked[middle : middle + CASES_PER_KIND],
    }
    chosen: dict[int, str] = {}
    for kind, indices in kinds.items():
        for index in indices:
            chosen.setdefault(int(index), kind)
    return dict(sorted(chosen.items(), key=lambda item: -dice[item[0]]))


def draw_qualitative(
    cases: Sequence[Case],
    captions: Sequence[str],
    path: Path,
    title: str,
    threshold: float,
) -> None:
    """Draws one row per case: image, truth, prediction, heatmap and overlay.

    Args:
        cases: predicted cases.
        captions: one per case, such as "worst: Dice 0.07".
        path: the PNG to write.
        title: heading of the figure.
        threshold: probabilities above it are predicted to be polyp.
    """
    rows = [_panels(case, threshold) for case in cases]
    figure = Figure(figsize=(11.5, 0.9 + 1.85 * len(cases)), layout="constrained")
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for axes_row, panels in zip(grid, rows, strict=True):
        for axes, picture in zip(axes_row, panels.values(), strict=True):
            axes.imshow(picture)
    for axes, case, caption in zip(grid[:, 0], cases, captions, strict=True):
        axes.set_ylabel(f"{caption}\n{_shorten(case.name)}", fontsize=8)
    for axes, name in zip(grid[0], rows[0], strict=True):
        axes.set_title(name, fontsize=10)
    _finish(figure, grid, path, title)


def draw_side_by_side(
    models: dict[str, Sequence[Case]],
    dice: dict[str, Sequence[float]],
    path: Path,
    title: str,
    thresholds: Sequence[float],
) -> None:
    """Draws the same cases as several models segment them, one row per case.

    Args:
        models: label → its predicted cases, the same cases for each.
        dice: label → per-image Dice of these cases.
        path: the PNG to write.
        title: heading of the figure.
        thresholds: of each model's predictions.
    """
    first = next(iter(models.values()))
    columns = 2 + 2 * len(models)
    figure = Figure(
        figsize=(1.5 + 2.1 * columns, 0.9 + 1.85 * len(first)), layout="constrained"
    )
    grid = figure.subplots(len(first), columns, squeeze=False)
    for place, (label, threshold) in enumerate(zip(models, thresholds, strict=True)):
        for row, case, score in zip(grid, models[label], dice[label], strict=True):
            panels = _panels(case, threshold)
            row[0].imshow(panels["image"])
            row[0].set_ylabel(_shorten(case.name), fontsize=8)
            row[1].imshow(panels["truth"])
            row[2 + 2 * place].imshow(panels["heatmap"])
            row[3 + 2 * place].imshow(panels["overlay"])
            row[3 + 2 * place].set_xlabel(f"Dice {score:.3f}", fontsize=8)
    heads = ["image", "truth"]
    for label in models:
        heads += [f"{_shorten(label)}\nheatmap", f"{_shorten(label)}\noverlay"]
    for axes, head in zip(grid[0], heads, strict=True):
        axes.set_title(head, fontsize=9)
    _finish(figure, grid, path, title)


def _panels(case: Case, threshold: float) -> dict[str, np.ndarray]:
    return draw_panels(case.image, case.truth, case.probability, threshold=threshold)


def _finish(figure: Figure, grid: np.ndarray, path: Path, title: str) -> None:
    """Adds colour scale, legend and heading, and saves the figure."""
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
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
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110)


def _add_heatmap_scale(figure: Figure, grid: np.ndarray) -> None:
    scale = ScalarMappable(cmap=HEATMAP_NAME)
    scale.set_clim(0, 1)
    bar = figure.colorbar(scale, ax=grid, shrink=min(1.0, 1.5 / len(grid)), pad=0.01)
    bar.set_label("probability of polyp", fontsize=8)
    bar.ax.tick_params(labelsize=8)


def _shorten(name: str, most: int = 24) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
