"""Dice and weighted IoU: numbers worked by hand, corner cases, a NumPy twin."""

import numpy as np
import pytest

from losses import dice_loss, dice_per_image_loss, weighted_iou_loss

TRUTH = np.array([1, 1, 0, 0], "float32").reshape(1, 2, 2, 1)
HALF = np.array([1, 0, 0, 0], "float32").reshape(1, 2, 2, 1)
EMPTY, FULL = np.zeros_like(TRUTH), np.ones_like(TRUTH)


def random_pair(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return (rng.random(shape) > 0.7).astype("float32"), rng.random(shape, np.float32)


def twin_dice_loss(t, p, smooth=1e-15) -> float:
    t, p = t.astype("float64"), p.astype("float64")
    return 1 - (2 * (t * p).sum() + smooth) / (t.sum() + p.sum() + smooth)


def twin_weighted_iou_loss(t, p) -> float:
    def iou(a, b):
        both = np.sum(a * b)
        return (both + 1e-6) / (np.sum(a) + np.sum(b) - both + 1e-6)

    t, p = t.astype("float64"), p.astype("float64")
    return 1 - (0.7 * iou(t, p) + 0.3 * iou(1 - t, 1 - p))


def test_dice_loss_by_hand():
    # tp 1, Σt 2, Σp 1: 1 - 2·1 / (2 + 1) = 1/3
    assert float(dice_loss(TRUTH, HALF)) == pytest.approx(1 / 3)
    # Soft: tp 0.5 + 0.5, Σp 2: 1 - 2·1 / (2 + 2) = 0.5
    assert float(dice_loss(TRUTH, 0.5 * FULL)) == pytest.approx(0.5)
    # Smooth 1, as in PVTSeg: 1 - (2·1 + 1) / (3 + 1) = 0.25
    assert float(dice_loss(TRUTH, HALF, smooth=1.0)) == pytest.approx(0.25)


def test_weighted_iou_loss_by_hand():
    # Foreground 1 / 2; background: both 2, of either 3: 2 / 3.
    # 1 - 0.7 · 1/2 - 0.3 · 2/3 = 1 - 0.35 - 0.2 = 0.45
    assert float(weighted_iou_loss(TRUTH, HALF)) == pytest.approx(0.45, abs=1e-6)
    # All 0.5: foreground (0.5 + 0.5) / (2 + 2 - 1) = 1/3, background the same.
    # 1 - 0.7/3 - 0.3/3 = 2/3
    got = float(weighted_iou_loss(TRUTH, 0.5 * FULL))
    assert got == pytest.approx(2 / 3, abs=1e-6)


@pytest.mark.parametrize(
    "truth, prediction, dice, iou",
    [
        (TRUTH, TRUTH, 0, 0),  # perfect
        (TRUTH, 1 - TRUTH, 1, 1),  # disjoint: both IoUs 0
        (EMPTY, EMPTY, 0, 0),
        (FULL, FULL, 0, 0),
        (EMPTY, FULL, 1, 1),
        (FULL, EMPTY, 1, 1),
    ],
)
def test_corner_cases(truth, prediction, dice, iou):
    assert float(dice_loss(truth, prediction)) == pytest.approx(dice, abs=1e-5)
    assert float(weighted_iou_loss(truth, prediction)) == pytest.approx(iou, abs=1e-5)


def test_pooled_over_the_batch():
    """Two images are one: a loss per image, then averaged, would be 1/6 and 0.225."""
    truth = np.concatenate([TRUTH, TRUTH])
    prediction = np.concatenate([TRUTH, HALF])
    # tp 3, Σt 4, Σp 3: 1 - 6/7
    assert float(dice_loss(truth, prediction)) == pytest.approx(1 / 7)
    # Foreground 3/4, background 4/5: 1 - 0.525 - 0.24 = 0.235
    got = float(weighted_iou_loss(truth, prediction))
    assert got == pytest.approx(0.235, abs=1e-6)


def test_against_numpy():
    truth, prediction = random_pair(3, 17, 23, 1)
    assert float(dice_loss(truth, prediction)) == pytest.approx(
        twin_dice_loss(truth, prediction), abs=1e-5
    )
    assert float(dice_loss(truth, prediction, smooth=1.0)) == pytest.approx(
        twin_dice_loss(truth, prediction, 1.0), abs=1e-5
    )
    assert float(weighted_iou_loss(truth, prediction)) == pytest.approx(
        twin_weighted_iou_loss(truth, prediction), abs=1e-5
    )


def test_float16_sums_do_not_overflow():
    """A full 256×256 mask sums to 65,536, beyond float16's 65,504."""
    full = np.ones((1, 256, 256, 1), "float16")
    # 2·65536 / (2·65536) = 1; 0.5 everywhere: 1 - 65536 / (65536 + 32768) = 1/3
    assert float(dice_loss(full, full)) == pytest.approx(0, abs=1e-6)
    half = (full / 2).astype("float16")
    assert float(dice_loss(full, half)) == pytest.approx(1 / 3, abs=1e-5)
    # Foreground IoU 0.5; background 1e-6 / 32768 = 0: 1 - 0.35 = 0.65
    assert float(weighted_iou_loss(full, half)) == pytest.approx(0.65, abs=1e-5)


@pytest.mark.parametrize("loss", [dice_loss, weighted_iou_loss])
def test_bad_shape(loss):
    with pytest.raises(ValueError, match=r"Received: \(1, 2, 2, 1\) and \(1, 2, 2\)"):
        loss(TRUTH, TRUTH[..., 0])


def test_dice_per_image_counts_small_polyps_as_large_ones():
    truth = np.zeros((2, 4, 4, 1), "float32")
    truth[0, 0, 0] = 1  # one pixel, missed
    truth[1, :2] = 1  # eight pixels, found
    prediction = truth.copy()
    prediction[0] = 0
    # (2·0 + 1) / (1 + 0 + 1) = 1/2 and (2·8 + 1) / (8 + 8 + 1) = 1
    assert float(dice_per_image_loss(truth, prediction)) == pytest.approx(0.25)
    # Pooled: 1 - 2·8 / (9 + 8) = 1/17
    assert float(dice_loss(truth, prediction)) == pytest.approx(1 / 17)
    empty = np.zeros_like(truth)
    assert float(dice_per_image_loss(empty, empty)) == 0
    assert float(dice_per_image_loss(truth, truth)) == pytest.approx(0)
    with pytest.raises(ValueError, match="same shape"):
        dice_per_image_loss(truth, truth[:1])
