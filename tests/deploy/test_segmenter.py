"""The Python interface: arrays, files, batches, and what it refuses."""

import hashlib
import json

import cv2
import numpy as np
import pytest

import deploy.segmenter
from cli.command import UserError
from data.demo import draw_frame
from deploy import Segmenter, load_segmenter
from deploy.card import card_path, check_against_card
from tests.deploy.conftest import green_square


def test_a_file_and_its_array_give_the_same_finding(detector, tmp_path):
    frame = green_square(96, 128, 24, 64, 32)
    cv2.imwrite(str(tmp_path / "a.png"), frame[..., ::-1])
    segmenter = Segmenter(detector)
    found = [segmenter.segment(image) for image in (frame, tmp_path / "a.png")]
    found.append(segmenter.segment(str(tmp_path / "a.png")))
    for finding in found:
        assert finding.mask.shape == (96, 128) and len(finding.boxes) == 1
        np.testing.assert_array_equal(finding.mask, found[0].mask)


def test_batches_and_generators_keep_their_order(detector):
    frames = [green_square(64, 64, 8, 8, side) for side in (16, 24, 32)]
    segmenter = Segmenter(detector)
    for images in (np.stack(frames), iter(frames), frames):
        areas = [finding.area_percent for finding in segmenter.segment_all(images)]
        assert areas == sorted(areas) and len(set(areas)) == 3


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((0, 0, 3), np.uint8),
        None,  # as cv2.imread gives for a missing file
        [[1, 2, 3]],
    ],
)
def test_other_arrays_are_refused(image, detector):
    with pytest.raises(ValueError, match=r"\(H, W, 3\) of uint8 RGB values. Received"):
        Segmenter(detector).segment(image)


def test_missing_files_are_named(detector, tmp_path):
    with pytest.raises(UserError, match="nowhere.png"):
        Segmenter(detector).segment(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match="Model not found: nowhere.xml"):
        load_segmenter("nowhere.xml")


def test_a_missing_model_is_not_blamed_on_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setattr(deploy.segmenter, "import_tensorflow", None)
    with pytest.raises(UserError, match="Model not found: nowhere.h5"):
        load_segmenter("nowhere.h5")
    with pytest.raises(UserError, match="is no model"):
        load_segmenter(tmp_path)


def test_options_reach_the_segmenter(detector, monkeypatch):
    monkeypatch.setattr(deploy.segmenter, "load_runtime", lambda *_, **__: detector)
    segmenter = load_segmenter("a.xml", threshold=0.7, smooth=0.2, is_video=True)
    assert (segmenter.threshold, segmenter.smooth) == (0.7, 0.2)
    assert segmenter.is_video and segmenter.runtime is detector


def test_the_shipped_weights_are_loaded_by_name():
    image, _ = draw_frame(3, (96, 128))
    finding = load_segmenter().segment(image)
    assert finding.mask.shape == finding.probability.shape == (96, 128)
    assert 0 <= finding.probability.min() <= finding.probability.max() <= 1


def test_a_changed_export_is_refused_unless_asked_for(tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"weights")
    card = {"sha256": hashlib.sha256(b"weights").hexdigest()}
    card_path(path).write_text(json.dumps(card))
    check_against_card(path)
    path.write_bytes(b"weighty")
    with pytest.raises(UserError, match=r"a\.onnx has changed .* --unverified"):
        load_segmenter(path)
    with pytest.raises(UserError, match="cannot be loaded|not installed"):
        load_segmenter(path, verify=False)
    card_path(path).unlink()
    check_against_card(path)  # nothing to compare with
