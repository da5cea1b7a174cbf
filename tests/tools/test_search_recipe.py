"""The recipe search: its table, and what it says of a run that failed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from cli.command import UserError
from data.storage import write_manifest
from models.run_folder import Validation
from tools.search_recipe import (
    ROOT,
    folder_of,
    main,
    parse_args,
    refuse_other_flags,
    run_arm,
    scoring_commands,
    table,
)

SUBSETS = {"subsets": {"train": {"items": []}, "test": {"items": []}}}


def test_failed_run_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", "false")
    args = parse_args(["--data_path", "none", "--out_dir", str(tmp_path)])
    assert not run_arm("mild", 3, args)
    log = tmp_path / "mild_3" / "output.log"
    assert f"mild, seed 3: failed, see {log}" in capsys.readouterr().out


def test_a_run_with_other_options_is_not_taken_over(tmp_path, monkeypatch):
    flags = ["--data_path", "none", "--out_dir", str(tmp_path)]
    args = parse_args(flags)
    monkeypatch.setattr(sys, "executable", "false")
    refuse_other_flags("mild", 3, args)
    run_arm("mild", 3, args)
    refuse_other_flags("mild", 3, args)
    others = parse_args([*flags, "--encoder_weights", "other.h5"])
    with pytest.raises(UserError, match="mild_3 was begun with other options"):
        refuse_other_flags("mild", 3, others)


def test_a_table_without_the_base_says_so(tmp_path):
    _score(folder_of(tmp_path, "mild", 0), "External", [0.5])
    with pytest.raises(UserError, match="none of the base"):
        table(tmp_path, ["mild"], [0])


def _score(run, dataset: str, dice: list[float], area: float = 4e4) -> None:
    folder = run.path / "results" / run.path.name / dataset
    folder.mkdir(parents=True)
    rows = ["name,group,polyp_pixels,pranet.mean_dice"]
    rows += [f"i{i},g{i},{area},{value}" for i, value in enumerate(dice)]
    (folder / "per_image.csv").write_text("\n".join(rows))


def test_arms_are_ranked_by_what_they_gain_on_the_base_of_their_seeds(tmp_path):
    scores = {
        ("base", 0): ([0.2, 0.4], [0.5]),
        ("base", 1): ([0.8, 0.8], [0.9]),
        ("mild", 0): ([0.3, 0.5], [0.7]),
        ("half-way", 0): ([0.1, 0.3], [0.5]),
        ("half-way", 1): ([0.8, 0.8], [0.9]),
    }
    for (arm, seed), (validation, external) in scores.items():
        run = folder_of(tmp_path, arm, seed)
        _score(run, "A-validation", validation[:1], area=100)
        _score(run, "B-validation", validation[1:])
        _score(run, "External", external)
    unfinished = folder_of(tmp_path, "mild", 1)
    _score(unfinished, "A-validation", [0.9])
    rows = table(tmp_path, ["base", "half-way", "mild"], [0, 1])
    cells = [[c.strip() for c in row.split("|")[1:-2]] for row in rows.splitlines()]
    heads = ["Arm", "mean", "by seed", "External", "validation", "small polyps"]
    assert cells[0] == [*heads, "less the base's"]
    # mild, seed 0: External 0.7, validation (0.3 + 0.5) / 2; the sets count the same.
    assert cells[2:] == [
        ["mild", "0.5500", "0.5500", "0.7000", "0.4000", "0.3000", "+0.1500"],
        ["base", "0.6250", "0.4000, 0.8500", "0.7000", "0.5500", "0.5000", ""],
        ["half-way", "0.6000", "0.3500, 0.8500"]
        + ["0.7000", "0.5000", "0.4500", "-0.0250"],
    ]


def _raw(folder: Path) -> Path:
    """A raw dataset of one image."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
        cv2.imwrite(str(folder / kind / "a.png"), np.zeros((4, 4), np.uint8))
    return folder


@pytest.fixture
def prepared(tmp_path):
    """The path of a prepared dataset, as it is typed."""
    folder = tmp_path / "Kvasir-SEG"
    folder.mkdir()
    raw = _raw(tmp_path / "raw" / "Kvasir-SEG")
    manifest = {"dataset": "Kvasir-SEG", "source": str(raw), "format": "npy"}
    write_manifest(folder, manifest | SUBSETS)
    return str(folder)


def test_what_is_scored_is_the_run_s_own_validation_part(prepared, tmp_path):
    external = _raw(tmp_path / "raw" / "PolypGen2021_MultiCenterData_v3" / "data_C6")
    flags = ["--data_path", prepared, "--external", str(external)]
    args = parse_args([*flags, "--out_dir", str(tmp_path)])
    run = folder_of(tmp_path, "base", 0)
    run.path.mkdir()
    rows = [("Kvasir-SEG/a", "g", 0.5), ("Kvasir-SEG/b", "g", 0.5)]
    run.write_validation(Validation(0.5, 0.5, 0.5, 2, rows))
    commands = scoring_commands(run, args)
    listed = run.path / "Kvasir-SEG-validation.txt"
    assert listed.read_text() == "a\nb\n"
    assert [command[command.index("--data_path") + 1 :] for command in commands] == [
        [str(tmp_path / "raw" / "Kvasir-SEG"), "--names", str(listed)],
        [str(external)],
    ]
    _score(run, "PolypGen-C6", [0.5])  # as New_Test.py names it
    assert len(scoring_commands(run, args)) == 1


def test_frames_without_a_polyp_are_no_small_polyps(tmp_path):
    run = folder_of(tmp_path, "base", 0)
    for area, dice in ((400, [0.8]), (0, [0.0])):
        _score(run, f"set{area}", dice, area)
    row = table(tmp_path, ["base"], [0]).splitlines()[-1]
    assert [cell.strip() for cell in row.split("|")][-4] == "0.8000"


def test_what_cannot_be_scored_is_not_trained(tmp_path):
    write_manifest(
        tmp_path, {"dataset": "d", "source": "data/demo.py", "format": "npy"} | SUBSETS
    )
    flags = ["--data_path", str(tmp_path), "--out_dir", str(tmp_path / "out")]
    with pytest.raises(UserError, match="prepared from is not there"):
        main(parse_args(flags))
    assert not (tmp_path / "out").exists()


def test_datasets_that_cannot_be_scored_are_named_before_anything_runs(
    prepared, tmp_path, monkeypatch
):
    monkeypatch.setattr("tools.search_recipe.run_arm", None)
    flags = ["--out_dir", str(tmp_path / "out"), "--data_path"]
    with pytest.raises(UserError, match="holds no prepared arrays"):
        main(parse_args([*flags, str(tmp_path)]))
    with pytest.raises(UserError, match="nope: is not a folder"):
        main(parse_args([*flags, prepared, "--external", str(tmp_path / "nope")]))


SEARCH = """
from pathlib import Path
from cli.command import run_command
from tools import search_recipe

search_recipe.ROOT = Path.cwd()  # where the train.py below lies
run_command(lambda: search_recipe.main(search_recipe.parse_args()))
"""
TRAINING = """
import os, pathlib, time
pathlib.Path("pid.new").write_text(str(os.getpid()))
os.rename("pid.new", "pid")
time.sleep(60)
"""


def test_sigterm_ends_the_trainings_too(prepared, tmp_path):
    (tmp_path / "train.py").write_text(TRAINING)
    flags = ["--data_path", prepared, "--arms", "base", "mild", "--seeds", "0"]
    search = subprocess.Popen(
        [sys.executable, "-c", SEARCH, *flags, "--jobs", "1", "--out_dir", "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (pid := tmp_path / "pid").is_file() and search.poll() is None:
        time.sleep(0.01)
    search.terminate()
    printed, errors = search.communicate(timeout=30)
    assert (search.returncode, errors) == (130, "interrupted\n")
    assert "base, seed 0" in printed and "mild" not in printed
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
