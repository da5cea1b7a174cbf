"""The trainer: image sizes, the decoder's heads, what is traced and what is saved."""

from dataclasses import asdict
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from cli.command import UserError
from losses import StructureLoss, dice_per_image_loss, distillation_loss
from models.checkpoints import load_checkpoint, save_checkpoint
from models.run_folder import RunFolder
from tests.training.conftest import tiny_network
from training.build import build_network, build_trainer
from training.callbacks import BestCheckpoints, scaled_logits
from training.options import TrainingOptions
from training.recipes import new_options
from training.trainer import SegmentationTrainer

SIDES = (32, 48)


def _build(build, model="lgps", size=(64, 64), **given):
    keras.utils.set_random_seed(2)
    given = {"data_path": ["x"], "use_discriminator": False, **given}
    if model == "pvtseg":
        lgps_only = ("use_discriminator", "use_se")
        given = {name: given[name] for name in given if name not in lgps_only}
        given |= {"model": model, "encoder": "pvt_v2_b0"}
    return build(new_options(given), size)


_trainer = partial(_build, build_trainer)
_network = partial(_build, build_network)


def _batch(side: int, count: int = 2):
    rng = np.random.default_rng(side)
    images = rng.uniform(-1, 1, (count, side, side, 3)).astype("float32")
    return images, (images[..., :1] > 0.5).astype("float32")


def _tiny_trainer():
    trainer = SegmentationTrainer(tiny_network(64))
    trainer.compile(keras.optimizers.Adam(), StructureLoss())
    trainer.build()
    return trainer


# Tracing a step of a whole network takes 15 s and more.
@pytest.mark.parametrize(
    ("make", "sides"),
    [
        (_tiny_trainer, SIDES),
        pytest.param(_trainer, SIDES, marks=pytest.mark.slow),
        pytest.param(partial(_trainer, "pvtseg"), (32, 96), marks=pytest.mark.slow),
    ],
    ids=["tiny", "lgps", "pvtseg"],
)
def test_one_trace_a_size_whatever_the_last_batch_holds(make, sides):
    trainer = make()
    traces = []
    step = trainer.train_step
    trainer.train_step = lambda data: traces.append(data[0].shape[1]) or step(data)
    batches = [_batch(sides[0]), _batch(sides[1]), _batch(sides[0], 1)] * 2
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(batches),
        output_signature=(
            tf.TensorSpec((None, None, None, 3)),
            tf.TensorSpec((None, None, None, 1)),
        ),
    )
    trainer.fit(dataset.repeat(), steps_per_epoch=6, epochs=2, shuffle=False, verbose=0)
    assert sorted(traces) == sorted(sides)


def test_a_network_called_at_another_size_computes_what_one_built_for_it_does():
    network = _trainer().network
    other = _network(size=(48, 48))
    other.set_weights(network.get_weights())
    images, _ = _batch(48)
    np.testing.assert_allclose(network(images), other(images), atol=1e-6)


def test_the_saved_network_s_logits_are_scaled_and_the_trained_one_s_not(tmp_path):
    trainer = _trainer()
    images, _ = _batch(64)
    before = trainer.network(images).numpy()
    checkpoints = BestCheckpoints(RunFolder(tmp_path), "last", logit_scale=3.0)
    checkpoints.set_model(trainer)
    checkpoints.on_epoch_end(0, {"val_loss": 1.0, "val_dice": 0.5})
    saved = load_checkpoint(tmp_path / "best.h5").model(images).numpy()
    logits, sharper = (np.log(p / (1 - p)) for p in (before, saved))
    np.testing.assert_allclose(sharper, 3 * logits, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(trainer.network(images), before)


def test_a_run_goes_on_from_a_saved_network(tmp_path):
    first = _network(logit_scale=3.0)
    first.set_weights([1.1 * weights for weights in first.get_weights()])
    path = tmp_path / "first.h5"
    with scaled_logits(first, 3.0):
        save_checkpoint(first, path)
    images, _ = _batch(64)
    saved = load_checkpoint(path).model(images)
    second = _network(initial_weights=str(path))
    np.testing.assert_allclose(second(images), saved, atol=1e-6)
    # Beside its run's options, the file says what its logits were multiplied by.
    options = TrainingOptions(logit_scale=3.0)
    RunFolder(tmp_path).write_config({"options": asdict(options)})
    second = _network(initial_weights=str(path))
    np.testing.assert_allclose(second(images), first(images), atol=1e-6)


@pytest.mark.parametrize(("model", "use_se"), [("lgps", False), ("pvtseg", True)])
def test_a_run_does_not_go_on_from_another_network(tmp_path, model, use_se):
    path = tmp_path / "first.h5"
    save_checkpoint(_network(), path)
    with pytest.raises(UserError, match="first.h5 is not of the network to be trained"):
        _network(model, use_se=use_se, initial_weights=str(path))


def test_heads_learn_and_are_not_saved(tmp_path):
    trainer = _trainer(deep_supervision=True)
    before = [variable.numpy() for variable in trainer.heads.own_variables]
    assert len(before) == 6  # a kernel and a bias at strides 16, 8 and 4
    trainer.train_step(tuple(map(tf.constant, _batch(32))))
    for old, variable in zip(before, trainer.heads.own_variables, strict=True):
        assert not np.array_equal(old, variable.numpy())
    save_checkpoint(trainer.network, tmp_path / "a.h5")
    loaded = load_checkpoint(tmp_path / "a.h5").model
    assert loaded.count_params() == 1_084_961
    images, _ = _batch(64)
    np.testing.assert_allclose(loaded(images), trainer.network(images), atol=1e-6)


def test_the_heads_loss_is_that_of_the_shrunk_mask():
    heads = _trainer(deep_supervision=True).heads
    masks = np.zeros((1, 32, 32, 1), "float32")
    masks[:, :4, :16] = 1  # at stride 16: a quarter of the first of 2×2 cells
    maps = [np.full((1, 32 // s, 32 // s, 1), 0.5, "float32") for s in (16, 8, 4)]
    truths = [np.zeros_like(values) for values in maps]
    truths[0][:, 0, 0] = 0.25
    truths[1][:, 0, :2] = 0.5
    truths[2][:, 0, :4] = 1
    # BCE against a constant 0.5 is ln 2 whatever the truth; weights 0.25 and 2.
    dice = [float(dice_per_image_loss(t, m)) for t, m in zip(truths, maps, strict=True)]
    expected = 0.25 * (3 * 2 * np.log(2) + sum(dice))
    assert float(heads.loss_of(masks, maps)) == pytest.approx(expected, rel=1e-5)


def test_heads_change_what_the_network_learns():
    after = {}
    for deep in (False, True):
        trainer = _trainer(deep_supervision=deep)
        trainer.train_step(tuple(map(tf.constant, _batch(32))))
        after[deep] = trainer.network.get_layer("bottleneck_conv1").get_weights()[0]
    assert not np.allclose(after[False], after[True], atol=1e-6)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_the_maps_of_teachers_add_to_the_loss(weight):
    keras.utils.set_random_seed(1)
    network = tiny_network(32)
    trainer = SegmentationTrainer(network, teacher_weight=weight)
    trainer.compile(keras.optimizers.SGD(0.0), StructureLoss())
    trainer.build()
    images, masks = _batch(32)
    teacher = np.full_like(masks, 0.25)
    results = trainer.train_step((images, np.concatenate([masks, teacher], -1)))
    maps = network(images, training=True)
    taught = weight * distillation_loss(teacher, maps)
    expected = float(StructureLoss()(masks, maps) + taught)
    assert float(results["loss"]) == pytest.approx(expected, rel=1e-5)
    trainer.reset_metrics()
    plain = trainer.train_step((images, masks))
    assert float(plain["dice"]) == pytest.approx(float(results["dice"]))
