"""Export.py: every format equals Keras, the gate deletes, int8 keeps its Dice."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

import Export
from cli.command import UserError
from data import demo
from deploy import export_run, runtimes
from deploy.card import card_path
from deploy.formats import FORMATS
from deploy.gate import (
    Frames,
    Parity,
    dataset_frames,
    held_out_frames,
    measure_parity,
)
from deploy.metadata import describe_use
from deploy.runtimes import is_probability, load_runtime, threads_and_frames
from evaluation.views import DEFAULT_VIEW
from models import build_model
from models.checkpoints import load_checkpoint, save_checkpoint
from models.inference import build_rgb_model
from models.run_folder import RunFolder, Validation

SIZE = (64, 48)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained LGPS whose probabilities vary; its run chose threshold 0.35."""
    keras.utils.set_random_seed(1)
    model = build_model("lgps", (*SIZE, 3))
    last = model.layers[-1]
    last.set_weights([30 * last.get_weights()[0], np.zeros(1)])
    path = tmp_path_factory.mktemp("checkpoint") / "best.h5"
    save_checkpoint(model, path)
    RunFolder(path.parent).write_validation(Validation(0.35, 0.9, 0.8, temperature=1.5))
    return path


def export(checkpoint, *options):
    arguments = ["--model_path", str(checkpoint), *map(str, options)]
    return Export.main(Export.parse_args(arguments))


def needs(file_format):
    for package in FORMATS[file_format].packages:
        pytest.importorskip(package)


def check_export(checkpoint, path, file_format, *options):
    """Exports, then compares with the network, whose input is prepared by hand."""
    needs(file_format)
    assert export(checkpoint, "--format", file_format, "--out", path, *options) == 0
    frame = demo.draw_frame(7, SIZE)[0]
    model = load_checkpoint(checkpoint).model
    expected = np.asarray(model(frame[None] / np.float32(127.5) - 1))[0, ..., 0]
    assert np.ptp(expected) > 0.01
    if "size" in options:
        return
    found = load_runtime(path)(frame)
    assert found.dtype == np.float32 and found.shape == SIZE
    np.testing.assert_allclose(found, expected, atol=1e-4)
    check_frames_at_once(path)


def check_frames_at_once(path):
    """Four threads with two frames at once give each the map of one alone."""
    frames = [demo.draw_frame(seed, SIZE)[0] for seed in range(12)]
    one_by_one = load_runtime(path, threads=1)
    at_once = load_runtime(path, threads=2, at_once=2)
    assert (one_by_one.at_once, at_once.at_once) == (1, 2)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(at_once, frames))
    for one, expected in zip(found, map(one_by_one, frames), strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-5)


def test_files_share_the_threads_and_the_newest_live_frame_has_them_all(monkeypatch):
    monkeypatch.setattr(runtimes, "available_cores", lambda: 4)
    assert threads_and_frames(is_live=False) == (4, 4)
    assert threads_and_frames(is_live=True) == (3, 1)
    assert threads_and_frames(is_live=False, threads=2) == (2, 2)
    assert threads_and_frames(is_live=True, threads=2) == (2, 1)


def test_openvino_and_its_card(checkpoint, tmp_path):
    path = tmp_path / "best.xml"
    check_export(checkpoint, path, "openvino")
    assert {file.name for file in tmp_path.iterdir()} == {
        "best.xml",
        "best.bin",
        "best.xml.card.json",
        "best.xml.card.md",
    }
    card = json.loads((tmp_path / "best.xml.card.json").read_text())
    assert card["parameters"] == 1_084_961
    assert card["compared"]["max_difference"] < 1e-4
    assert card["p50_ms"] > 0
    assert [card[fact] for fact in ("view", "threshold", "temperature")] == [
        DEFAULT_VIEW,
        0.35,
        1.5,
    ]
    path.write_text(path.read_text().replace('"Sigmoid"', '"Tanh"'))  # not the weights
    with pytest.raises(UserError, match="has changed since it was exported"):
        load_runtime(path)


def expected_use(checkpoint):
    """What a file says about its use; the run of the checkpoint chose 0.35."""
    return {
        "model": "lgps",
        "precision": "float32",
        "input_size": "64 48",
        "input_layout": "NHWC",
        "input_type": "uint8",
        "color_order": "RGB",
        "input_range": "0 255",
        "scaling_inside": "true",
        "view": DEFAULT_VIEW,
        "output": "probability",
        "output_layout": "NHWC",
        "output_type": "float32",
        "threshold": "0.35",
        "temperature": "1.5",
        "labels": "polyp",
        "checkpoint_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
    }


def test_openvino_files_say_how_they_are_used(checkpoint, tmp_path):
    openvino = pytest.importorskip("openvino")
    path = tmp_path / "best.xml"
    assert export(checkpoint, "--out", path) == 0
    model = openvino.Core().read_model(path)
    stored = model.get_rt_info(["model_info"]).astype(dict)
    found = {name: value.astype(str) for name, value in stored.items()}
    assert found == expected_use(checkpoint)


@pytest.mark.slow
def test_onnx_files_say_how_they_are_used(checkpoint, tmp_path):
    needs("onnx")
    import onnxruntime

    path = tmp_path / "best.onnx"
    assert export(checkpoint, "--format", "onnx", "--out", path) == 0
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.get_modelmeta().custom_metadata_map
    assert expected_use(checkpoint).items() <= found.items()


def test_an_open_size_and_no_chosen_threshold(checkpoint, tmp_path):
    model = build_rgb_model(load_checkpoint(checkpoint, image_size=(None, None)))
    other = tmp_path / "epoch_1.h5"
    other.write_bytes(b"")
    use = describe_use(model, other, "float32")
    assert (use["input_size"], use["threshold"]) == ("any any", "0.5")


def test_a_threshold_of_images_that_were_trained_on_is_not_passed_on(
    checkpoint, tmp_path
):
    model = build_rgb_model(load_checkpoint(checkpoint, image_size=(64, 48)))
    best = tmp_path / "best.h5"
    best.write_bytes(b"")
    for trained_on, threshold in ((False, "0.9"), (True, "0.5")):
        RunFolder(tmp_path).write_validation(
            Validation(0.9, 0.9, 0.8, trained_on=trained_on)
        )
        assert describe_use(model, best, "float32")["threshold"] == threshold


@pytest.mark.slow
def test_the_shipped_weights_pass_as_they_are(tmp_path):
    """In bfloat16, OpenVINO's own choice on some processors, they would not."""
    needs("openvino")
    assert Export.main(Export.parse_args(["--out", str(tmp_path / "lgps.xml")])) == 0


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["onnx", "litert", "saved_model"])
def test_other_formats(checkpoint, tmp_path, file_format):
    path = tmp_path / f"best{FORMATS[file_format].suffix}"
    check_export(checkpoint, path, file_format)


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["openvino", "onnx", "saved_model"])
def test_dynamic_batch_and_size(checkpoint, tmp_path, file_format):
    path = tmp_path / f"best{FORMATS[file_format].suffix}"
    check_export(checkpoint, path, file_format, "--dynamic", "batch", "size")
    runtime = load_runtime(path)
    frames = np.stack([demo.draw_frame(n, (32, 64))[0] for n in range(2)])
    model = load_checkpoint(checkpoint, image_size=(32, 64)).model
    expected = np.asarray(model(frames / np.float32(127.5) - 1))
    np.testing.assert_allclose(runtime.run(frames), expected, atol=1e-4)


def test_what_differs_from_keras_is_not_kept(checkpoint, tmp_path, monkeypatch, capsys):
    class Wrong(runtimes.Runtime):
        image_size = SIZE

        def run(self, frames):
            return np.ones((1, *SIZE, 1), np.float32)

    monkeypatch.setattr(export_run, "check_format", lambda name: None)
    monkeypatch.setattr(export_run, "load_runtime", lambda path, verify: Wrong())
    monkeypatch.setattr(
        export_run, "write_model", lambda model, path, name: path.write_text("model")
    )
    monkeypatch.setattr(export_run, "write_metadata", lambda *facts: None)
    path = tmp_path / "best.onnx"
    path.write_text("an earlier, good export")
    assert export(checkpoint, "--format", "onnx", "--out", path) == 1
    assert "is not kept" in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["best.onnx"]
    assert path.read_text() == "an earlier, good export"


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["openvino", "onnx", "litert"])
def test_int8_passes_or_is_not_kept(checkpoint, tmp_path, file_format):
    needs(file_format)
    if file_format == "openvino":
        pytest.importorskip("nncf")
    demo.write_prepared(tmp_path / "data", 8, 4, SIZE[0], seed=0)
    path = tmp_path / f"best{FORMATS[file_format].suffix}"
    options = ["--format", file_format, "--out", path, "--int8"]
    options += ["--data_path", tmp_path / "data", "--gate_data_path", tmp_path / "data"]
    assert export(checkpoint, *options, "--max_drop", "1") == 0
    assert path.exists()
    path.unlink()
    assert export(checkpoint, *options, "--max_drop", "-1") == 1
    assert not path.exists()


@pytest.mark.slow
@pytest.mark.parametrize("file_format", sorted(FORMATS))
def test_pvtseg(tmp_path, file_format):
    needs(file_format)
    keras.utils.set_random_seed(1)
    save_checkpoint(
        build_model("pvtseg", (64, 64, 3), encoder="pvt_v2_b0"), tmp_path / "best.h5"
    )
    path = tmp_path / f"pvtseg{FORMATS[file_format].suffix}"
    options = ["--format", file_format, "--out", path, "--max_drop", "1"]
    assert export(tmp_path / "best.h5", *options) == 0
    card = json.loads((tmp_path / f"{path.name}.card.json").read_text())
    assert card["compared"]["max_difference"] < 1e-4


def test_parity_by_hand():
    """Truth 4 pixels; Keras finds 2 of them and 2 others, the export finds all 4."""
    truth = np.zeros((1, 4, 4), np.uint8)
    truth[0, 0] = 1
    keras_map = np.zeros((1, 4, 4), np.float32)
    keras_map[0, :2, :2] = 0.9
    exported = truth[0] * np.float32(0.8)
    frames = Frames("a test", np.zeros((1, 4, 4, 3), np.uint8), truth)
    parity = measure_parity(keras_map, lambda _: exported, frames)
    assert parity.max_difference == pytest.approx(0.9)
    assert parity.keras_dice == pytest.approx(2 * 2 / (4 + 4))
    assert parity.exported_dice == 1.0
    assert parity.drops["pooled Dice"] == pytest.approx(-0.5)
    assert parity.keras_mean_dice == parity.keras_dice  # one frame


def test_pooled_and_mean_dice_by_hand():
    """A large polyp that is found whole, a small one that the export misses."""
    truth = np.zeros((2, 4, 4), np.uint8)
    truth[0, :3], truth[1, 0, :2] = 1, 1
    frames = Frames("a test", np.zeros((2, 4, 4, 3), np.uint8), truth)
    exported = iter([truth[0].astype(np.float32), np.zeros((4, 4), np.float32)])
    parity = measure_parity(truth.astype(np.float32), lambda _: next(exported), frames)
    assert (parity.keras_dice, parity.keras_mean_dice) == (1, 1)
    assert parity.exported_dice == pytest.approx(2 * 12 / (14 + 12))
    assert parity.exported_mean_dice == pytest.approx((1 + 0) / 2)
    (problem,) = parity.problems(max_drop=0.1, max_difference=None)
    assert problem == "mean Dice drops by 0.5000, more than --max_drop 0.1"


def test_what_the_gate_refuses():
    parity = Parity(
        "frames", 2e-4, 0.9, 0.89, keras_mean_dice=0.8, exported_mean_dice=0.8
    )
    assert parity.problems(max_drop=0.02, max_difference=2e-4) == []
    assert parity.problems(max_drop=0.02, max_difference=None) == []
    (problem,) = parity.problems(max_drop=0.02, max_difference=1e-4)
    assert (
        problem == "it differs from Keras by 2.0e-04, more than --max_difference 0.0001"
    )
    (problem,) = parity.problems(max_drop=0.005, max_difference=None)
    assert problem == "pooled Dice drops by 0.0100, more than --max_drop 0.005"


def test_probabilities_that_are_not_numbers_are_refused():
    """On a frame without polyp they cost no Dice."""
    frames = Frames("a test", np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 4)))
    maps = iter(np.array([np.full((4, 4), np.nan), np.zeros((4, 4))], np.float32))
    keras_maps = np.zeros((2, 4, 4), np.float32)
    parity = measure_parity(keras_maps, lambda _: next(maps), frames)
    assert parity.drops == {"pooled Dice": 0, "mean Dice": 0}
    (problem,) = parity.problems(max_drop=0.005, max_difference=None)
    assert "not numbers" in problem


def test_validation_part_is_the_one_of_the_run(tmp_path):
    demo.write_prepared(tmp_path / "data", 8, 1, 32, seed=0)
    checkpoint, run = tmp_path / "best.h5", RunFolder(tmp_path)

    def frames(part):
        return dataset_frames(tmp_path / "data", part, (32, 32), 100, checkpoint)

    def write(rows, trained_on=False):
        validation = Validation(0.5, 0.9, 0.9, per_image=rows, trained_on=trained_on)
        run.write_validation(validation)

    rows = [(f"demo/demo_000000{n}", "group", 0.9) for n in (2, 5)]
    rows.append(("other/demo_0000003", "group", 0.9))
    write(rows)
    assert frames("validation").source == "demo (validation)"
    expected = np.stack([demo.draw_frame(n, 32)[0] for n in (2, 5)])
    np.testing.assert_array_equal(frames("validation").images, expected)
    assert len(frames("train").images) == 6 and frames("train").source == "demo (train)"

    held_back_none = "data: no image of it was held back .*; give --gate_data_path"
    for others, trained_on in ((rows, True), (rows[2:], False)):
        write(others, trained_on)
        with pytest.raises(UserError, match=held_back_none):
            frames("validation")
    assert len(frames("train").images) == 8
    run.validation.unlink()
    with pytest.raises(UserError, match=held_back_none):
        frames("validation")
    write([(f"demo/demo_000000{n}", "group", 0.9) for n in range(8)])
    with pytest.raises(UserError, match="none is left to calibrate on"):
        frames("train")
    run.validation.write_text("[1")
    with pytest.raises(UserError, match="validation.json is damaged"):
        frames("train")


def test_gate_data_is_the_test_part_or_a_raw_dataset(tmp_path):
    demo.write_prepared(tmp_path / "prepared", 2, 5, 32, seed=0)
    frames = held_out_frames(tmp_path / "prepared", (32, 32), 3)
    seeds = (demo.TEST_SEED_OFFSET + n for n in (0, 2, 4))
    expected = [demo.draw_frame(seed, 32) for seed in seeds]
    np.testing.assert_array_equal(frames.images, np.stack([one for one, _ in expected]))
    np.testing.assert_array_equal(frames.masks, np.stack([one for _, one in expected]))
    demo.write_raw(tmp_path / "raw", count=4, image_size=64, seed=0)
    frames = held_out_frames(tmp_path / "raw", (32, 48), 200)
    assert frames.images.shape == (4, 32, 48, 3) and frames.masks.shape == (4, 32, 48)
    assert set(np.unique(frames.masks)) == {0, 1}


def test_int8_is_not_judged_on_training_images(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(export_run, "check_format", lambda name: None)
    demo.write_prepared(tmp_path / "data", 8, 4, SIZE[0], seed=0)
    with pytest.raises(UserError, match="give --gate_data_path"):
        export(checkpoint, "--int8", "--data_path", tmp_path / "data")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--int8"], "needs --data_path"),
        (["--format", "litert", "--dynamic", "batch"], "fixed"),
        (["--format", "saved_model", "--out", "model.xml"], "no suffix"),
    ],
)
def test_user_mistakes(checkpoint, options, message):
    with pytest.raises(UserError, match=message):
        export(checkpoint, *options)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--image_size", "5000", "64"], "must be at least 1 and at most 4096"),
        (["--max_drop", "nan"], "must be at least -1 and at most 1, received nan"),
        (["--max_difference", "-1"], "must be at least 0, received -1"),
    ],
)
def test_numbers_out_of_range(flags, message, capsys):
    with pytest.raises(SystemExit) as caught:
        Export.parse_args(flags)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_folder_that_is_no_saved_model_stays(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for out in ("photos", ".", ".."):
        with pytest.raises(UserError, match="no SavedModel to be replaced"):
            export(checkpoint, "--format", "saved_model", "--out", out)


def test_foreign_model_files(tmp_path):
    with pytest.raises(UserError, match="not found"):
        load_runtime(tmp_path / "missing.xml")
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(UserError, match="is no model"):
        load_runtime(tmp_path / "model.pt")
    pytest.importorskip("openvino")
    (tmp_path / "model.xml").write_text("<no/>")
    with pytest.raises(UserError, match="model.bin is not there"):
        load_runtime(tmp_path / "model.xml")
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_runtime(tmp_path / "model.xml")


@pytest.mark.parametrize(
    ("channels", "message"), [(3, r"\(1, 8, 8, 3\).*no probability"), (4, "loaded")]
)
def test_a_network_of_another_kind(tmp_path, channels, message):
    openvino = pytest.importorskip("openvino")
    frames = openvino.opset13.parameter([1, 8, 8, channels], np.float32)
    model = openvino.Model([openvino.opset13.relu(frames)], [frames])
    openvino.save_model(model, tmp_path / "relu.xml")
    with pytest.raises(UserError, match=message):
        load_runtime(tmp_path / "relu.xml")


def test_a_saved_model_without_a_card_is_refused(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").touch()
    with pytest.raises(UserError, match="no card of Export.py.*--unverified"):
        load_runtime(model)
    card_path(model).write_text("{")  # damaged, so that nothing can be compared
    with pytest.raises(UserError, match="no card of Export.py.*--unverified"):
        load_runtime(model)


def test_values_that_are_no_probabilities():
    assert is_probability(np.array([0, 0.5, 1 + 1e-6]))
    for value in (-0.1, 1.1, np.nan):
        assert not is_probability(np.array([0.5, value]))
