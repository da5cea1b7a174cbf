"""The gate each exported file must pass: its own runtime against Keras, on frames."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cli.command import UserError
from data.arrays import load_prepared
from data.demo import draw_frame
from data.images import resize_image, resize_mask
from data.samples import Samples, split_validation
from training.options import DEFAULTS, VALIDATION_FILE
from training.recipes import RECIPES

DEMO_FRAMES = 12


@dataclass(frozen=True)
class Frames:
    """Frames to compare on.

    Attributes:
        source: where they are from, for the report.
        images: `(N, H, W, 3)` uint8 RGB.
        masks: `(N, H, W)` uint8 0/1.
    """

    source: str
    images: np.ndarray
    masks: np.ndarray


@dataclass(frozen=True)
class Parity:
    """How an exported model compares with Keras.

    Attributes:
        frames: number and source of the frames.
        max_difference: largest difference of probability at any pixel.
        keras_dice: pooled Dice of the Keras model.
        exported_dice: pooled Dice of the exported model.
    """

    frames: str
    max_difference: float
    keras_dice: float
    exported_dice: float

    def __str__(self) -> str:
        return (
            f"max difference {self.max_difference:.1e}, Dice {self.exported_dice:.4f}"
            f" against {self.keras_dice:.4f} in Keras, on {self.frames}"
        )

    @property
    def drop(self) -> float:
        """Dice lost by the export; negative when it gained."""
        return self.keras_dice - self.exported_dice


def demo_frames(size: tuple[int, int]) -> Frames:
    """Frames drawn by code, for when no dataset is at hand."""
    images, masks = zip(*(draw_frame(n, size) for n in range(DEMO_FRAMES)), strict=True)
    return Frames("drawn demo frames", np.stack(images), np.stack(masks))


def dataset_frames(
    path: Path,
    part: str,
    size: tuple[int, int],
    count: int,
    model_path: Path | None = None,
) -> Frames:
    """Up to `count` frames of a prepared dataset, evenly spread over it.

    Args:
        path: the prepared dataset.
        part: `"test"`, or `"train"` or `"validation"`: the training arrays without,
            or only, the part that the checkpoint's run set aside.
        size: `(H, W)` in pixels.
        count: most frames to take.
        model_path: the checkpoint; not needed for `"test"`.
    """
    prepared = load_prepared(path, "test" if part == "test" else "train")
    samples = Samples([prepared])
    if part != "test":
        *parts, trained_on = _divide(samples, model_path)
        samples = parts[part == "validation"]
        if part == "validation" and trained_on:
            part = "validation, trained on too"
    total = len(samples)
    indices = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))
    images, masks = samples.batch(indices)
    if samples.image_size != size:
        images = np.stack([resize_image(image, size) for image in images])
        masks = np.stack([resize_mask(mask[..., 0], size) for mask in masks])
    return Frames(
        f"{prepared.name} ({part})", images, masks.reshape(len(images), *size)
    )


def _divide(samples: Samples, model_path: Path) -> tuple[Samples, Samples, bool]:
    """Training part, validation part, and whether the latter was trained on too.

    `validation.json` beside the checkpoint names the second; when it names none of
    these samples, or all, the part is drawn as `train.py` does by default.
    """
    file = model_path.with_name(VALIDATION_FILE)
    try:
        saved = json.loads(file.read_text()) if file.is_file() else {}
        named = {name for name, *_ in saved.get("per_image", [])}
    except (ValueError, TypeError, AttributeError):
        raise UserError(f"{file}: is damaged; move it away to do without") from None
    chosen = np.array([name in named for name in samples.names])
    if not chosen.any() or chosen.all():
        seed = RECIPES["lgps"].seed
        return *split_validation(samples, DEFAULTS["val_fraction"], seed), False
    parts = (samples.subset(np.flatnonzero(side)) for side in (~chosen, chosen))
    return *parts, bool(saved.get("trained_on"))


def measure_parity(
    keras_maps: np.ndarray, exported: Callable[[np.ndarray], np.ndarray], frames: Frames
) -> Parity:
    """Runs an exported model over frames and compares it with Keras.

    Args:
        keras_maps: `(N, H, W)` float32, the probabilities Keras gave.
        exported: `(H, W, 3)` uint8 RGB → `(H, W)` probabilities.
        frames: the N frames.
    """
    largest = 0.0
    overlaps, totals = np.zeros(2), np.zeros(2)
    for image, mask, keras_map in zip(
        frames.images, frames.masks, keras_maps, strict=True
    ):
        maps = np.stack([keras_map, exported(image)])
        largest = max(largest, float(np.abs(maps[0] - maps[1]).max()))
        found = maps > 0.5
        overlaps += (found & (mask > 0)).sum((1, 2))
        totals += found.sum((1, 2)) + mask.sum()
    dice = np.divide(2 * overlaps, totals, out=np.ones(2), where=totals > 0)
    return Parity(f"{len(frames.images)} frames of {frames.source}", largest, *dice)
