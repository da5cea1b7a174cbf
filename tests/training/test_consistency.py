"""Two views of each image: they lie on each other, and their maps are compared."""

from unittest.mock import Mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from losses import StructureLoss
from models.discriminator import build_discriminator
from tests.training.conftest import tiny_network
from training.build import build_trainer
from training.consistency import TwoViews, move, recolour
from training.gan import LGPSGAN
from training.recipes import new_options
from training.trainer import SegmentationTrainer

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


def _trainer(weight, use_discriminator=False):
    keras.utils.set_random_seed(2)
    network = tiny_network(32)
    views = TwoViews(weight, seed=3)
    optimizers = {"optimizer": keras.optimizers.Adam()}
    if use_discriminator:
        trainer = LGPSGAN(network, build_discriminator((32, 32, 3)), views=views)
        optimizers["discriminator_optimizer"] = keras.optimizers.Adam()
    else:
        trainer = SegmentationTrainer(network, views=views)
    trainer.compile(loss=StructureLoss(), **optimizers)
    trainer.build()
    return trainer


@pytest.mark.parametrize("use_discriminator", [False, True])
def test_a_step_sees_both_views_and_repeats(use_discriminator):
    masks = (SQUARE[..., :1] > 0).astype("float32")
    runs = []
    for _ in range(2):
        trainer = _trainer(1.0, use_discriminator)
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
    without, added = (
        float(_trainer(weight).train_step((SQUARE, masks))["loss"])
        for weight in (1e-9, 1.0)
    )
    assert added > without + 1e-3


@pytest.mark.parametrize("use_discriminator", [False, True])
def test_weight_and_seed_reach_either_trainer(use_discriminator):
    given = {"data_path": ["x"], "use_discriminator": use_discriminator}
    given |= {"consistency": 2.0, "seed": 7}
    views = build_trainer(new_options(given), (32, 32)).views
    assert (views.weight, views.seed) == (2.0, 7)
