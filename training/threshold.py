"""Chooses threshold and temperature of a checkpoint on its validation samples."""

import numpy as np
import tensorflow as tf

from data.pipeline import evaluation_dataset
from data.samples import Samples
from metrics.calibration import (
    expected_calibration_error,
    fit_temperature,
    logit_counts,
    sums_at_temperature,
)
from models.checkpoints import Checkpoint
from models.inference import build_rgb_model
from models.run_folder import Validation
from training.metrics import THRESHOLD, per_image_dice

THRESHOLDS = np.arange(1, 20) / 20  # 0.05, 0.1, … 0.95


def choose_threshold(
    checkpoint: Checkpoint, samples: Samples, batch_size: int
) -> Validation:
    """Sweeps thresholds for the best mean Dice over images, and fits a temperature.

    Args:
        checkpoint: the network.
        samples: validation samples, never test samples.
        batch_size: images per call.

    Returns:
        The threshold, its mean Dice, each image's Dice at 0.5, and the temperature with
        the calibration errors.
    """
    dataset = evaluation_dataset(
        samples, lambda images: images, checkpoint.image_size, batch_size
    )
    forward = tf.function(build_rgb_model(checkpoint), reduce_retracing=True)
    rows, logits = [], 0.0  # (B, thresholds) of each batch
    for images, masks in dataset:
        maps = forward(images)
        rows.append(np.stack([per_image_dice(masks, maps, t) for t in THRESHOLDS], 1))
        logits = logits + logit_counts(masks.numpy(), maps.numpy())
    table = np.concatenate(rows)
    dice = table.mean(axis=0)
    best = int(np.argmax(dice))
    temperature = fit_temperature(logits)
    middle = int(np.argmin(abs(THRESHOLDS - THRESHOLD)))
    return Validation(
        threshold=float(THRESHOLDS[best]),
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
