"""Maps of teachers: every image by those that have not seen it."""

from dataclasses import asdict

import numpy as np
import pytest

from cli.command import UserError
from data import demo
from data.arrays import load_prepared
from data.samples import Samples
from data.teacher_maps import TeacherMaps
from models.checkpoints import save_checkpoint
from models.run_folder import RunFolder
from tools import teach
from tools.teach import VIEWS, turned, turned_back
from training.build import build_network
from training.recipes import new_options


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    flags = ["--out_dir", str(folder), "--image_size", "32"]
    demo.main(demo.parse_args([*flags, "--train", "6", "--test", "2"]))
    return folder


def write_run(folder, data, bias, **given):
    """A network whose map is the same everywhere."""
    options = new_options({"data_path": [str(data)], **given})
    network = build_network(options, (32, 32), fused=False)
    *_, kernel, last = network.trainable_weights
    kernel.assign(np.zeros(kernel.shape))
    last.assign([bias])
    run = RunFolder(folder)
    folder.mkdir()
    run.write_config({"model": "lgps", "options": asdict(options)})
    save_checkpoint(network, run.best)
    return str(folder)


def test_views_are_undone_and_differ():
    image = np.arange(16).reshape(4, 4)
    views = [turned(image, view) for view in range(VIEWS)]
    assert len({view.tobytes() for view in map(np.ascontiguousarray, views)}) == VIEWS
    for view, one in enumerate(views):
        np.testing.assert_array_equal(turned_back(one, view), image)


def test_each_image_is_seen_by_the_run_that_held_it_back(tmp_path, data):
    runs = [
        write_run(tmp_path / f"fold{k}", data, bias, fold=f"{k}/2")
        for k, bias in ((1, 2.0), (2, -1.0))
    ]
    out = tmp_path / "maps.npz"
    teach.main(teach.parse_args([*runs, "--out", str(out), "--sizes", "32"]))
    samples = Samples([load_prepared(data, "train")])
    teacher = TeacherMaps(out)
    teacher.check(samples.names, (32, 32))
    levels = sorted(teacher[name][0, 0, 0] for name in samples.names)
    assert levels == [69] * 3 + [225] * 3  # 255 / (1 + e), 255 / (1 + e^-2)


def test_the_scale_of_saved_logits_is_taken_off(tmp_path, data):
    """A student's maps are compared while they are trained, at the scale 1."""
    run = write_run(tmp_path / "run", data, 3.0, fold="1/2", logit_scale=3)
    out = tmp_path / "new" / "maps.npz"
    teach.main(teach.parse_args([run, "--out", str(out), "--sizes", "32"]))
    with np.load(out) as arrays:
        assert set(np.unique(arrays["maps"])) == {186}  # 255 / (1 + e^-1)


def test_masks_in_place_of_maps(tmp_path, data):
    samples = Samples([load_prepared(data, "train")])
    dataset = samples.sets[0].name
    run = write_run(tmp_path / "run", data, 0.0, fold="1/2")
    flags = [run, "--out", str(tmp_path / "maps.npz"), "--masks_of", dataset]
    with pytest.raises(UserError, match="no run is of CVC-300"):
        teach.main(teach.parse_args([*flags, "CVC-300"]))
    teach.main(teach.parse_args(flags))
    teacher = TeacherMaps(tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as arrays:
        names = arrays["names"].tolist()
    assert len(names) == 3
    for name in names:
        _, masks = samples.batch([samples.names.index(name)])
        np.testing.assert_array_equal(teacher[name], 255 * masks[0])


def test_a_run_that_held_nothing_back_is_refused(tmp_path, data):
    run = write_run(tmp_path / "run", data, 0.0, train_on_validation=True)
    with pytest.raises(UserError, match="held no training images back"):
        teach.main(teach.parse_args([run, "--out", str(tmp_path / "maps.npz")]))
    assert not (tmp_path / "maps.npz").exists()


def test_the_file_to_write_must_be_an_npz(capsys):
    with pytest.raises(SystemExit, match="2"):
        teach.parse_args(["runs/a", "--out", "maps.h5"])
    assert "must end in .npz" in capsys.readouterr().err
