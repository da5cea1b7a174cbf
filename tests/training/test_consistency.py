"""Two views of each image: they lie on each other, and their maps are compared."""

from unittest.mock import Mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.build import build_trainer
from training.consistency import TwoViews, cut, move, recolour
from training.recipes import new_options

RNG = np.random.default_rng(4)
SQUARE = RNG.uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
WIDE = RNG.uniform(-1, 1, (2, 16, 32, 3)).astype("float32")


@pytest.mark.parametrize("images, turns", [(SQUARE, 7), (WIDE, 3)])
def test_each_turn_is_another_one_of_the_same_pixels(images, turns):
    moved = [move(tf.constant(images), tf.constant(n)) for n in range(1, turns + 1)]
    views = {images.tobytes(), *(image.numpy().tobytes() for image in moved)}
    assert len(views) == turns + 1
    for image in moved:
        assert image.shape == images.shape
        np.testing.assert_array_equal(np.sort(image, None), np.sort(images, None))


def test_a_part_is_cut_out_and_resized():
    ramp = np.tile(np.arange(33, dtype="float32")[:, None], (1, 33))[None, ..., None]
    boxes = np.array([[0.25, 0.25, 0.75, 0.75]], "float32")
    enlarged = cut(tf.constant(ramp), boxes, -1.0).numpy()[0, :, 0, 0]
    np.testing.assert_allclose(enlarged, np.linspace(8, 24, 33), rtol=1e-5)
    boxes = np.array([[-0.5, -0.5, 1.5, 1.5]], "float32")
    shrunk = cut(tf.constant(ramp), boxes, -1.0).numpy()[0, :, 16, 0]
    np.testing.assert_allclose(shrunk[8:25], np.linspace(0, 32, 17), rtol=1e-5)
    assert (shrunk[:8] == -1).all() and (shrunk[25:] == -1).all()


def test_zoomed_views_stay_aligned_and_repeat():
    """A disc of each image, found by its colour, lies where the moved mask says."""
    y, x = np.mgrid[:64, :64]
    discs = np.stack([(x - 20) ** 2 + (y - 36) ** 2, (x - 44) ** 2 + (y - 18) ** 2])
    masks = (discs[..., None] < 100).astype("float32")
    images = np.repeat(2 * masks - 1, 3, axis=-1)
    views = TwoViews(1.0, seed=3, zoom=1.5)
    areas = []
    for step in range(20):
        shown, truth = views.add_second(images, masks, tf.constant(step))
        again, _ = views.add_second(images, masks, tf.constant(step))
        np.testing.assert_array_equal(shown, again)
        np.testing.assert_array_equal(truth[:2], masks)
        assert set(np.unique(truth)) <= {0, 1}
        second = truth.numpy()[2:]
        # Colours move the grey level at which a disc ends by less than a pixel's width.
        bright = shown.numpy()[2:].mean(-1, keepdims=True) > -0.2
        assert 2 * (bright * second).sum() / (bright.sum() + second.sum()) > 0.93
        # A network that follows the movement gives maps that hardly differ.
        assert float(views.loss(truth, tf.constant(step))) < 0.03
        areas += list(second.sum((1, 2, 3)) / masks.sum((1, 2, 3)))
    assert min(areas) < 0.6 and max(areas) > 1.7


@pytest.mark.parametrize("images", [SQUARE, WIDE])
def test_image_and_mask_of_the_second_view_stay_aligned(images):
    masks = (images[..., :1] > 0).astype("float32")
    views = TwoViews(1.0, seed=3)
    seen = set()
    for step in range(12):
        moved = views.add_second(images, masks, tf.constant(step))[1].numpy()
        np.testing.assert_array_equal(moved[:2], masks)
        seen.add(moved[2:].tobytes())
        # A network that follows the turn gives maps that do not differ.
        loss = views.loss(tf.constant(moved), tf.constant(step))
        assert float(loss) == pytest.approx(0, abs=1e-6)
    assert len(seen) > 2


def test_maps_that_differ_cost():
    masks = np.zeros((4, 16, 16, 1), "float32")
    masks[:2, :8] = 1  # the first views' maps; those of the second are empty
    loss = TwoViews(2.0, seed=0).loss(tf.constant(masks), tf.constant(5))
    assert float(loss) == pytest.approx(2 * (1 - 1 / (8 * 16 + 1)), rel=1e-5)


def test_colours_change_within_the_range_and_repeat():
    one, again, other = (
        recolour(tf.constant(SQUARE), tf.constant([7, step])).numpy()
        for step in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).mean() > 0.01
    assert np.abs(one).max() <= 1
    # Each image of the batch has colours of its own.
    means = (one - SQUARE).mean((1, 2))
    assert np.abs(means[0] - means[1]).max() > 0.01


@pytest.mark.parametrize("use_discriminator", [False, True])
def test_a_step_sees_both_views_and_repeats(use_discriminator):
    masks = (SQUARE[..., :1] > 0).astype("float32")
    runs = []
    for _ in range(2):
        keras.utils.set_random_seed(2)
        given = {"data_path": ["x"], "use_discriminator": use_discriminator}
        trainer = build_trainer(new_options({**given, "consistency": 1.0}), (32, 32))
        trainer.views.add_second = Mock(wraps=trainer.views.add_second)
        trainer.views.loss = Mock(wraps=trainer.views.loss)
        results = [trainer.train_step((SQUARE, masks)) for _ in range(2)]
        assert trainer.views.add_second.call_count == 2
        maps = trainer.views.loss.call_args.args[0]
        assert maps.shape == (4, 32, 32, 1)
        runs.append([float(result["loss"]) for result in results])
    assert runs[0] == pytest.approx(runs[1], rel=1e-4)


def test_the_difference_is_part_of_the_loss():
    masks = (SQUARE[..., :1] > 0).astype("float32")
    losses = []
    for weight in (1e-9, 1.0):
        keras.utils.set_random_seed(2)
        given = {"data_path": ["x"], "use_discriminator": False, "consistency": weight}
        trainer = build_trainer(new_options(given), (32, 32))
        losses.append(float(trainer.train_step((SQUARE, masks))["loss"]))
    assert losses[1] > losses[0] + 1e-3
