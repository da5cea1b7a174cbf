"""Chooses threshold and temperature of a checkpoint on its validation samples."""

import numpy as np
import tensorflow as tf

from cli.command import UserError
from data.pipeline import evaluation_dataset
from data.samples import Samples
from metrics.calibration import (
    calibrated,
    expected_calibration_error,
    fit_temperature,
    logit_counts,
    sums_at_temperature,
)
from models.checkpoints import Checkpoint
from models.inference import build_rgb_model
from models.run_folder import RunFolder, Validation
from training.metrics import THRESHOLD, per_image_dice
from training.options import TrainingOptions
from training.saved_options import saved_options

THRESHOLDS = np.arange(1, 20) / 20  # 0.05, 0.1, … 0.95


def choose_threshold(
    checkpoint: Checkpoint,
    samples: Samples,
    batch_size: int,
    given: float | None = None,
) -> Validation:
    """Sweeps thresholds for the best mean Dice over images, and fits a temperature.

    Args:
        checkpoint: the network.
        samples: validation samples, never test samples.
        batch_size: images per call.
        given: a threshold that is scored instead.

    Returns:
        The threshold, its mean Dice, each image's Dice at 0.5, and the temperature with
        the calibration errors.
    """
    dataset = evaluation_dataset(
        samples, lambda images: images, checkpoint.image_size, batch_size
    )
    forward = tf.function(build_rgb_model(checkpoint), reduce_retracing=True)
    thresholds = np.append(THRESHOLDS, given) if given else THRESHOLDS
    rows, logits = [], 0.0  # (B, thresholds) of each batch
    for images, masks in dataset:
        maps = forward(images)
        rows.append(np.stack([per_image_dice(masks, maps, t) for t in thresholds], 1))
        logits = logits + logit_counts(masks.numpy(), maps.numpy())
    table = np.concatenate(rows)
    dice = table.mean(axis=0)
    best = -1 if given else int(np.argmax(dice))
    temperature = fit_temperature(logits)
    middle = int(np.argmin(abs(THRESHOLDS - THRESHOLD)))
    return Validation(
        threshold=float(thresholds[best]),
        dice=float(dice[best]),
        dice_at_half=float(dice[middle]),
        images=len(samples),
        per_image=list(
            zip(samples.names, samples.groups, table[:, middle].tolist(), strict=True)
        ),
        temperature=temperature,
        ece=expected_calibration_error(sums_at_temperature(logits, 1.0)),
        ece_calibrated=expected_calibration_error(
            sums_at_temperature(logits, temperature)
        ),
    )


def held_back_threshold(options: TrainingOptions) -> float | None:
    """Reads the threshold of the run that `threshold_from` names.

    It is converted where the logits of the two networks are multiplied by different
    numbers (`logit_scale`), so that the masks are those of the same logit.

    Returns:
        A threshold for a network of these options; None without `threshold_from`.

    Raises:
        UserError: there is no such run, or it chose no threshold on images that it was
            not trained on.
    """
    if not options.threshold_from:
        return None
    run = RunFolder(options.threshold_from)
    other = saved_options(run, {})
    validation = run.read_validation()
    threshold = validation and validation.chosen_threshold
    if threshold is None:
        raise UserError(
            f"--threshold_from {run}: {run.validation} has no threshold of images that "
            "were not trained on"
        )
    if other.model != options.model:
        raise UserError(f"--threshold_from {run}: it is of --model {other.model}")
    temperature = other.logit_scale / options.logit_scale
    return float(calibrated(np.array(threshold), temperature))
