"""The GAN step: who is moved by what, NaN, and learning a few images by heart."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cli.command import UserError
from losses import LGPSLoss
from models.discriminator import build_discriminator
from tests.training.conftest import tiny_network
from training.build import build_trainer
from training.callbacks import StopOnNaN, training_callbacks
from training.gan import LGPSGAN
from training.recipes import new_options
from training.trainer import SegmentationTrainer

SIDE = 32


def _gan(adversarial_weight: float, crf: str = "published") -> LGPSGAN:
    keras.utils.set_random_seed(1)
    gan = LGPSGAN(
        tiny_network(SIDE),
        build_discriminator((SIDE, SIDE, 3), crf),
        adversarial_weight,
        from_logits=crf == "meanfield",
    )
    # Steps in proportion to the gradient, so that a small term shows.
    sgd = keras.optimizers.SGD
    gan.compile(sgd(1.0), LGPSLoss(), discriminator_optimizer=sgd(0.01))
    gan.build()
    return gan


@pytest.fixture
def batch() -> tuple[tf.Tensor, tf.Tensor]:
    rng = np.random.default_rng(0)
    masks = np.zeros((4, SIDE, SIDE, 1), "float32")
    masks[:, 8:20, 10:24] = 1
    images = masks * [0.8, -0.5, 0.1] + 0.3 * rng.normal(size=(4, SIDE, SIDE, 3))
    return tf.constant(images, tf.float32), tf.constant(masks)


def _after_a_step(trainer, batch) -> list[np.ndarray]:
    trainer.train_step(batch)
    return trainer.network.get_weights()


def test_at_weight_0_the_discriminator_learns_but_never_moves_the_generator(batch):
    gan = _gan(adversarial_weight=0.0)
    judge_before = gan.discriminator.get_weights()
    with_judge = _after_a_step(gan, batch)
    judge_after = gan.discriminator.get_weights()
    assert not all(map(np.array_equal, judge_before, judge_after))

    keras.utils.set_random_seed(1)
    alone = SegmentationTrainer(tiny_network(SIDE))
    alone.compile(keras.optimizers.SGD(1.0), LGPSLoss())
    alone.build()
    for a, b in zip(with_judge, _after_a_step(alone, batch), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("crf", ["published", "meanfield"])
def test_above_weight_0_the_discriminator_moves_the_generator(crf, batch):
    inert = _after_a_step(_gan(0.0, crf), batch)
    moved = _after_a_step(_gan(1.0, crf), batch)
    assert not all(map(np.array_equal, inert, moved))


def test_gradients_of_both_are_taken_before_either_is_updated(batch):
    """The discriminator's first step does not depend on the generator's update."""
    slow, fast = _gan(0.0), _gan(0.0)
    slow.optimizer.learning_rate = 0.0
    slow.train_step(batch)
    fast.train_step(batch)
    for a, b in zip(
        slow.discriminator.get_weights(), fast.discriminator.get_weights(), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_validation_loss_of_binarised_predictions(batch):
    images, masks = batch
    constant = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Lambda(lambda x: x[..., :1] * 0 + 0.6),
        ]
    )
    losses = {}
    for binarised in (False, True):
        segmenter = SegmentationTrainer(constant, binarised_val_loss=binarised)
        segmenter.compile(keras.optimizers.Adam(), keras.losses.MeanSquaredError())
        losses[binarised] = float(segmenter.test_step((images, masks))["loss"])
    foreground = masks.numpy().mean()
    # mean of (m - 0.6)² and of (m - 1)²
    expected = 0.4**2 * foreground + 0.6**2 * (1 - foreground)
    assert losses[False] == pytest.approx(expected, rel=1e-5)
    assert losses[True] == pytest.approx(1 - foreground, rel=1e-5)


def test_a_loss_that_is_not_finite_ends_training():
    with pytest.raises(UserError, match="became nan at step 3"):
        StopOnNaN().on_train_batch_end(2, {"loss": float("nan")})
    StopOnNaN().on_train_batch_end(2, {"loss": 0.5})
    with pytest.raises(UserError, match="validation loss became nan in epoch 2"):
        StopOnNaN().on_epoch_end(1, {"val_loss": float("nan")})
    StopOnNaN().on_epoch_end(1, {"val_loss": 0.5})


def test_what_is_not_finite_is_noticed_before_anything_is_saved():
    first, *_ = training_callbacks(new_options({"data_path": ["x"]}))
    assert isinstance(first, StopOnNaN)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_optimizers_are_wrapped_for_float16(precision):
    keras.config.set_dtype_policy(precision)
    try:
        gan = _gan(0.0)
    finally:
        keras.config.set_dtype_policy("float32")
    scaled = keras.optimizers.LossScaleOptimizer
    assert isinstance(gan.optimizer, scaled) == (precision == "mixed_float16")
    assert isinstance(gan.discriminator_optimizer, scaled) == (
        precision == "mixed_float16"
    )


@pytest.mark.slow
def test_lgps_learns_four_images_by_heart(batch):
    keras.utils.set_random_seed(0)
    given = {"data_path": ["none"], "learning_rate": 2e-3, "use_discriminator": False}
    options = new_options(given)
    trainer = build_trainer(options, (SIDE, SIDE))
    images, masks = batch
    history = trainer.fit(images, masks, batch_size=4, epochs=60, verbose=0)
    assert history.history["dice"][-1] > 0.95


@pytest.mark.parametrize("crf", ["published", "meanfield"])
def test_the_gan_trains_at_another_size_than_it_was_built_for(crf, batch):
    gan = _gan(1.0, crf)
    half = [tf.image.resize(one, (SIDE // 2, SIDE // 2)) for one in batch]
    before = gan.discriminator.get_weights()
    gan.train_step(half)
    assert not all(map(np.array_equal, before, gan.discriminator.get_weights()))
    other = build_discriminator((SIDE // 2, SIDE // 2, 3), crf)
    other.set_weights(gan.discriminator.get_weights())
    np.testing.assert_allclose(gan.discriminator(half), other(half), atol=1e-6)
