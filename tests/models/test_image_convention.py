"""How each model's input is prepared."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from models import IMAGE_CONVENTIONS, MODEL_NAMES, build_model

PIXEL = np.array([[[0.0, 127.5, 255.0]]], "float32")  # red 0, green half, blue full


def test_every_model_has_a_convention():
    assert set(IMAGE_CONVENTIONS) == set(MODEL_NAMES) == {"lgps", "pvtseg"}


def test_lgps_takes_rgb_from_minus_one_to_one():
    # 0/127.5 - 1, 127.5/127.5 - 1, 255/127.5 - 1
    got = IMAGE_CONVENTIONS["lgps"].prepare(PIXEL)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[0, 0], [-1, 0, 1], atol=1e-6)


def test_pvtseg_takes_bgr_from_zero_to_one():
    got = IMAGE_CONVENTIONS["pvtseg"].prepare(PIXEL)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[0, 0], [1, 0.5, 0], atol=1e-6)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_tensors_are_prepared_like_arrays(name):
    batch = np.random.default_rng(0).uniform(0, 255, (2, 4, 6, 3)).astype("float32")
    prepare = IMAGE_CONVENTIONS[name].prepare
    eager = prepare(batch.copy())
    compiled = tf.function(prepare)(tf.constant(batch))
    np.testing.assert_allclose(compiled, eager, atol=1e-6)


@pytest.mark.parametrize(
    "name, size, nearest",
    [
        ("lgps", (250, 256), "divisible by 16; the nearest is 256×256"),
        ("lgps", (8, 40), "the nearest is 16×32"),  # 40 / 16 = 2.5, rounded to even
        ("pvtseg", (48, 304), "divisible by 32; the nearest is 64×320"),
        ("pvtseg", (0, -32), "the nearest is 32×32"),
    ],
)
def test_illegal_sizes_name_the_nearest(name, size, nearest):
    with pytest.raises(ValueError, match=f"{nearest}. Received: {size[0]}×{size[1]}"):
        IMAGE_CONVENTIONS[name].check_size(*size)


def test_legal_sizes():
    IMAGE_CONVENTIONS["lgps"].check_size(16, 272)
    IMAGE_CONVENTIONS["pvtseg"].check_size(32, 352)


def test_unknown_model():
    with pytest.raises(ValueError, match="lgps, pvtseg. Received: name='unet'"):
        build_model("unet")


def test_names_and_conventions_are_there_without_keras():
    code = (
        "import sys, models, models.run_folder, models.shipped;"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
