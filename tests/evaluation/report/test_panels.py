"""Panels of one image: their sizes, and what the prediction is."""

import numpy as np
import pytest

from evaluation.report.panels import PREDICTION_COLOUR, TRUTH_COLOUR, draw_panels


@pytest.fixture
def panels():
    """A truth in the upper half, a map that is sure of the left half."""
    image = np.full((20, 40, 3), 9, np.uint8)
    truth = np.zeros((20, 40), np.uint8)
    truth[:10] = 1
    probability = np.float32([[0.7, 0.2]]).repeat(5, axis=0).repeat(5, axis=1)
    return lambda **options: draw_panels(image, truth, probability, **options)


@pytest.mark.parametrize("size", [16, 40, 100])
def test_panels_have_the_image_s_shape(panels, size):
    drawn = panels(size=size)
    assert list(drawn) == ["image", "truth", "prediction", "heatmap", "overlay"]
    assert {picture.shape for picture in drawn.values()} == {(size // 2, size, 3)}
    assert {picture.dtype for picture in drawn.values()} == {np.dtype(np.uint8)}


def test_prediction_is_the_map_above_the_threshold(panels):
    drawn = panels(size=40)
    assert (drawn["image"] == 9).all()
    assert (drawn["truth"][:10] == 255).all() and not drawn["truth"][10:].any()
    left, right = np.split(drawn["prediction"], 2, axis=1)
    assert left[:, :15].all() and not right[:, 5:].any()
    assert panels(size=40, threshold=0.1)["prediction"].all()
    assert not panels(size=40, threshold=0.8)["prediction"].any()


def test_overlay_outlines_truth_and_prediction(panels):
    overlay = panels(size=40)["overlay"]
    colours = {tuple(colour) for colour in overlay.reshape(-1, 3).tolist()}
    assert colours == {(9, 9, 9), TRUTH_COLOUR, PREDICTION_COLOUR}
    assert tuple(overlay[0, 35]) == TRUTH_COLOUR
    assert tuple(overlay[19, 0]) == PREDICTION_COLOUR


def test_heatmap_brightens_with_the_probability(panels):
    heatmap = panels(size=40)["heatmap"].astype(int).sum(axis=-1)
    assert (heatmap[:, 5] > heatmap[:, 35]).all()
