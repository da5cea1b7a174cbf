"""Hand-worked counts and ratios, and what each is worth with nothing to count."""

import keras
import numpy as np
import pytest

from metrics import confusion


def test_counts_each_kind_of_pixel():
    truth = np.array([[1, 1, 1], [0, 0, 0]], np.uint8)
    prediction = np.array([[1, 0, 0], [1, 0, 0]], np.uint8)
    assert confusion.count_pixels(truth, prediction).tolist() == [1, 1, 2, 2]


def test_counts_refuse_different_shapes():
    with pytest.raises(ValueError, match=r"same shape.*\(2, 3\) and \(3, 2\)"):
        confusion.count_pixels(np.zeros((2, 3)), np.zeros((3, 2)))


def test_counts_of_several_images_are_pooled():
    truths = np.array([[[1, 1]], [[0, 0]]])
    predictions = np.array([[[1, 0]], [[0, 1]]])
    counts = confusion.count_pixels(truths, predictions)
    assert counts.tolist() == [1, 1, 1, 1]
    assert confusion.dice_score(counts) == 0.5  # 2 / (2 + 1 + 1)


def test_ratios_by_hand():
    # tp 3, fp 1, fn 2, tn 4
    counts = np.array([3, 1, 2, 4])
    assert confusion.dice_score(counts) == pytest.approx(6 / 9)
    assert confusion.iou_score(counts) == pytest.approx(3 / 6)
    assert confusion.recall_score(counts) == pytest.approx(3 / 5)
    assert confusion.precision_score(counts) == pytest.approx(3 / 4)
    assert confusion.accuracy_score(counts) == pytest.approx(7 / 10)
    # 5 · 0.75 · 0.6 / (4 · 0.75 + 0.6) = 2.25 / 3.6
    assert confusion.f2_score(np.array(0.75), np.array(0.6)) == pytest.approx(0.625)
    # foreground 3 / 6, background 4 / 7
    assert confusion.mean_iou_score(counts) == pytest.approx((3 / 6 + 4 / 7) / 2)


@pytest.mark.parametrize(
    ("counts", "dice", "recall", "precision"),
    [
        ([0, 0, 0, 9], "empty", "empty", "empty"),  # both empty
        ([0, 9, 0, 0], 0, "empty", 0),  # empty truth, full prediction
        ([0, 0, 9, 0], 0, 0, "empty"),  # full truth, empty prediction
        ([9, 0, 0, 0], 1, 1, 1),  # both full
        ([1, 0, 0, 8], 1, 1, 1),  # one pixel, found
    ],
)
@pytest.mark.parametrize("empty", [0.0, 1.0])
def test_corner_cases(counts, dice, recall, precision, empty):
    counts = np.array(counts)

    def expected(value):
        return empty if value == "empty" else value

    assert confusion.dice_score(counts, empty) == expected(dice)
    assert confusion.iou_score(counts, empty) == expected(dice)
    assert confusion.recall_score(counts, empty) == expected(recall)
    assert confusion.precision_score(counts, empty) == expected(precision)


def test_works_on_many_images_at_once():
    counts = np.array([[3, 1, 2, 4], [0, 0, 0, 10]])
    assert confusion.dice_score(counts, 0.0) == pytest.approx([6 / 9, 0])


@pytest.mark.parametrize(
    "counts", [[3, 1, 2, 4], [0, 0, 0, 10], [10, 0, 0, 0], [0, 10, 0, 0]]
)
def test_mean_iou_is_keras_mean_iou(counts):
    tp, fp, fn, tn = counts
    truth = np.repeat([1, 0, 1, 0], [tp, fp, fn, tn])
    prediction = np.repeat([1, 1, 0, 0], [tp, fp, fn, tn])
    metric = keras.metrics.MeanIoU(num_classes=2)
    metric.update_state(truth, prediction)
    ours = confusion.mean_iou_score(np.array(counts))
    assert ours == pytest.approx(float(metric.result()), abs=1e-6)
