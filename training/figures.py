"""Pictures of a run: its curves and what the network makes of validation samples."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cli.files import replacing
from evaluation.report.panels import draw_panels

Sample = tuple[np.ndarray, np.ndarray]  # (H, W, 3) uint8 RGB and (H, W) uint8 0/1
SAMPLE_SIZE = 192  # pixels per tile
GAP = 4  # pixels between tiles


def draw_curves(history: list[dict[str, float]], path: Path) -> None:
    """Draws loss, scores and learning rate over the epochs into a PNG.

    Args:
        history: one row per epoch with `epoch`, `loss`, `val_loss`, `dice`, …
        path: the file to write or replace.
    """
    epochs = [row["epoch"] for row in history]
    panels = (
        ("Loss", ("loss", "val_loss", "d_loss")),
        ("Dice and IoU, mean over images", ("dice", "val_dice", "iou", "val_iou")),
        ("Learning rate", ("learning_rate",)),
    )
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(1, 3), panels, strict=True):
        for name in names:
            if name in history[-1]:
                values = [row.get(name, np.nan) for row in history]
                axes.plot(epochs, values, marker=".", label=name)
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    axes.set_yscale("log")
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110)


def draw_samples(samples: Sequence[Sample], maps: np.ndarray) -> np.ndarray:
    """Draws one row per sample: image, truth, probability map, overlay.

    Args:
        samples: images and their masks.
        maps: `(n, h, w)` float32 probabilities, one map per sample.

    Returns:
        `(h, w, 3)` uint8 RGB.
    """
    rows = []
    for (image, truth), probability in zip(samples, maps, strict=True):
        panels = draw_panels(image, truth, probability, size=SAMPLE_SIZE)
        tiles = [panels[name] for name in ("image", "truth", "heatmap", "overlay")]
        rows.append(np.hstack([np.pad(t, ((GAP,), (GAP,), (0,))) for t in tiles]))
    return np.vstack(rows)
