"""Maps from a network: padding, flips and the refinement."""

import numpy as np
import pytest
import tensorflow as tf

from cli.command import UserError
from evaluation.maps import NetworkMaps, average_flips, refine_by_crf
from models import build_model
from models.checkpoints import load_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.h5"
    build_model("lgps", (32, 48, 3)).save(path)
    return load_checkpoint(path)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 32, 48, 3), np.uint8)


def test_padded_batches_equal_a_plain_call(
    checkpoint, images, make_case, make_case_set
):
    prepared = checkpoint.convention.prepare(images.astype("float32"))
    plain = checkpoint.model(prepared)[..., 0].numpy()
    maps = NetworkMaps(checkpoint, batch_size=4)
    truth = np.zeros((32, 48))
    cases = [make_case(truth, truth, f"case{i}", image=x) for i, x in enumerate(images)]
    predicted = list(maps.cases(make_case_set(cases)))
    assert [case.name for case in predicted] == [f"case{i}" for i in range(5)]
    for case, expected in zip(predicted, plain, strict=True):
        np.testing.assert_allclose(case.probability, expected, atol=1e-5)
    some = list(maps.cases(make_case_set(cases), [3, 1]))
    assert [case.name for case in some] == ["case3", "case1"]
    np.testing.assert_allclose(some[0].probability, plain[3], atol=1e-5)


def test_maps_that_are_not_finite_name_the_checkpoint(checkpoint, images):
    broken = load_checkpoint(checkpoint.path)
    broken.model.layers[-1].bias.assign([np.nan])
    with pytest.raises(UserError, match="tiny.h5: its maps are not finite"):
        NetworkMaps(broken, batch_size=1).predict(images[:1])


def test_flips_are_flipped_back():
    # A network that depends on place: the value of the pixel plus its column.
    def network(images):
        return images[..., :1] + tf.range(3.0)[None, None, :, None]

    images = tf.reshape(tf.range(6.0), (1, 2, 3, 1))
    averaged = average_flips(network)(images)
    # Flipped left to right, column c gets 2 - c: the mean is 1 everywhere.
    np.testing.assert_allclose(averaged, images + 1)


def test_refinement_removes_a_speck():
    images = np.full((1, 32, 32, 3), 90.0, np.float32)
    images[:, :, 16:] = 200
    probability = np.where(images[..., :1] > 100, 0.9, 0.1).astype(np.float32)
    probability[0, 16, 4] = 0.6
    refined = refine_by_crf(lambda _: tf.constant(probability))(tf.constant(images))
    assert refined.shape == (1, 32, 32, 1)
    assert float(refined[0, 16, 4, 0]) < 0.5
    assert float(refined[0, 16, 24, 0]) > 0.9
