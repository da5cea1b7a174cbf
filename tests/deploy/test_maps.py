"""The maps that are scored are those of Predict.py, for any file and either view."""

import json
import sys

import cv2
import numpy as np
import pytest
from scipy.special import expit

import Export
import New_Test
import Predict
import Test
from cli.command import UserError
from cli.files import sha256
from deploy.card import card_path
from deploy.formats import FORMATS
from deploy.maps import (
    CRFRefinement,
    SegmenterMaps,
    export_label,
    load_maps,
    shipped_checkpoint,
)
from deploy.predict import predict
from deploy.runtimes import FlipAverage, Runtime, load_runtime
from deploy.segment import FrameSegmenter
from deploy.sources import open_source
from evaluation.cases import at_original_size, open_case_set
from evaluation.views import DEFAULT_VIEW, VIEWS
from models.checkpoints import load_checkpoint
from models.shipped import model_path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A raw dataset: noise of two sizes, with black borders at the sides."""
    root = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    sizes = {"a": (120, 160), "b": (90, 70), "c": (64, 48)}
    for name, (height, width) in sizes.items():
        coarse = rng.integers(40, 255, (9, 12, 3), np.uint8)
        picture = cv2.resize(coarse, (width, height))
        picture[:, : width // 4] = picture[:, -width // 8 :] = 0
        cv2.imwrite(str(root / "images" / f"{name}.png"), picture)
        mask = np.zeros((height, width), np.uint8)
        mask[20:40, 20:40] = 255
        cv2.imwrite(str(root / "masks" / f"{name}.png"), mask)
    return root


def scored_masks(maps, pictures):
    """What the test scripts take for polyp at threshold 0.5, at the frames' size."""
    cases = maps.cases(open_case_set(pictures))
    return {case.name: at_original_size(case)[1] > 0.5 for case in cases}


def written_masks(folder):
    files = sorted((folder / "masks").iterdir())
    return {file.stem: cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files}


def check_same_pixels(scored, written):
    assert scored.keys() == written.keys() == {"a", "b", "c"}
    for name, mask in written.items():
        assert 0 < np.mean(mask > 0) < 1
        np.testing.assert_array_equal(scored[name], mask > 0)


def test_scored_masks_are_those_of_predict(network, pictures, tmp_path):
    arguments = ["--source", str(pictures / "images"), "--model_path", str(network)]
    masks = {}
    for tta, flags in ((None, []), ("flips", ["--tta", "flips"])):
        out_dir = tmp_path / str(tta)
        flags += ["--out_dir", str(out_dir)]
        assert Predict.main(Predict.parse_args([*arguments, *flags])) == 0
        masks[tta] = written_masks(out_dir)
        scored = scored_masks(load_maps(network, tta=tta), pictures)
        check_same_pixels(scored, masks[tta])
    assert (masks[None]["a"] != masks["flips"]["a"]).any()
    for script in (Test, New_Test):
        assert script.parse_args(["--data_path", "data"]).view == DEFAULT_VIEW


@pytest.mark.parametrize("view", VIEWS)
def test_scored_masks_are_those_of_predict_in_either_view(
    network, pictures, tmp_path, view
):
    runtime = load_runtime(network)
    source = open_source(str(pictures / "images"))
    predict(source, FrameSegmenter(runtime, view=view), tmp_path)
    masks = {
        each: scored_masks(SegmenterMaps(runtime, network, each), pictures)
        for each in VIEWS
    }
    check_same_pixels(masks[view], written_masks(tmp_path))
    assert (masks["whole"]["a"] != masks["cropped"]["a"]).any()


def test_maps_equal_a_plain_call(network, pictures):
    checkpoint = load_checkpoint(network)
    case_set = open_case_set(pictures)
    image = case_set.read(2).image  # of the network's size
    prepared = checkpoint.convention.prepare(image[None].astype("float32"))
    plain = checkpoint.model(prepared)[0, ..., 0].numpy()
    maps = load_maps(network)
    predicted = list(maps.cases(case_set))
    assert [case.name for case in predicted] == ["a", "b", "c"]
    np.testing.assert_allclose(predicted[2].probability, plain, atol=1e-5)
    some = list(maps.cases(case_set, [2, 1]))
    assert [case.name for case in some] == ["c", "b"]
    np.testing.assert_allclose(some[0].probability, plain, atol=1e-5)


@pytest.fixture
def results(tmp_path, network, pictures):
    """Scores models side by side; returns the results' root."""

    def run(*models, flags=()):
        arguments = ["--data_path", pictures, "--out_dir", tmp_path / "results"]
        arguments += ["--model_path", network, *models, *flags]
        New_Test.main(New_Test.parse_args([str(one) for one in arguments]))
        return tmp_path / "results"

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file_format", "name"),
    [
        ("openvino", "best.xml"),
        ("onnx", "best.onnx"),
        ("litert", "best.tflite"),
        ("saved_model", "best_saved_model"),
    ],
)
def test_exports_are_scored_beside_the_checkpoint(
    results, network, pictures, tmp_path, file_format, name
):
    for package in FORMATS[file_format].packages:
        pytest.importorskip(package)
    path = tmp_path / "run" / name
    arguments = ["--model_path", str(network), "--format", file_format]
    assert Export.main(Export.parse_args([*arguments, "--out", str(path)])) == 0
    root = results(path, flags=["--protocol", "all"])
    found = []
    for label in ("tiny", f"run-{name}"):
        metrics = json.loads(
            (root / label / pictures.name / "metrics.json").read_text()
        )
        assert metrics["view"] == DEFAULT_VIEW and metrics["images_per_second"] > 0
        found.append(metrics["protocols"])
    for protocol, scores in found[0].items():
        assert found[1][protocol] == pytest.approx(scores, abs=2e-3)
    pair = root / f"tiny_vs_run-{name}" / pictures.name / "comparison.json"
    assert json.loads(pair.read_text())["models"] == ["tiny", f"run-{name}"]


def test_other_views_and_averages_have_results_of_their_own(network):
    maps = load_maps(network, VIEWS[1 - VIEWS.index(DEFAULT_VIEW)], "flips", "convcrf")
    assert maps.label == f"tiny+{maps.view}+flips+convcrf"


def test_labels_tell_the_files_of_a_run_apart(tmp_path):
    run = tmp_path / "lgps"
    names = ("best.h5", "best.xml", "best_int8.onnx", "best_saved_model", "mine.xml")
    assert [export_label(run / name) for name in names] == [
        "lgps",
        "lgps-best.xml",
        "lgps-best_int8.onnx",
        "lgps-best_saved_model",
        "mine.xml",
    ]


def test_exports_of_the_shipped_weights_are_known_for_them(tmp_path):
    shipped, path = model_path("lgps"), tmp_path / "best.xml"
    assert shipped_checkpoint(path) == path
    for digest, expected in ((sha256(shipped), shipped), ("0" * 64, path)):
        card_path(path).write_text(json.dumps({"source_sha256": digest}))
        assert shipped_checkpoint(path) == expected
    card_path(path).write_text("{")
    assert shipped_checkpoint(path) == path


def test_a_runtime_that_is_not_installed_is_named(tmp_path, pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    (tmp_path / "best.xml").write_text("<net/>")
    arguments = ["--data_path", str(pictures), "--model_path"]
    args = New_Test.parse_args([*arguments, str(tmp_path / "best.xml")])
    with pytest.raises(UserError, match="openvino is not installed.*requirements-exp"):
        New_Test.main(args)


def test_maps_that_are_not_finite_name_the_file(network, pictures):
    class Broken(Runtime):
        image_size = (8, 8)

        def run(self, frames):
            return np.full((1, 8, 8, 1), np.nan, np.float32)

    maps = SegmenterMaps(Broken(), network)
    with pytest.raises(UserError, match="tiny.h5: its maps are not from 0 to 1"):
        next(maps.cases(open_case_set(pictures)))


class Given(Runtime):
    """A runtime that computes a given function."""

    def __init__(self, function, size):
        self.image_size = size
        self.run = function

    def run(self, frames):
        raise NotImplementedError


def test_flips_are_flipped_back():
    # A network whose logits depend on place: the value of the pixel plus its column.
    def network(images):
        columns = np.arange(3, dtype=np.float32)[None, None, :, None]
        return expit(images[..., :1] + columns)

    images = np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1)
    averaged = FlipAverage(Given(network, (2, 3))).run(images)
    # Flipped left to right, column c gets 2 - c: the mean is 1 everywhere.
    np.testing.assert_allclose(averaged, expit(images + 1), atol=1e-6)
    assert averaged.dtype == np.float32


def test_flips_of_certain_maps_are_averaged_and_damage_shows():
    certain = iter([1.0, 1.0, 0.0, 0.0, np.nan, 1.0, 1.0, 1.0])
    runtime = Given(lambda images: np.full_like(images, next(certain)), (1, 1))
    frame = np.zeros((1, 1, 1, 1), np.float32)
    assert FlipAverage(runtime).run(frame) == pytest.approx(0.5, abs=0.01)
    assert np.isnan(FlipAverage(runtime).run(frame))


def test_an_unknown_augmentation_is_refused(network):
    with pytest.raises(ValueError, match="`tta` must be one of flips.*turns"):
        load_runtime(network, tta="turns")


def test_refinement_removes_a_speck():
    images = np.full((1, 32, 32, 3), 90, np.uint8)
    images[:, :, 16:] = 200
    probability = np.where(images[..., :1] > 100, 0.9, 0.1).astype(np.float32)
    probability[0, 16, 4] = 0.6
    refined = CRFRefinement(Given(lambda _: probability, (32, 32))).run(images)
    assert refined.shape == (1, 32, 32, 1)
    assert float(refined[0, 16, 4, 0]) < 0.5
    assert float(refined[0, 16, 24, 0]) > 0.9
