"""Pictures of a run: its curves and what the network makes of validation samples."""

import os
from pathlib import Path

import cv2
import numpy as np

GAP = 4  # pixels between tiles
SAMPLE_HEIGHT = 192  # pixels per tile
COLUMN_TITLES = ("image", "truth", "probability", "overlay")


def draw_curves(history: list[dict[str, float]], path: Path) -> None:
    """Draws loss, scores and learning rate over the epochs into a PNG.

    Args:
        history: one row per epoch with `epoch`, `loss`, `val_loss`, `dice`, …
        path: the file to write or replace.
    """
    from matplotlib.figure import Figure  # no pyplot: no state between figures

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
    partial = path.with_name(f".{path.name}.partial")
    figure.savefig(partial, format="png", dpi=110)
    os.replace(partial, path)


def draw_samples(
    images: np.ndarray, masks: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
    """Draws one row per sample: image, truth, probability, overlay.

    In the overlay the truth is outlined in green and the prediction in red.

    Args:
        images: `(n, H, W, 3)` uint8 RGB.
        masks: `(n, H, W, 1)` uint8 0/1.
        probabilities: `(n, H, W, 1)` in [0, 1].

    Returns:
        uint8 RGB picture.
    """
    rows = []
    for image, mask, probability in zip(images, masks, probabilities, strict=True):
        scale = SAMPLE_HEIGHT / image.shape[0]
        width = round(image.shape[1] * scale)
        size = (width, SAMPLE_HEIGHT)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask[..., 0], size, interpolation=cv2.INTER_NEAREST)
        probability = cv2.resize(probability[..., 0], size)
        heat = cv2.applyColorMap(np.uint8(255 * probability), cv2.COLORMAP_VIRIDIS)
        overlay = image.copy()
        for shape, colour in ((mask, (0, 255, 0)), (probability > 0.5, (255, 0, 0))):
            contours, _ = cv2.findContours(
                shape.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
            )
            cv2.drawContours(overlay, contours, -1, colour, 1)
        truth = np.repeat(255 * mask[..., None], 3, axis=2)
        tiles = [image, truth, heat[..., ::-1], overlay]
        rows.append(np.hstack([np.pad(t, ((GAP,), (GAP,), (0,))) for t in tiles]))
    header = np.zeros((28, rows[0].shape[1], 3), np.uint8)
    for column, title in enumerate(COLUMN_TITLES):
        place = (column * header.shape[1] // len(COLUMN_TITLES) + GAP, 20)
        cv2.putText(header, title, place, 0, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([header, *rows])
