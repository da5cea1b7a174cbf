"""Test.py and New_Test.py as a user runs them, with a tiny untrained network."""

import csv
import json
import re
import shutil

import cv2
import numpy as np
import pytest

import New_Test
import Test
from cli.command import UserError
from data import demo, prepare
from deploy.thresholds import read_threshold
from evaluation.cases import find_case_sets, open_case_set, tell_apart
from evaluation.protocols import PROTOCOL_NAMES
from evaluation.report.side_by_side import comparison_name
from models.run_folder import RunFolder, Validation
from models.shipped import model_path

SCORES = {"dice", "iou", "recall", "precision", "f2", "accuracy"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    from models import build_model

    path = tmp_path_factory.mktemp("runs") / "tiny" / "best.h5"
    path.parent.mkdir()
    build_model("lgps", (32, 32, 3)).save(path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A prepared set, a raw one, and a folder that is neither."""
    root = tmp_path_factory.mktemp("data")
    size = ["--image_size", "32", "--test", "5", "--train", "2"]
    demo.main(demo.parse_args(["--out_dir", str(root / "prepared"), *size]))
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        folder = root / "raw" / kind
        folder.mkdir(parents=True)
        for name, (height, width) in {"a": (60, 80), "b": (90, 70)}.items():
            picture = rng.integers(0, 255, (height, width, 3), np.uint8)
            if kind == "masks":
                picture[:] = 0
                picture[20:40, 20:40] = 255
            cv2.imwrite(str(folder / f"{name}.png"), picture)
    (root / "splits").mkdir()
    return root


def run(script, *arguments):
    script.main(script.parse_args([str(argument) for argument in arguments]))


def test_test_scores_every_set(checkpoint, data, tmp_path, capsys):
    run(
        Test, "--model_path", checkpoint, "--data_path", data, "--out_dir", tmp_path,
    )  # fmt: skip
    printed = capsys.readouterr().out
    for name, images in (("demo", 5), ("raw", 2)):
        folder = tmp_path / "tiny" / name
        metrics = json.loads((folder / "metrics.json").read_text())
        assert (metrics["dataset"], metrics["images"]) == (name, images)
        assert metrics["model"] == "tiny"
        assert set(metrics["protocols"]["lgps"]) == SCORES
        assert set(metrics["protocols"]["pvtseg"]) > SCORES
        assert metrics["images_per_second"] > 0
        rows = list(csv.DictReader((folder / "per_image.csv").open()))
        mean = np.mean([float(row["dice"]) for row in rows])
        assert mean == pytest.approx(metrics["protocols"]["pvtseg"]["dice"])
        assert cv2.imread(str(folder / "qualitative.png")).shape[1] > 800
        assert "| dice" in (folder / "README.md").read_text()
        assert f"tiny on {name}, {images} images" in printed


def test_all_protocols_and_saved_maps_agree(checkpoint, data, tmp_path, capsys):
    """A raw folder scored by a model, and by the maps the model saved."""
    common = ["--data_path", data / "raw", "--protocol", "all", "--out_dir", tmp_path]
    run(New_Test, "--model_path", checkpoint, "--save_maps", tmp_path / "maps", *common)
    assert "2 pairs in images + masks" in capsys.readouterr().out
    run(New_Test, "--predictions", tmp_path / "maps", *common)
    tables = []
    for name in ("tiny", "maps"):
        metrics = json.loads((tmp_path / name / "raw" / "metrics.json").read_text())
        assert list(metrics["protocols"]) == list(PROTOCOL_NAMES)
        tables.append(metrics["protocols"])
    assert tables[0]["pranet"] == pytest.approx(tables[1]["pranet"], abs=1e-6)
    assert (tmp_path / "maps" / "raw" / "report.html").is_file()
    assert "\\toprule" in (tmp_path / "maps" / "raw" / "table.tex").read_text()
    rows = list(csv.DictReader((tmp_path / "tiny" / "raw" / "per_image.csv").open()))
    assert [(row["name"], row["height"], row["width"]) for row in rows] == [
        ("a", "60", "80"),
        ("b", "90", "70"),
    ]


@pytest.fixture
def maps(data, tmp_path):
    """Two folders of maps for the raw set: one a little wider than the other."""
    folders = []
    for name, border in (("near", 2), ("far", 6)):
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        for file in (data / "raw" / "masks").iterdir():
            mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
            kernel = np.ones((border, border), np.uint8)
            cv2.imwrite(str(folders[-1] / file.name), cv2.dilate(mask, kernel))
    return folders


def test_maps_side_by_side(data, maps, tmp_path, capsys):
    arguments = ["--predictions", *maps, "--data_path", data / "raw"]
    run(New_Test, *arguments, "--out_dir", tmp_path)
    folder = tmp_path / "near_vs_far" / "raw"
    content = json.loads((folder / "comparison.json").read_text())
    assert content["models"] == ["near", "far"]
    dice = content["differences"][0]
    assert (dice["protocol"], dice["score"]) == ("lgps", "dice")
    assert dice["difference"] > 0
    assert cv2.imread(str(folder / "comparison.png")).shape[1] > 800
    assert re.search(r"near - far +\| pvtseg", capsys.readouterr().out)
    run(New_Test, *arguments, "--seeds", "--out_dir", tmp_path)
    text = (folder / "comparison.md").read_text(encoding="utf-8")
    assert "mean ± sd of 2 seeds" in text


def test_a_comparison_of_many_has_a_name_that_a_folder_can_have():
    assert comparison_name(["a", "b"]) == "a_vs_b"
    names = [comparison_name([f"run_{n}" * 9, *"bcdefg"] * 9) for n in (1, 2)]
    assert names[0] != names[1] and max(map(len, names)) < 255


def test_maps_are_called_by_the_whole_name_of_their_folder(data, maps, tmp_path):
    names = ("unet.v1", "unet.v2", "A/best", "B/best")
    folders = [shutil.copytree(maps[0], tmp_path / name) for name in names]
    common = ["--data_path", data / "raw", "--out_dir", tmp_path / "out"]
    run(New_Test, "--predictions", *folders[:2], *common)
    assert (tmp_path / "out" / "unet.v1_vs_unet.v2" / "raw").is_dir()
    with pytest.raises(UserError, match="names must differ.*best, best"):
        run(New_Test, "--predictions", *folders[2:], *common)


def test_only_listed_names_are_scored(data, maps, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("b\n")
    arguments = ["--predictions", maps[0], "--data_path", data / "raw"]
    arguments += ["--out_dir", tmp_path]
    run(New_Test, *arguments)
    arguments += ["--names", names]
    run(New_Test, *arguments)
    for name, images in (("raw", 2), ("raw-names", 1)):  # the whole set's are kept
        metrics = json.loads((tmp_path / "near" / name / "metrics.json").read_text())
        assert (metrics["dataset"], metrics["images"]) == (name, images)
    names.write_text("b\nb.png\n")  # endings may be given, as in data.prepare's lists
    run(New_Test, *arguments)
    assert (
        json.loads((tmp_path / "near/raw-names/metrics.json").read_text())["images"]
        == 1
    )
    names.write_text("b\nb\n\n")
    assert New_Test.read_names(names) == ["b"]
    names.write_text("\n")
    with pytest.raises(UserError, match="names no case"):
        run(New_Test, *arguments)
    names.write_text("b\nc\n")
    with pytest.raises(UserError, match="1 of 2 listed cases are not there.* c"):
        run(New_Test, *arguments)


def test_names_are_of_raw_files_also_where_arrays_lie_beside_them(data, tmp_path):
    both = shutil.copytree(data / "raw", tmp_path / "both")
    shutil.copytree(data / "prepared", both, dirs_exist_ok=True)
    assert open_case_set(both, ["b"]).names == ["b"]
    with pytest.raises(UserError, match="holds prepared arrays only; --names is for"):
        open_case_set(data / "prepared", ["b"])


def test_mistakes_are_named(checkpoint, data, tmp_path):
    with pytest.raises(UserError, match="Preprocess_SEG.py"):
        run(Test, "--model_path", checkpoint, "--data_path", data / "splits")
    wrong = tmp_path / "wrong.h5"
    wrong.write_text("no network")
    with pytest.raises(UserError, match="wrong.h5"):
        run(New_Test, "--model_path", wrong, "--data_path", data / "raw")


def test_threshold_of_the_run(tmp_path):
    best = tmp_path / "best.h5"
    with pytest.raises(UserError, match="validation.json, but it is not there"):
        read_threshold("auto", best)
    RunFolder(tmp_path).write_validation(Validation(0.37, 0.9, 0.8))
    assert read_threshold("auto", best) == 0.37
    (tmp_path / "validation.json").write_text("{}")
    with pytest.raises(UserError, match="validation.json is damaged"):
        read_threshold("auto", best)
    with pytest.raises(UserError, match="run's best.h5 only, not for .*epoch_1.h5"):
        read_threshold("auto", tmp_path / "epoch_1.h5")
    RunFolder(tmp_path).write_validation(Validation(0.37, 0.9, 0.8, trained_on=True))
    with pytest.raises(UserError, match="its images were trained on too; give a num"):
        read_threshold("auto", best)
    # 0.6 in the run that held images back; the shipped logits are three times as large.
    expected = 1 / (1 + (0.4 / 0.6) ** 3)
    assert read_threshold("auto", model_path("lgps")) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (None, r"best.xml.card.json is not there; Export.py writes it"),
        ("[1]", "best.xml.card.json is damaged"),
        ('{"threshold": null}', "best.xml.card.json names no threshold; give a number"),
        ('{"threshold": 1.5}', "names no threshold"),
    ],
)
def test_threshold_of_an_export(tmp_path, card, message):
    path = tmp_path / "best.xml.card.json"
    if card:
        path.write_text(card)
    with pytest.raises(UserError, match=message):
        read_threshold("auto", tmp_path / "best.xml")
    path.write_text('{"threshold": 0.37}')
    assert read_threshold("auto", tmp_path / "best.xml") == 0.37


def test_prepared_sets_are_read_raw_where_the_protocol_wants_it(data, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(data / "raw", folder)
    (folder / "train.txt").write_text("a\n")
    (folder / "test.txt").write_text("b\n")
    prepared = tmp_path / "prepared"
    flags = ["--image_size", "64", "--out_dir", str(prepared)]
    prepare.main(prepare.parse_args([str(folder), *flags]))
    for original_size, shape in ((False, (64, 64)), (True, (90, 70))):
        (case_set,) = find_case_sets(prepared, original_size)
        assert (case_set.name, case_set.names) == ("set", ["b"])
        assert case_set.path == prepared  # so that results know it for the same set
        assert case_set.original_size is original_size
        assert case_set.read(0).truth.shape == shape


def test_arrays_without_names_are_not_looked_up_among_raw_files(tmp_path):
    """Their names are numbers, and other images can be called by the same ones."""
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for number in range(3):
            cv2.imwrite(str(tmp_path / kind / f"{number:04d}.png"), np.zeros((8, 8)))
    np.save(tmp_path / "test_images.npy", np.full((1, 8, 8, 3), 9, np.uint8))
    np.save(tmp_path / "test_masks.npy", np.ones((1, 8, 8, 1), np.uint8))
    case_set = open_case_set(tmp_path, original_size=True)
    assert not case_set.original_size and case_set.read(0).image.max() == 9


@pytest.mark.parametrize(
    ("levels", "greys"),
    [
        (np.uint8([0, 51, 255]), [0, 0.2, 1]),
        (np.uint8([0, 0, 1]), [0, 0, 1]),  # class labels
        (np.uint16([0, 51, 255]), [0, 0.2, 1]),  # 8-bit values in a 16-bit file
        (np.uint16([0, 51 * 257, 65535]), [0, 0.2, 1]),
    ],
)
def test_greys_of_a_raw_mask(levels, greys, tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / "a.png"), levels[None])
    (case_set,) = find_case_sets(tmp_path)
    assert case_set.read(0).grey_truth()[0] == pytest.approx(greys)


def test_namesakes_are_told_apart_by_folder(data, tmp_path):
    for name in ("first", "second"):
        shutil.copytree(data / "prepared", tmp_path / name)
    sets = find_case_sets(tmp_path)
    assert [case_set.name for case_set in sets] == ["demo", "demo"]
    assert [case_set.name for case_set in tell_apart(sets)] == ["first", "second"]


@pytest.fixture
def video(tmp_path):
    """Two sequences of three frames, one of them without a polyp, and their maps."""
    rng = np.random.default_rng(0)
    for folder in ("polyp/images", "polyp/masks", "maps", "seq1_neg"):
        (tmp_path / "video" / folder).mkdir(parents=True)
    (tmp_path / "video" / "maps").rename(tmp_path / "maps")
    for n in range(6):
        noise = rng.integers(0, 255, (60, 80, 3), np.uint8)
        mask = np.zeros((60, 80), np.uint8)
        mask[20:40, 20 + n : 40 + n] = 255 * (n < 3)
        folder = tmp_path / "video" / ("polyp/images" if n < 3 else "seq1_neg")
        cv2.imwrite(str(folder / f"{n}.png"), noise)
        if n < 3:
            cv2.imwrite(str(tmp_path / "video" / "polyp/masks" / f"{n}.png"), mask)
        cv2.imwrite(str(tmp_path / "maps" / f"{n}.png"), mask if n else 0 * mask)
    return tmp_path


def test_video(video, capsys):
    arguments = ["--predictions", video / "maps", "--data_path", video / "video"]
    arguments += ["--out_dir", video, "--video", "--fps", "25", "--hold", "2/2"]
    run(New_Test, *arguments)
    assert "judged as video: 2 sequences" in capsys.readouterr().out
    folder = video / "maps" / "video-video"
    judged = json.loads((folder / "metrics.json").read_text())["video"]
    # Frame 0 is missed; what is held is seen in frames 1 and 2, so detected in 2.
    for rule, found in (("IoU > 0.5", 2), ("IoU > 0.5, hold 2/2", 1)):
        scores = judged["detection"][rule]
        assert scores["sensitivity"]["value"] == pytest.approx(found / 3)
        assert scores["specificity"]["value"] == 1
        assert scores["time to first detection, s"]["value"] == (3 - found) / 25
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count('<details class="sequence">') == 2
    assert "time to first detection" in (folder / "README.md").read_text("utf-8")
    assert (folder / "video_frames.csv").read_text().count("\n") == 7


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--video"], "--video needs --fps"),
        (["--fps", "25"], "--fps and --hold are for --video"),
        (["--hold", "2/3"], "--fps and --hold are for --video"),
        (["--video", "--fps", "0"], "must be above 0"),
        (["--video", "--fps", "25", "--hold", "3/2"], "1 <= N <= M"),
        (["--video", "--fps", "25", "--names", "x"], "does not go with --names"),
    ],
)
def test_wrong_video_flags(flags, message, capsys):
    with pytest.raises(SystemExit) as stop:
        New_Test.parse_args(["--data_path", "x", *flags])
    assert stop.value.code == 2 and message in capsys.readouterr().err
