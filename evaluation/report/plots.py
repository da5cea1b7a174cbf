"""Plots of a scored set for the report page, as inline SVG."""

import io
import re

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.scoring import SetScores
from evaluation.video.frames import IOU_LIMITS, THRESHOLDS
from evaluation.video.scoring import VideoScores
from metrics.calibration import calibration_curve, expected_calibration_error
from metrics.sweep import LEVELS

matplotlib.rcParams["text.parse_math"] = False  # a name may hold "$"

ACCENT, SECOND, FAINT = "#2563a8", "#c2571a", "#9aa3ad"


def _to_svg(figure: Figure, label: str) -> str:
    """Renders an SVG element that can be put into HTML; its text stays text.

    Args:
        figure: the plot.
        label: what it shows, for screen readers; no other plot of a page has the same.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Names that nothing refers to, such as axes_1, would occur in every plot of a page.
    used = set(re.findall(r"#([\w.-]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda name: name[0] if name[1] in used else "", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _new_plot(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plot_slices(slices: list[dict]) -> str:
    """Plots the mean Dice of each slice with its 95 % interval."""
    figure, axes = _new_plot("mean Dice, 95 % interval", "")
    places = np.arange(len(slices))[::-1]
    for place, part in zip(places, slices, strict=True):
        colour = FAINT if part["by"] == "all" else ACCENT
        if ends := part["dice_interval"]:
            axes.plot(ends, [place, place], color=colour, lw=3, alpha=0.4)
        axes.plot(part["dice"], place, "o", color=colour, ms=6)
    labels = [f"{part['slice']}, n = {part['images']}" for part in slices]
    axes.set_yticks(places, labels, fontsize=8)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(slices) - 0.4))
    axes.grid(axis="x", color="#e5e7eb")
    return _to_svg(figure, "mean Dice of each slice with its interval")


def plot_sweep(scores: SetScores) -> str:
    """Plots mean Dice and IoU against the threshold."""
    figure, axes = _new_plot("threshold", "mean over images")
    thresholds = np.arange(LEVELS)[::-1] / (LEVELS - 1)
    for name, curve, colour in zip(
        ("Dice", "IoU"), scores.curves, (ACCENT, SECOND), strict=True
    ):
        best = int(np.argmax(curve))
        label = f"{name}, best {curve[best]:.3f} at {thresholds[best]:.2f}"
        axes.plot(thresholds, curve, color=colour, label=label)
    axes.axvline(scores.threshold, color=FAINT, ls="--", lw=1, label="threshold used")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=8, frameon=False, loc="lower center")
    return _to_svg(figure, "mean Dice and IoU at each threshold")


def plot_calibration(scores: SetScores) -> str:
    """Plots the share of polyp pixels, and of all pixels, by predicted probability."""
    figure, axes = _new_plot("predicted probability", "share that is polyp")
    probability, polyp, share = calibration_curve(scores.calibration)
    error = expected_calibration_error(scores.calibration)
    axes.plot([0, 1], [0, 1], color=FAINT, ls="--", lw=1, label="perfect")
    axes.plot(probability, polyp, "o-", color=ACCENT, label=f"ECE {error:.4f}")
    axes.bar(
        probability, share, width=0.03, color=SECOND, alpha=0.5, label="share of pixels"
    )
    axes.set(xlim=(-0.02, 1.02), ylim=(0, 1.02))
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    return _to_svg(figure, "share of polyp pixels by predicted probability")


def plot_dice_histogram(scores: SetScores) -> str:
    """Plots the distribution of per-image Dice."""
    figure, axes = _new_plot("per-image Dice", "images")
    axes.hist(scores.column("dice"), bins=np.linspace(0, 1, 21), color=ACCENT)
    axes.axvline(
        np.median(scores.column("dice")), color=SECOND, ls="--", lw=1, label="median"
    )
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    axes.set_xlim(0, 1)
    return _to_svg(figure, "number of images by Dice")


def plot_free_response(scores: VideoScores) -> str:
    """Plots the share of polyps found against false regions per frame."""
    figure, axes = _new_plot("false regions per frame", "share of polyps found")
    curve = scores.free_response()
    for n, (limit, colour) in enumerate(zip(IOU_LIMITS, (ACCENT, SECOND), strict=True)):
        used = int(np.argmin(np.abs(np.array(THRESHOLDS) - scores.threshold)))
        label = f"IoU > {limit:g}; square: threshold {THRESHOLDS[used]:g}"
        axes.plot(*curve[:, n, ::-1].T, ".-", color=colour, label=label, clip_on=False)
        axes.plot(*curve[used, n, ::-1], "s", color=colour, clip_on=False)
    lowest = np.nan_to_num(curve[:, :, 0], nan=1).min()  # NaN: there is no polyp
    axes.set(xlim=(0, None), ylim=(max(0, lowest - 0.2), 1))
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return _to_svg(figure, "polyps found by false regions per frame")
