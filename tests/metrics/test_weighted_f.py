"""The fast weighted F-measure against PySODMetrics, and where it has an easy answer."""

import cv2
import numpy as np
import py_sod_metrics
import pytest

from metrics.weighted_f import weighted_f_measure


def blobs(seed: int, boxes: list[tuple[int, int, int, int]]):
    rng = np.random.default_rng(seed)
    truth = np.zeros((60, 80), np.uint8)
    for top, left, bottom, right in boxes:
        truth[top:bottom, left:right] = 1
    soft = cv2.GaussianBlur(truth.astype(np.float64), (11, 11), 3)
    return truth, np.clip(soft + rng.normal(0, 0.1, truth.shape), 0, 1)


@pytest.mark.parametrize(
    "boxes",
    [
        [(20, 30, 40, 60)],
        [(0, 0, 15, 20), (50, 70, 60, 80)],  # in the corners: zeros beyond the border
        [(30, 40, 31, 41)],  # one pixel
        [(0, 0, 60, 80)],  # full
    ],
)
def test_equals_pysodmetrics(boxes):
    truth, probability = blobs(0, boxes)
    expected = py_sod_metrics.WeightedFmeasure().cal_wfm(probability, truth > 0)
    assert weighted_f_measure(truth, probability) == pytest.approx(expected, abs=1e-9)


def test_easy_answers():
    truth, _ = blobs(0, [(20, 30, 40, 60)])
    assert weighted_f_measure(truth, truth.astype(float)) == pytest.approx(1)
    assert weighted_f_measure(truth, np.zeros(truth.shape)) == pytest.approx(0)
    assert weighted_f_measure(np.zeros_like(truth), truth.astype(float)) == 0
