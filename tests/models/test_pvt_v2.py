"""PVTv2: sizes of the family, shapes, training behaviour, encoder weight files."""

import keras
import numpy as np
import pytest

from models.pvt_v2 import (
    ENCODER_STRIDES,
    PVT_V2_VARIANTS,
    MapAttention,
    build_pvt_v2,
    exact_gelu,
    load_encoder_weights,
)


@pytest.fixture(scope="module")
def b0():
    return build_pvt_v2("pvt_v2_b0", (None, None, 3))


def test_outputs_follow_the_stride_table(b0):
    outputs = b0(np.zeros((2, 64, 96, 3), "float32"))
    assert b0.output_names == list(ENCODER_STRIDES)
    dims = PVT_V2_VARIANTS["pvt_v2_b0"].dims
    for output, stride, dim in zip(
        outputs, ENCODER_STRIDES.values(), dims, strict=True
    ):
        assert output.shape == (2, 64 // stride, 96 // stride, dim)


def test_drop_path_grows_linearly_to_a_tenth(b0):
    rates = {layer.name: layer.rate for layer in b0.layers if "drop_path" in layer.name}
    # b0 has 8 blocks: the rate of block i is 0.1 · i / 7, none for the first.
    assert "block1_0_attn_drop_path" not in rates
    assert rates["block1_1_mlp_drop_path"] == pytest.approx(0.1 / 7)
    assert rates["block3_0_attn_drop_path"] == pytest.approx(0.4 / 7)
    assert rates["block4_1_mlp_drop_path"] == pytest.approx(0.1)
    assert len(rates) == 2 * 7


def test_drop_path_drops_whole_samples_and_only_in_training(b0):
    layer = b0.get_layer("block4_1_mlp_drop_path")
    x = np.ones((400, 2, 2, 3), "float32")
    assert np.array_equal(layer(x, training=False), x)
    dropped = keras.ops.convert_to_numpy(layer(x, training=True))
    # A sample is 0 or 1 / (1 - 0.1) throughout.
    per_sample = dropped.reshape(400, -1)
    assert np.ptp(per_sample, axis=1).max() == 0
    assert sorted(set(per_sample[:, 0].round(4))) == [0, 1.1111]
    assert 0.02 < np.mean(per_sample[:, 0] == 0) < 0.25


def test_attention_by_hand():
    # One head of one channel, two queries over two keys 0 and ln 3, values 4 and 8:
    # query 1 weighs the keys 1 : 3 → (4 + 24) / 4 = 7; query 0 equally → 6.
    query = np.array([1.0, 0.0], "float32").reshape(1, 1, 2, 1)
    key_value = np.array([[0.0, 4.0], [np.log(3), 8.0]], "float32").reshape(1, 2, 1, 2)
    mixed = MapAttention(1)([query, key_value])
    assert np.ravel(mixed) == pytest.approx([7, 6], abs=1e-5)


def test_attention_keeps_heads_apart():
    # Two heads of one channel: head 0 has equal logits, head 1 a large one for key 1.
    query = np.array([0.0, 50.0], "float32").reshape(1, 1, 1, 2)
    key_value = np.array([[1, 0, 2, 10], [1, 1, 4, 30]], "float32")
    mixed = MapAttention(2)([query, key_value.reshape(1, 1, 2, 4)])
    assert np.ravel(mixed) == pytest.approx([3, 30], abs=1e-4)


def test_gelu_is_the_exact_one():
    # x · Φ(x): Φ(1) = 0.8413447, Φ(-2) = 0.0227501; the tanh form gives 0.841192.
    x = keras.ops.array([1.0, -2.0, 0.0])
    assert np.ravel(exact_gelu(x)) == pytest.approx(
        [0.8413447, -0.0455003, 0], abs=1e-6
    )


def test_encoder_weights_file(b0, tmp_path):
    path = tmp_path / "b0.weights.h5"
    b0.save_weights(path)
    loaded = build_pvt_v2("pvt_v2_b0", (64, 64, 3), path)
    for ours, theirs in zip(b0.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


def test_wrong_encoder_weights_are_named(b0, tmp_path):
    part = tmp_path / "part.weights.h5"
    keras.Model(b0.input, b0.outputs[0]).save_weights(part)
    with pytest.raises(ValueError, match="weights, expected 3,409,760"):
        load_encoder_weights(b0, part)
    with pytest.raises(ValueError, match="not found.*convert_pth"):
        load_encoder_weights(b0, tmp_path / "none.weights.h5")
    with pytest.raises(ValueError, match="must be a .weights.h5"):
        load_encoder_weights(b0, "pvt_v2_b0.pth")
    (tmp_path / "broken.weights.h5").write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match="HDF5 cannot read it"):
        load_encoder_weights(b0, tmp_path / "broken.weights.h5")


def test_unknown_variant_is_named():
    with pytest.raises(ValueError, match="Received: variant='pvt_v2_b9'"):
        build_pvt_v2("pvt_v2_b9")
