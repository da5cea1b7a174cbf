"""The converter: what is used, ignored and refused. Most of it without PyTorch."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from cli.command import UserError
from models.checkpoints import load_checkpoint
from models.pvt_v2 import build_pvt_v2
from tools.check_parity import random_parameter
from tools.convert_pth import (
    ENCODER_PREFIX,
    convert,
    main,
    parse_args,
    read_state_dict,
    save,
)

FIXTURE = Path(__file__).parents[1] / "models" / "pvtseg_b0_parity.npz"


@pytest.fixture
def state():
    """A PVTSeg-b0 state dict with the published keys."""
    shapes = json.loads(str(np.load(FIXTURE)["shapes"]))
    return {key: random_parameter(key, tuple(shape)) for key, shape in shapes.items()}


@pytest.fixture
def encoder_state(state):
    """The same encoder as an ImageNet file has it."""
    encoder = {
        key.removeprefix(ENCODER_PREFIX): array
        for key, array in state.items()
        if key.startswith(ENCODER_PREFIX)
    }
    head = {"head.weight": np.ones((1000, 256)), "head.bias": np.ones(1000)}
    return encoder | head


def test_pvtseg_becomes_a_checkpoint_for_the_scripts(state, tmp_path):
    model = convert(state, "a.pth")
    save(model, tmp_path / "a.h5")
    checkpoint = load_checkpoint(tmp_path / "a.h5", image_size=(64, 96))
    assert checkpoint.name == "pvtseg"
    kernel = (
        checkpoint.model.get_layer("pvt_v2_b0").get_layer("block1_0_attn_kv").kernel
    )
    assert np.array_equal(kernel, state["backbone.block1.0.attn.kv.weight"].T)
    # (out, in, h, w) → (h, w, in, out), and (channels, 1, h, w) → (h, w, channels, 1).
    kernel = checkpoint.model.get_layer("d2_r1_conv_3").kernel
    expected = np.moveaxis(state["d2.r1.conv.3.weight"], (0, 1), (3, 2))
    assert np.array_equal(kernel, expected)


def test_imagenet_file_becomes_encoder_weights(encoder_state, tmp_path):
    save(convert(encoder_state, "b0.pth"), tmp_path / "b0.weights.h5")
    encoder = build_pvt_v2("pvt_v2_b0", (64, 64, 3), tmp_path / "b0.weights.h5")
    kernel = encoder.get_layer("block1_0_mlp_dwconv_dwconv").kernel
    source = encoder_state["block1.0.mlp.dwconv.dwconv.weight"]
    assert np.array_equal(kernel, np.moveaxis(source, (0, 1), (2, 3)))


def test_all_mismatches_are_named_at_once(state):
    del state["r1.conv.0.bias"]
    state["extra.weight"] = np.zeros(3, "float32")
    state["head.bias"] = np.zeros(1000, "float32")  # no part of PVTSeg
    state["y.weight"] = np.zeros((2, 64, 1, 1), "float32")
    state["c1.conv.1.running_var"][5] = np.nan
    with pytest.raises(UserError) as caught:
        convert(state, "a.pth")
    assert str(caught.value) == (
        "a.pth does not fit pvt_v2_b0: "
        "2 unknown: extra.weight, head.bias; "
        "1 of another shape: y.weight (2, 64, 1, 1), not (1, 64, 1, 1); "
        "1 not finite numbers: c1.conv.1.running_var; "
        "1 missing: r1.conv.0.bias"
    )


def test_other_networks_are_refused(encoder_state):
    with pytest.raises(UserError, match="neither PVTSeg nor PVTv2"):
        convert({"conv1.weight": np.zeros((64, 3, 7, 7), "float32")}, "resnet.pth")
    encoder_state["block4.2.norm1.weight"] = np.ones(256, "float32")
    with pytest.raises(UserError, match=r"no PVTv2 variant.*\[2, 2, 2, 3\]"):
        convert(encoder_state, "a.pth")


def test_target_must_have_the_right_ending(encoder_state, tmp_path):
    model = convert(encoder_state, "a.pth")
    with pytest.raises(UserError, match="OUT must be a .weights.h5"):
        save(model, tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


def test_without_pytorch_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="pip install -r requirements-convert.txt"):
        read_state_dict(tmp_path / "a.pth")


def test_missing_source(tmp_path):
    with pytest.raises(UserError, match="none.pth not found"):
        main(parse_args([str(tmp_path / "none.pth"), str(tmp_path / "a.h5")]))


class RunsCode:
    """Pickles to a call of `open`, which would create a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_anything_but_tensors_is_refused_and_not_run(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pth"
    for content in (
        {"y.weight": RunsCode(tmp_path / "proof")},
        torch.nn.Linear(1, 1),
        {"state_dict": {"y.weight": torch.zeros(1)}},
        [torch.zeros(1)],
    ):
        torch.save(content, path)
        with pytest.raises(UserError, match="no PyTorch state dict"):
            read_state_dict(path)
    assert not (tmp_path / "proof").exists()
    whole = path.read_bytes()
    for damaged in (b"", b"\x80garbage", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="no PyTorch state dict"):
            read_state_dict(path)


def test_half_precision_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.ones(2, dtype=torch.bfloat16)}, tmp_path / "a.pth")
    array = read_state_dict(tmp_path / "a.pth")["a"]
    assert array.dtype == "float32" and array.tolist() == [1, 1]
