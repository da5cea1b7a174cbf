"""Checkpoints: the published ones load unchanged, the bad ones are refused."""

import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import models.checkpoints
from cli.command import UserError
from cli.files import sha256
from models import build_model, hdf5_trial
from models.checkpoints import load_checkpoint, save_checkpoint
from models.run_folder import RunFolder, Validation
from training.recalibrate import batch_normalisations

ROOT = Path(__file__).parents[2]
TRIAL_FILE = ROOT.parent / "shared/weights/lgps_trial.h5"
SHAPE = (32, 48, 3)

# How a published file lists its first decoder block, with and without SE.
BLOCK = "Conv2D BatchNormalization ReLU Conv2D Conv2D BatchNormalization"
BLOCK = f"InputLayer Functional {BLOCK} BatchNormalization Add ReLU".split()
SE = "GlobalAveragePooling2D Dense Dense Reshape Multiply".split()
FIRST_CONVOLUTION = "bottleneck_conv1"  # of the decoder


def published_block(inputs, filters: int, use_se: bool):
    layers, width = keras.layers, filters // 4
    x = layers.Conv2D(width, (1, 1))(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(width, (3, 3), padding="same")(x)
    x = layers.BatchNormalization()(x)
    shortcut = layers.Conv2D(width, (1, 1))(inputs)
    shortcut = layers.BatchNormalization()(shortcut)
    x = layers.ReLU()(layers.Add()([shortcut, x]))
    if not use_se:
        return x
    gate = layers.GlobalAveragePooling2D()(x)
    gate = layers.Dense(width // 16, activation="relu")(gate)
    gate = layers.Dense(width, activation="sigmoid")(gate)
    gate = layers.Reshape((1, 1, width))(gate)
    return layers.Multiply()([x, gate])


def build_published(use_se: bool) -> keras.Model:
    """LGPS as its description has it, in plain Keras layers with default names."""
    base = keras.applications.MobileNetV2(SHAPE, include_top=False, weights=None)
    names = [f"block_{number}_expand_relu" for number in (13, 1, 3, 6)]
    encoder = keras.Model(base.input, [base.get_layer(name).output for name in names])
    inputs = keras.Input(SHAPE)
    deep, stride_2, stride_4, stride_8 = encoder(inputs)
    x = published_block(deep, 576, use_se)
    for filters, skip in ((256, stride_8), (128, stride_4), (64, stride_2)):
        x = keras.layers.UpSampling2D((2, 2), interpolation="bilinear")(x)
        x = published_block(keras.layers.Concatenate()([x, skip]), filters, use_se)
    x = keras.layers.UpSampling2D((2, 2), interpolation="bilinear")(x)
    x = keras.layers.Conv2D(1, (1, 1), activation="sigmoid")(x)
    return keras.Model(inputs, x)


def randomise(model: keras.Model, seed: int) -> None:
    """Every weight of its own, batch normalisation statistics included."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = weight.numpy() * rng.uniform(0.5, 1.5, weight.shape)
        if len(weight.shape) == 1:  # biases and moving means start at 0
            values += rng.uniform(-0.1, 0.1, weight.shape)
        weight.assign(values)


def images(batch: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (batch, *SHAPE)).astype("float32")


def class_names(path: Path) -> list[str]:
    with h5py.File(path) as file:
        config = json.loads(file.attrs["model_config"])
    return [layer["class_name"] for layer in config["config"]["layers"]]


@pytest.mark.parametrize("use_se", [True, False])
def test_published_files_load_and_ours_load_in_published_code(use_se, tmp_path):
    published = build_published(use_se)
    randomise(published, seed=1)
    expected = np.asarray(published(images()))
    assert np.ptp(expected) > 0.01  # the weights do matter
    theirs = tmp_path / "theirs.h5"
    published.save(theirs)
    order = BLOCK + SE if use_se else BLOCK
    assert class_names(theirs)[: len(order)] == order

    checkpoint = load_checkpoint(theirs)
    assert (checkpoint.name, checkpoint.image_size) == ("lgps", SHAPE[:2])
    assert checkpoint.path == theirs and checkpoint.convention.channel_order == "RGB"
    np.testing.assert_allclose(checkpoint.model(images()), expected, atol=1e-6)

    randomise(checkpoint.model, seed=2)
    expected = np.asarray(checkpoint.model(images()))
    ours = tmp_path / "ours.h5"
    save_checkpoint(checkpoint.model, ours)
    assert class_names(ours) == class_names(theirs)
    published.load_weights(ours)
    np.testing.assert_allclose(published(images()), expected, atol=1e-6)
    if use_se:  # once is enough: it takes a while
        whole = keras.saving.load_model(ours)
        np.testing.assert_allclose(whole(images()), expected, atol=1e-6)


@pytest.fixture(scope="module")
def good_file(tmp_path_factory) -> Path:
    model = build_model("lgps", SHAPE)
    path = tmp_path_factory.mktemp("good") / "good.h5"
    save_checkpoint(model, path)
    return path


cached_build = functools.cache(build_model)


@pytest.fixture
def copy(good_file, tmp_path, monkeypatch) -> Path:
    """A good file to damage; loading it builds no network anew, starts no process."""
    monkeypatch.setattr(models.checkpoints, "build_model", cached_build)
    monkeypatch.setattr(models.checkpoints, "try_reading", lambda path: None)
    return Path(shutil.copy(good_file, tmp_path / "bad.h5"))


def refusal(path: Path, **options) -> str:
    """The message a file is refused with: one printable line that names the file."""
    with pytest.raises(UserError) as caught:
        load_checkpoint(path, **options)
    message = str(caught.value)
    assert str(path) in message and message.isprintable()
    return message


def change_config(path: Path, change: Callable[[dict], object]) -> None:
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)


def first_kernel(file: h5py.File) -> tuple[h5py.Group, str]:
    """Group and name of the array of the first decoder convolution."""
    layers = file["model_weights"]
    layer = layers[FIRST_CONVOLUTION]
    group, name = str(layer.attrs["weight_names"][0]).rsplit("/", 1)
    assert name == "kernel"
    return layer[group], name


def test_another_image_size(good_file):
    checkpoint = load_checkpoint(good_file, image_size=(48, 64))
    assert checkpoint.image_size == (48, 64)
    assert checkpoint.model.input_shape == (None, 48, 64, 3)
    same = load_checkpoint(good_file).model
    for got, expected in zip(
        checkpoint.model.get_weights(), same.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


def test_illegal_image_size(copy):
    message = refusal(copy, image_size=(100, 64))
    assert "the nearest is 96×64. Received: 100×64" in message


def test_stored_size_that_no_memory_holds(copy):
    def enlarge(config):
        config["config"]["layers"][0]["config"]["batch_shape"] = [None, 65536, 32, 3]

    change_config(copy, enlarge)
    assert "images of 65536×32, expected at most 4096" in refusal(copy)
    assert load_checkpoint(copy, image_size=SHAPE[:2]).image_size == SHAPE[:2]


def test_save_replaces_at_once(copy, monkeypatch):
    """A save that fails half-way leaves the file that was there."""
    model = load_checkpoint(copy).model
    before = copy.read_bytes()

    def full_disk(path):
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(model, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(model, copy)
    assert copy.read_bytes() == before


def test_one_flipped_bit_of_a_scored_checkpoint(copy):
    run = RunFolder(copy.parent)
    copy.rename(run.best)
    run.write_validation(Validation(0.5, 0.9, 0.9))  # as earlier versions wrote it
    load_checkpoint(run.best)
    run.write_validation(Validation(0.5, 0.9, 0.9, sha256=sha256(run.best)))
    load_checkpoint(run.best)
    with h5py.File(run.best, "r+") as file:
        group, name = first_kernel(file)
        bits = group[name][()].view(np.uint32)
        bits[0, 0, 0, 0] ^= 1
        group[name][...] = bits.view(np.float32)
    message = refusal(run.best)
    assert "has changed since it was scored" in message
    assert str(run.validation) in message and "--unverified" in message
    changed = load_checkpoint(run.best, verify=False).model
    kernel = changed.get_layer(FIRST_CONVOLUTION).kernel.numpy()
    np.testing.assert_array_equal(kernel, bits.view(np.float32))


def test_what_did_not_come_with_the_code_is_tried_first(copy, monkeypatch):
    tried = []
    monkeypatch.setattr(models.checkpoints, "try_reading", tried.append)
    load_checkpoint(copy)
    assert tried == [copy]
    run = RunFolder(copy.parent)
    copy.rename(run.best)
    # Who made the file can have made its hash.
    run.write_validation(Validation(0.5, 0.9, 0.9, sha256=sha256(run.best)))
    load_checkpoint(run.best)
    assert tried == [copy, run.best]
    monkeypatch.setitem(models.checkpoints.SHIPPED_WEIGHTS, "copy", run.best.resolve())
    load_checkpoint(run.best)
    assert tried == [copy, run.best]
    load_checkpoint(run.best, verify=False)
    assert tried == [copy, run.best, run.best]


def test_a_file_that_hdf5_hangs_on(copy, monkeypatch):
    """A collection of texts that is said to be larger than it is: HDF5 1.14 hangs."""
    content = bytearray(copy.read_bytes())
    content[content.rindex(b"GCOL\x01") + 9] = 255
    copy.write_bytes(content)
    monkeypatch.setattr(hdf5_trial, "TRIAL_SECONDS", 4)
    monkeypatch.setattr(models.checkpoints, "try_reading", hdf5_trial.try_reading)
    assert "HDF5" in refusal(copy)


def test_no_file(tmp_path):
    assert "not found" in refusal(tmp_path / "none.h5")
    assert "not found" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a model\n" * 1000])
def test_not_hdf5(tmp_path, content):
    path = tmp_path / "text.h5"
    path.write_bytes(content)
    assert "not an HDF5 file" in refusal(path)


@pytest.mark.parametrize("share", [0.0005, 0.3, 0.99])
def test_truncated(copy, share):
    content = copy.read_bytes()
    copy.write_bytes(content[: int(share * len(content))])
    assert "cannot be loaded" in refusal(copy)


def test_weights_only(tmp_path):
    path = tmp_path / "only.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(path)
    assert "holds no whole model" in refusal(path)


def test_name_that_keras_reads_otherwise(copy):
    """Keras takes NAME.weights.h5 for its newer format, and .hdf5 is not ours."""
    for name in ("good.weights.h5", "good.hdf5"):
        path = Path(shutil.copy(copy, copy.with_name(name)))
        assert "must be named NAME.h5" in refusal(path)


def test_foreign_model(tmp_path):
    path = tmp_path / "dense.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(path)
    assert "none of the known models (lgps, pvtseg)" in refusal(path)


@pytest.mark.parametrize("nested", [False, True])
def test_lambda_never_runs(copy, nested):
    marker = copy.with_name("marker")
    code = f"lambda x: (__import__('pathlib').Path({str(marker)!r}).touch(), x)[1]"
    payload = keras.layers.serialize(keras.layers.Lambda(eval(code), name="harmless"))
    text = json.dumps(payload)
    # The code is harmful: deserialised without Keras's safe mode, it runs.
    keras.saving.deserialize_keras_object(json.loads(text), safe_mode=False)(
        np.zeros(1)
    )
    assert marker.exists()
    marker.unlink()

    def plant(config):
        layers = config["config"]["layers"]
        (layers[1]["config"]["layers"] if nested else layers).append(json.loads(text))

    change_config(copy, plant)
    assert "refused: it holds layers that lgps does not have: Lambda" in refusal(copy)
    assert not marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        "{not json",
        "[" * 200_000,
        '{"config": {"layers": ' * 50_000,
        "[1, 2]",
        "null",
        "{}",
        '{"config": {"layers": []}}',
        '{"config": {"layers": {"block_13_expand_relu": 1}}}',
        '{"config": {"layers": [{"config": {"name": "block_13_expand_relu"}}]}}',
        '{"config": {"layers": [{"config": {"name": "pvt_v2_b9"}}]}}',
        '{"config": {"layers": [{"class_name": "InputLayer", "config": {}},'
        ' {"config": {"name": "block_13_expand_relu"}}]}}',
        '{"config": {"layers": [{"class_name": ["InputLayer"], "config":'
        ' {"name": "block_13_expand_relu"}}]}}',
        '{"config": {"layers": [{"class_name": "InputLayer", "config": {"name":'
        ' "block_13_expand_relu", "batch_shape": [1, -16, 1' + "0" * 40 + ", 3]}}]}}",
        np.bytes_(b"\xff\xfe"),
        np.arange(3),
        h5py.Empty("f"),
    ],
)
def test_malformed_architecture(copy, text):
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = text
    refusal(copy)


def test_names_in_the_file_cannot_disturb_the_terminal(copy):
    name = "Evil\x1b[2J" + 500 * "x" + "\nmore"
    change_config(copy, lambda c: c["config"]["layers"].append({"class_name": name}))
    assert len(refusal(copy)) < len(str(copy)) + 300


def reshape_kernel(file):
    group, name = first_kernel(file)
    values = group[name][()]
    del group[name]
    group[name] = values.reshape(-1)


def shorten_kernel(file):
    group, name = first_kernel(file)
    values = group[name][()]
    del group[name]
    group[name] = values[..., :-1]


def spell_kernel(file):
    group, name = first_kernel(file)
    shape = group[name].shape
    del group[name]
    group[name] = np.full(shape, b"x")


def drop_layer(file):
    layers = file["model_weights"]
    del layers[FIRST_CONVOLUTION]


def array_for_weights(file):
    del file["model_weights"]
    file["model_weights"] = np.zeros(3)


@pytest.mark.parametrize(
    "change",
    [
        reshape_kernel,
        shorten_kernel,
        spell_kernel,
        drop_layer,
        array_for_weights,
    ],
)
def test_arrays_that_do_not_fit(copy, change):
    with h5py.File(copy, "r+") as file:
        change(file)
    refusal(copy)


def external_link(group, name, values, elsewhere):
    with h5py.File(elsewhere, "w") as other:
        other["x"] = values
    group[name] = h5py.ExternalLink(str(elsewhere), "x")


def soft_link(group, name, values, elsewhere):
    group.file["aside"] = values
    group[name] = h5py.SoftLink("/aside")


def virtual_dataset(group, name, values, elsewhere):
    with h5py.File(elsewhere, "w") as other:
        other["x"] = values
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[...] = h5py.VirtualSource(str(elsewhere), "x", values.shape)
    group.create_virtual_dataset(name, layout)


def external_storage(group, name, values, elsewhere):
    elsewhere.write_bytes(values.tobytes())
    group.create_dataset(
        name, values.shape, values.dtype, external=[(str(elsewhere), 0, values.nbytes)]
    )


def promised_only(group, name, values, elsewhere):
    """Declared, never written: memory is asked for that the file does not hold."""
    group.create_dataset(name, values.shape, values.dtype, chunks=True)


@pytest.mark.parametrize(
    "replace",
    [external_link, soft_link, virtual_dataset, external_storage, promised_only],
)
def test_arrays_that_lie_elsewhere(copy, replace):
    with h5py.File(copy, "r+") as file:
        group, name = first_kernel(file)
        values = group[name][()]
        del group[name]
        replace(group, name, values, copy.with_name("elsewhere"))
        file["model_weights/spare"] = values  # so that the sum of weights is right
    assert "refused" in refusal(copy)


def test_arrays_beside_the_weights_are_checked_too(copy):
    """Keras follows absolute names in `layer_names` out of model_weights."""
    with h5py.File(copy, "r+") as file:
        file.create_dataset("bomb", (2**40,), "float32", chunks=(2**20,))
    assert "refused" in refusal(copy)


def test_a_second_set_of_weights(copy):
    """Keras reads the root instead of model_weights when it has `layer_names`."""
    with h5py.File(copy, "r+") as file:
        file.attrs["layer_names"] = ["conv2d"]
    assert "refused" in refusal(copy)


FUZZ = """
import collections, pathlib, sys
import numpy as np
from cli.command import UserError, import_tensorflow
import_tensorflow()
import keras
import models.checkpoints
from models.checkpoints import load_checkpoint

def build(name, shape, **options):
    inputs = keras.Input(shape)
    x = keras.layers.Conv2D(2, 3, name="block_13_expand_relu")(inputs)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(inputs, keras.layers.Multiply()([x, x]))

tiny = build("lgps", (16, 16, 3))
models.checkpoints.build_model = lambda *a, **k: tiny
models.checkpoints.try_reading = lambda path: None  # this process is the trial
path = pathlib.Path(sys.argv[1])
models.checkpoints.save_checkpoint(tiny, path)
good = np.fromfile(path, np.uint8)
rng = np.random.default_rng(0)
outcomes = collections.Counter()
for _ in range(int(sys.argv[2])):
    bad = good.copy()
    places = rng.integers(len(bad), size=rng.integers(1, 9))
    bad[places] ^= rng.integers(1, 256, len(places), np.uint8)
    path.write_bytes(bad.tobytes())
    try:
        load_checkpoint(path)
        outcomes["loaded"] += 1
    except UserError as error:
        assert str(path) in str(error) and str(error).isprintable(), error
        outcomes["refused"] += 1
print(outcomes["loaded"], outcomes["refused"])
"""


def test_flipped_bytes_are_refused_or_loaded(tmp_path):
    """In a process of its own: HDF5 is C, and a crash would take the tests along.

    The flips are the same each time: about one file in a thousand makes HDF5 1.14
    hang, which `models.hdf5_trial` is for.
    """
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(tmp_path / "fuzz.h5"), "150"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    loaded, refused = map(int, done.stdout.split())
    assert loaded > 20 and refused > 20


@pytest.mark.skipif(not TRIAL_FILE.is_file(), reason="no trained checkpoint here")
def test_trained_checkpoint():
    checkpoint = load_checkpoint(TRIAL_FILE, image_size=(64, 64))
    with h5py.File(TRIAL_FILE) as file:
        layers = file["model_weights"]
        last = layers[layers.attrs["layer_names"][-1]]
        kernel, bias = (last[name][()] for name in last.attrs["weight_names"])
    assert kernel.shape == (1, 1, 16, 1)
    np.testing.assert_array_equal(checkpoint.model.layers[-1].kernel, kernel)
    np.testing.assert_array_equal(checkpoint.model.layers[-1].bias, bias)


def test_frozen_layers_are_saved_where_they_are_looked_for(tmp_path):
    model = build_model("lgps", SHAPE)
    norms = batch_normalisations(model)
    for layer in norms:
        layer.trainable = False
    save_checkpoint(model, tmp_path / "best.h5")
    assert not any(layer.trainable for layer in norms)
    loaded = load_checkpoint(tmp_path / "best.h5").model
    image = np.random.default_rng(0).uniform(-1, 1, (1, *SHAPE)).astype("float32")
    np.testing.assert_allclose(model(image), loaded(image), atol=1e-6)
