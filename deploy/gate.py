"""Compares an exported file, run by its own runtime, with the Keras network.

A file whose probabilities or Dice differ by more than is allowed is not kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np

from cli.command import UserError
from cli.parallel import map_in_order
from data.arrays import load_prepared
from data.demo import draw_frame
from data.images import resize_image, resize_mask
from data.samples import Samples
from evaluation.cases import open_case_set
from metrics.confusion import count_pixels, dice_score
from models.run_folder import RunFolder

DEMO_FRAMES = 12
THRESHOLD = 0.5  # of Dice
MAX_DROP = 0.005  # of Dice, by default
MAX_DIFFERENCE = 1e-4  # of the probability at any pixel, by default


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
        keras_mean_dice: mean over the frames of the Keras model's Dice.
        exported_mean_dice: the same of the exported model.
    """

    frames: str
    max_difference: float
    keras_dice: float
    exported_dice: float
    keras_mean_dice: float
    exported_mean_dice: float

    def __str__(self) -> str:
        return (
            f"max difference {self.max_difference:.1e}, pooled Dice "
            f"{self.exported_dice:.4f} against {self.keras_dice:.4f} in Keras, mean "
            f"Dice {self.exported_mean_dice:.4f} against {self.keras_mean_dice:.4f}, "
            f"on {self.frames}"
        )

    @property
    def drops(self) -> dict[str, float]:
        """What the export loses of each kind of Dice; negative where it gains."""
        return {
            "pooled Dice": self.keras_dice - self.exported_dice,
            "mean Dice": self.keras_mean_dice - self.exported_mean_dice,
        }

    def problems(self, max_drop: float, max_difference: float | None) -> list[str]:
        """Says what is wrong with the export.

        Args:
            max_drop: what it may lose of either kind of Dice.
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
        for kind, drop in self.drops.items():
            if drop > max_drop:
                problems.append(
                    f"{kind} drops by {drop:.4f}, more than --max_drop {max_drop:g}"
                )
        return problems


def demo_frames(size: tuple[int, int]) -> Frames:
    """Draws frames of size `(H, W)` by code, for when no dataset is at hand."""
    images, masks = zip(*(draw_frame(n, size) for n in range(DEMO_FRAMES)), strict=True)
    return Frames("drawn demo frames", np.stack(images), np.stack(masks))


def held_out_frames(path: Path, size: tuple[int, int], count: int) -> Frames:
    """Reads up to `count` frames of a dataset, evenly spread over it.

    Args:
        path: a prepared dataset, of which the test part is read, or a raw one.
        size: `(H, W)` in pixels.
        count: most frames to take.

    Raises:
        UserError: the dataset cannot be read.
    """
    case_set = open_case_set(path)

    def load(index: int) -> tuple[np.ndarray, np.ndarray]:
        case = case_set.read(index)
        return resize_image(case.image, size), resize_mask(case.truth, size)

    frames = map_in_order(load, spread(len(case_set), count).tolist())
    images, masks = zip(*frames, strict=True)
    return Frames(case_set.name, np.stack(images), np.stack(masks))


def dataset_frames(
    path: Path, part: str, size: tuple[int, int], count: int, model_path: Path
) -> Frames:
    """Reads up to `count` training images of a prepared dataset, evenly spread over it.

    Args:
        path: the prepared dataset.
        part: `"train"` or `"validation"`: the training images without, or only, those
            that `validation.json` beside the checkpoint names.
        size: `(H, W)` in pixels.
        count: most frames to take.
        model_path: the checkpoint.

    Raises:
        UserError: the dataset or `validation.json` cannot be read, or none of its
            images is in that part. Validation images that were trained on too are not
            in the validation part.
    """
    prepared = load_prepared(path, "train")
    samples = Samples([prepared])
    saved = RunFolder.of_checkpoint(model_path).read_validation()
    named = {name for name, *_ in saved.per_image} if saved else ()
    is_named = np.array([name in named for name in samples.names])
    chosen = is_named if part == "validation" else ~is_named
    if part == "validation" and saved and saved.trained_on:
        chosen[:] = False
    if not chosen.any():
        raise UserError(_nothing_in_part(path, part, model_path))
    samples = samples.subset(np.flatnonzero(chosen))
    images, masks = samples.batch(spread(len(samples), count))
    if samples.image_size != size:
        images = np.stack([resize_image(image, size) for image in images])
        masks = np.stack([resize_mask(mask[..., 0], size) for mask in masks])
    return Frames(
        f"{prepared.name} ({part})", images, masks.reshape(len(images), *size)
    )


def _nothing_in_part(path: Path, part: str, model_path: Path) -> str:
    if part == "train":
        return (
            f"{path}: all its training images are validation images of the run of "
            f"{model_path}, so none is left to calibrate on"
        )
    return (
        f"{path}: no image of it was held back from the training of {model_path}; give "
        "--gate_data_path, a dataset that it was not trained on"
    )


def spread(total: int, count: int) -> np.ndarray:
    """Up to `count` of the indices 0 … `total` - 1, evenly spread."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))


def measure_parity(
    keras_maps: np.ndarray, exported: Callable[[np.ndarray], np.ndarray], frames: Frames
) -> Parity:
    """Runs an exported model over frames and compares it with Keras.

    Args:
        keras_maps: `(N, H, W)` float32, the probabilities Keras gave.
        exported: `(H, W, 3)` uint8 RGB → `(H, W)` probabilities.
        frames: the N frames.
    """
    differences, counts = [], []
    for image, mask, keras_map in zip(
        frames.images, frames.masks, keras_maps, strict=True
    ):
        maps = keras_map, exported(image)
        differences.append(np.abs(maps[0] - maps[1]).max())
        counts.append([count_pixels(mask, map_ > THRESHOLD) for map_ in maps])
    counts = np.array(counts)  # (N, 2, 4)
    return Parity(
        f"{len(frames.images)} frames of {frames.source}",
        float(np.max(differences)),
        *dice_score(counts.sum(axis=0)).tolist(),
        *dice_score(counts).mean(axis=0).tolist(),
    )
