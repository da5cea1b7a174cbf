"""The "pranet" protocol: 256 thresholds and soft measures at the original size.

The map's logits are resized to the mask's own size; the map is min-max normalised per
image and stored in 8 bit, as PraNet's published test code saves it; PySODMetrics then
defines each measure. Thresholding the map before the sweep, leaving out the
normalisation or resizing probabilities would change the numbers. A constant map has no
range to normalise and stays as it is.
"""

import numpy as np
from scipy.special import expit, logit

from evaluation.cases import Case, resize_map, stretch
from evaluation.protocols.base import ORIGINAL_SIZE_RULE, Protocol
from metrics.confusion import dice_score, iou_score
from metrics.sweep import LEVELS, e_measure_curve, sweep_counts
from metrics.weighted_f import weighted_f_measure

LOGIT_MARGIN = np.float32(1e-6)  # of probabilities; keeps their logits finite


def pranet() -> Protocol:
    """Builds PraNet's protocol: Dice, IoU, E-measure, S-measure, weighted F and MAE."""
    return Protocol(
        "pranet",
        f"{ORIGINAL_SIZE_RULE}. Each map is resized by its logits (one from an 8-bit "
        "file by its values), min-max normalised and rounded to 8 bits. "
        "The mean over images is taken at each of 256 thresholds; mean_ and max_ are "
        "the mean and the maximum of these; wfm, sm and mae are of the map itself. "
        "Dice and IoU of an image without a polyp are 0.",
        _measure,
        _scores,
        image_means=("mean_dice", "mean_iou", "wfm", "sm", "mean_em", "mae"),
        original_size=True,
    )


def resized_by_logits(case: Case) -> np.ndarray:
    """Resizes a map to its truth's size as PraNet's test code does, by its logits.

    The edge of a polyp then stays as steep as the network drew it; interpolated
    probabilities rise more slowly. A map that has the size already stays as it is, and
    one from an 8-bit file, which has no logits, is resized by its probabilities.

    Returns:
        `(H, W)` float32 probabilities.
    """
    size = case.truth.shape
    if case.saved_map or case.probability.shape == size:
        return resize_map(case.probability, size)
    p = np.clip(case.probability, LOGIT_MARGIN, 1 - LOGIT_MARGIN)
    return expit(resize_map(logit(p), size))


def normalise_map(probability: np.ndarray, saved: bool) -> np.ndarray:
    """Min-max normalises a map to the values its 8-bit file would give back.

    Args:
        probability: `(H, W)` in [0, 1].
        saved: the map was read from an 8-bit file, so it is rounded before it is
            normalised, not after.

    Returns:
        `(H, W)` float64 in [0, 1].
    """
    values = probability.astype(np.float64)
    if saved:
        return stretch(_to_8_bit(values))
    return _to_8_bit(stretch(values))


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    return np.rint(values * (LEVELS - 1)) / (LEVELS - 1)


def _measure(case: Case) -> np.ndarray:
    from py_sod_metrics import Smeasure  # slow to import: brings scikit-learn

    truth = case.truth.astype(bool)
    values = normalise_map(resized_by_logits(case), case.saved_map)
    # PySODMetrics truncates here; a saved map keeps its 256 levels.
    counts = sweep_counts(truth, (values * (LEVELS - 1)).astype(np.uint8))
    soft = [
        weighted_f_measure(truth, values),
        Smeasure().cal_sm(values, truth),
        np.mean(np.abs(values - truth)),
    ]
    dice, iou = dice_score(counts, empty=0.0), iou_score(counts, empty=0.0)
    return np.concatenate([dice, iou, e_measure_curve(counts), soft])


def _scores(statistics: np.ndarray) -> dict[str, np.ndarray]:
    curves = np.split(statistics, [LEVELS, 2 * LEVELS, 3 * LEVELS], axis=-1)
    dice, iou, em, soft = curves
    wfm, sm, mae = np.moveaxis(soft, -1, 0)
    return {
        "mean_dice": dice.mean(axis=-1),
        "mean_iou": iou.mean(axis=-1),
        "max_dice": dice.max(axis=-1),
        "wfm": wfm,
        "sm": sm,
        "mean_em": em.mean(axis=-1),
        "max_em": em.max(axis=-1),
        "mae": mae,
    }
