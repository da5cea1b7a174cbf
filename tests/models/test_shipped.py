"""The weights that come with this repository are the ones that were scored."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import Test
from cli.command import UserError
from data.demo import draw_frames
from models.checkpoints import load_checkpoint
from models.run_folder import RunFolder
from models.shipped import SHIPPED_WEIGHTS
from training.saved_options import saved_options
from training.threshold import held_back_threshold

PATH = SHIPPED_WEIGHTS["lgps"]
SHA256 = "544c268f95c234f06982ec22f48b490cfbebdb3902f27280f64421e969434cdb"
# Mean probability of each of four drawn frames, as the shipped network gave them.
MEANS = [0.0296, 0.0401, 0.1196, 0.0415]
# meanDice of protocol pranet at the original size, on PraNet's test lists.
MEAN_DICE = {"Kvasir-SEG": 0.9087, "CVC-ClinicDB": 0.9162}
ROOT = Path(__file__).resolve().parents[2]


def test_the_file_is_the_one_that_was_scored():
    content = PATH.read_bytes()
    assert len(content) <= 5e6
    assert hashlib.sha256(content).hexdigest() == SHA256
    assert RunFolder.of_checkpoint(PATH).read_validation().sha256 == SHA256


def test_its_threshold_is_that_of_the_run_that_held_images_back(monkeypatch):
    monkeypatch.chdir(ROOT)
    run = RunFolder.of_checkpoint(PATH)
    expected = held_back_threshold(saved_options(run, {}))
    assert run.read_validation().chosen_threshold == pytest.approx(expected)


def test_one_flipped_bit_is_refused(tmp_path, monkeypatch):
    copy = Path(shutil.copy(PATH, tmp_path))
    shutil.copy(PATH.with_name("validation.json"), tmp_path)
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    monkeypatch.setitem(SHIPPED_WEIGHTS, "lgps", copy)
    with pytest.raises(UserError, match=r"has changed since .* --unverified"):
        load_checkpoint(copy)


def test_outputs_on_demo_frames():
    checkpoint = load_checkpoint(PATH)
    assert checkpoint.name == "lgps" and checkpoint.image_size == (256, 256)
    assert checkpoint.model.count_params() == 1_084_961
    images, _, _ = draw_frames(first_seed=0, count=4, size=256)
    maps = checkpoint.model(checkpoint.convention.prepare(images.astype("float32")))
    np.testing.assert_allclose(np.mean(maps, axis=(1, 2, 3)), MEANS, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", MEAN_DICE)
def test_scores_on_the_real_test_lists(name, tmp_path):
    prepared = ROOT / "data" / name / "prepared.json"
    manifest = json.loads(prepared.read_text()) if prepared.is_file() else {}
    raw_files = Path(manifest.get("source", "absent"))
    if manifest.get("split") != "pranet" or not raw_files.is_dir():
        pytest.skip(f"needs {name}, prepared in data/ with --split pranet")
    flags = ["--data_path", str(prepared.parent), "--out_dir", str(tmp_path)]
    Test.main(Test.parse_args([*flags, "--protocol", "pranet"]))
    metrics = json.loads(next(tmp_path.rglob("metrics.json")).read_text())
    found = metrics["protocols"]["pranet"]["mean_dice"]
    assert found == pytest.approx(MEAN_DICE[name], abs=2e-3)
