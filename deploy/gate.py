"""Compares an exported file, run by its own runtime, with the Keras network.

A file whose probabilities or Dice differ by more than is allowed is not kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np

from data.arrays import load_prepared
from data.demo import draw_frame
from data.images import resize_image, resize_mask
from data.samples import SEED, VALIDATION_FRACTION, Samples, split_validation
from metrics.confusion import count_pixels, dice_score
from models.run_folder import RunFolder

DEMO_FRAMES = 12
THRESHOLD = 0.5  # of Dice


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
        max_difference: largest difference of probability at any pixel; NaN where a
            probability is not a number.
        keras_dice: Dice of the Keras model, of the pixels of all frames together.
        exported_dice: the same of the exported model.
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
        """Dice that the export loses; negative when it gains."""
        return self.keras_dice - self.exported_dice

    def problems(self, max_drop: float, max_difference: float | None) -> list[str]:
        """Says what is wrong with the export.

        Args:
            max_drop: Dice it may lose.
            max_difference: probability by which it may differ; None: by any.

        Returns:
            Reasons to refuse it; none when it passes.
        """
        problems = []
        if isnan(self.max_difference):
            problems.append("some of its probabilities are not numbers")
        elif max_difference is not None and self.max_difference > max_difference:
            problems.append(
                f"it differs from Keras by {self.max_difference:.1e}, more than "
                f"--max_difference {max_difference:g}"
            )
        if self.drop > max_drop:
            problems.append(
                f"Dice drops by {self.drop:.4f}, more than --max_drop {max_drop:g}"
            )
        return problems


def demo_frames(size: tuple[int, int]) -> Frames:
    """Draws frames of size `(H, W)` by code, for when no dataset is at hand."""
    images, masks = zip(*(draw_frame(n, size) for n in range(DEMO_FRAMES)), strict=True)
    return Frames("drawn demo frames", np.stack(images), np.stack(masks))


def dataset_frames(
    path: Path,
    part: str,
    size: tuple[int, int],
    count: int,
    model_path: Path | None = None,
) -> Frames:
    """Reads up to `count` frames of a prepared dataset, evenly spread over it.

    Args:
        path: the prepared dataset.
        part: `"test"`, or `"train"` or `"validation"`: the training arrays without,
            or only, the part that the checkpoint's run set aside.
        size: `(H, W)` in pixels.
        count: most frames to take.
        model_path: the checkpoint; not needed for `"test"`.

    Raises:
        UserError: the dataset, or `validation.json` beside the checkpoint, cannot be
            read.
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
    """Divides samples as the run of a checkpoint did.

    Returns:
        Training part, validation part, and whether the latter was trained on too.
        `validation.json` beside the checkpoint names the second; when it names none
        of these samples, or all, the part is drawn as `train.py` does by default.
    """
    saved = RunFolder.of_checkpoint(model_path).read_validation()
    named = {name for name, *_ in saved.per_image} if saved else ()
    chosen = np.array([name in named for name in samples.names])
    if not chosen.any() or chosen.all():
        return *split_validation(samples, VALIDATION_FRACTION, SEED), False
    parts = (samples.subset(np.flatnonzero(side)) for side in (~chosen, chosen))
    return *parts, saved.trained_on


def measure_parity(
    keras_maps: np.ndarray, exported: Callable[[np.ndarray], np.ndarray], frames: Frames
) -> Parity:
    """Runs an exported model over frames and compares it with Keras.

    Args:
        keras_maps: `(N, H, W)` float32, the probabilities Keras gave.
        exported: `(H, W, 3)` uint8 RGB → `(H, W)` probabilities.
        frames: the N frames.
    """
    differences = []
    counts = np.zeros((2, 4), np.int64)
    for image, mask, keras_map in zip(
        frames.images, frames.masks, keras_maps, strict=True
    ):
        maps = keras_map, exported(image)
        differences.append(np.abs(maps[0] - maps[1]).max())
        counts += [count_pixels(mask, map_ > THRESHOLD) for map_ in maps]
    return Parity(
        f"{len(frames.images)} frames of {frames.source}",
        float(np.max(differences)),
        *dice_score(counts).tolist(),
    )
