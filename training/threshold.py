"""Chooses the probability threshold of a checkpoint on its validation samples."""

import numpy as np
import tensorflow as tf

from data.pipeline import evaluation_dataset
from data.samples import Samples
from models.checkpoints import Checkpoint
from models.inference import build_rgb_model
from models.run_folder import Validation
from training.metrics import THRESHOLD, per_image_dice

THRESHOLDS = np.arange(1, 20) / 20  # 0.05, 0.1, … 0.95


def choose_threshold(
    checkpoint: Checkpoint, samples: Samples, batch_size: int
) -> Validation:
    """Sweeps thresholds for the best mean Dice over images.

    Args:
        checkpoint: the network.
        samples: validation samples, never test samples.
        batch_size: images per call.

    Returns:
        The threshold, its mean Dice, and each image's Dice at 0.5.
    """
    dataset = evaluation_dataset(
        samples, lambda images: images, checkpoint.image_size, batch_size
    )
    forward = tf.function(build_rgb_model(checkpoint), reduce_retracing=True)
    rows = []  # (B, thresholds) of each batch
    for images, masks in dataset:
        maps = forward(images)
        rows.append(np.stack([per_image_dice(masks, maps, t) for t in THRESHOLDS], 1))
    table = np.concatenate(rows)
    dice = table.mean(axis=0)
    best = int(np.argmax(dice))
    middle = int(np.argmin(abs(THRESHOLDS - THRESHOLD)))
    return Validation(
        threshold=float(THRESHOLDS[best]),
        dice=float(dice[best]),
        dice_at_half=float(dice[middle]),
        images=len(samples),
        per_image=list(
            zip(samples.names, samples.groups, table[:, middle].tolist(), strict=True)
        ),
    )
