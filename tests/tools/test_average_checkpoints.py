"""The mean of two runs' networks."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from cli.command import UserError
from data import demo
from models import build_model
from models.checkpoints import load_checkpoint, save_checkpoint
from models.run_folder import RunFolder, Validation
from tools import average_checkpoints
from training.recipes import new_options


def write_run(folder, data, factor, use_se=True, **given):
    given |= {"data_path": [str(data)], "bn_recalibrate": 4}
    options = new_options(given)
    network = build_model("lgps", (32, 32, 3), None, use_se=use_se)
    network.set_weights([np.full_like(w, factor) for w in network.get_weights()])
    run = RunFolder(folder)
    folder.mkdir()
    run.write_config({"model": "lgps", "options": asdict(options)})
    save_checkpoint(network, run.best)
    return folder


def average(*runs, out):
    flags = [*map(str, runs), "--out_dir", str(out)]
    average_checkpoints.main(average_checkpoints.parse_args(flags))


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    flags = ["--out_dir", str(folder), "--image_size", "32"]
    demo.main(demo.parse_args([*flags, "--train", "12", "--test", "2"]))
    return folder


def test_kernels_are_averaged_and_statistics_re_estimated(tmp_path, data):
    first = write_run(tmp_path / "first", data, 0.1)
    second = write_run(tmp_path / "second", data, 0.3)
    average(first, second, out=tmp_path / "mean")
    network = load_checkpoint(tmp_path / "mean/best.h5").model
    for weights in network.trainable_weights:
        np.testing.assert_allclose(weights, 0.2, rtol=1e-5)
    assert not any(np.allclose(w, 0.2) for w in network.non_trainable_weights)
    run = RunFolder(tmp_path / "mean")
    assert run.read_validation().images and run.read_validation().sha256
    assert json.loads(run.config.read_text())["mean_of"] == [str(first), str(second)]
    with pytest.raises(UserError, match="holds a run already"):
        average(first, second, out=tmp_path / "mean")


def test_networks_that_differ_are_refused(tmp_path, data):
    first = write_run(tmp_path / "first", data, 0.1)
    second = write_run(tmp_path / "second", data, 0.3, use_se=False)
    with pytest.raises(UserError, match="first, .*second differ"):
        average(first, second, out=tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_the_threshold_may_be_one_of_images_held_back(tmp_path, data):
    held_back = write_run(tmp_path / "held_back", data, 0.1)
    score = Validation(0.6, 0.9, 0.9)
    RunFolder(held_back).write_validation(score)
    options = {"train_on_validation": True, "logit_scale": 3.0}
    last = write_run(
        tmp_path / "last", data, 0.3, threshold_from=str(held_back), **options
    )
    average(held_back, last, out=tmp_path / "mean")
    validation = RunFolder(tmp_path / "mean").read_validation()
    # the logit of 0.6, times 3
    assert validation.chosen_threshold == pytest.approx(0.6**3 / (0.6**3 + 0.4**3))
    assert validation.trained_on and validation.threshold_from == str(held_back)
    RunFolder(held_back).write_validation(replace(score, trained_on=True))
    with pytest.raises(UserError, match="held_back.* were not trained on"):
        average(held_back, last, out=tmp_path / "other")
    assert not RunFolder(tmp_path / "other").holds_a_run()
