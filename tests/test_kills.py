"""Commands killed at random moments leave no half file, and can simply be run again.

`KILLS=100 python -m pytest -m slow -s tests/test_kills.py` kills a hundred times and
prints each kill; the default is ten.
"""

import csv
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest

from data import demo
from models.hdf5_trial import read_everything
from models.run_folder import RunFolder
from models.shipped import SHIPPED_WEIGHTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
KILLS = int(os.environ.get("KILLS", "10"))
SECONDS = 1800  # for one command; on a busy machine they take minutes
# Appended to for as long as the command runs, so they end wherever it was killed.
STREAMS = ("predictions.csv", "events.out.tfevents")
OPENVINO = pytest.mark.skipif(not find_spec("openvino"), reason="no OpenVINO here")


@dataclass(frozen=True)
class Command:
    """A command, and what of its output must be the same at each run.

    Attributes:
        script: the script at the root.
        flags: its flags, without those that say where to write.
        result: the folder it has written → what must be equal, arrays to 1e-5.
        out: its folder → the flags that say where to write.
        again: its folder after a kill → the flags of the next run; default: the same.
    """

    script: str
    flags: tuple
    result: Callable[[Path], dict]
    out: Callable[[Path], tuple] = lambda folder: ("--out_dir", folder)
    again: Callable[[Path], tuple | None] = lambda folder: None


def contents(*patterns: str) -> Callable[[Path], dict]:
    """The bytes of the files of those names, and the names of all files."""

    def read(folder: Path) -> dict:
        same = {file for pattern in patterns for file in folder.rglob(pattern)}
        return {
            name: file.read_bytes() if file in same else None
            for name, file in written_files(folder)
        }

    return read


def trained(folder: Path) -> dict:
    """The best checkpoint's arrays, the epochs logged, and the names of all files."""
    run, arrays = RunFolder(folder), {}

    def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with h5py.File(run.best) as file:
        file.visititems(add)
    return {
        **{name: None for name, _ in written_files(folder)},
        **arrays,
        "log.csv": len(run.log.read_text().splitlines()),
    }


def exported(folder: Path) -> dict:
    """The weights, what the card says of them, and the names of all files."""
    card = json.loads((folder / "model.xml.card.json").read_text())
    facts = {key: card[key] for key in ("sha256", "source_sha256", "bytes", "input")}
    return {**contents("model.bin")(folder), "card": facts}


def scored(folder: Path) -> dict:
    """The scores of each image, and the names of all files."""
    (table,) = folder.rglob("per_image.csv")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = [[_number(value) for value in row.values()] for row in rows]
    names = [[row["name"], *row] for row in rows]
    return {**contents()(folder), "scores": np.array(numbers), "cases": names}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def predicted(folder: Path) -> dict:
    """The pictures, and the table without its milliseconds."""
    with (folder / "predictions.csv").open(newline="") as file:
        rows = [
            {key: value for key, value in row.items() if not key.endswith("_ms")}
            for row in csv.DictReader(file)
        ]
    return {**contents("*.png", "*.jpg")(folder), "predictions.csv": rows}


def written_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name and path of every file but unfinished ones, whose names begin with a dot."""
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        if file.is_file() and not any(part.startswith(".") for part in parts):
            # TensorBoard names its files by the time.
            if "tensorboard" not in parts:
                yield "/".join(parts), file


def problem_with(file: Path) -> str | None:
    """Says in what way a file is not whole; None when it is."""
    if file.name.startswith(STREAMS):
        return None
    content = file.read_bytes()
    endings = {
        ".png": b"IEND\xaeB`\x82",
        ".jpg": b"\xff\xd9",
        ".csv": b"\n",
        ".md": b"\n",
        ".tex": b"\n",
        ".html": b"</html>\n",
        ".xml": b"</net>\n",
        ".bin": b"",
    }
    try:
        if file.suffix == ".h5":
            read_everything(file)
        elif file.suffix == ".npy":
            np.load(file, allow_pickle=False)
        elif file.suffix == ".json":
            json.loads(content)
        elif not content or not content.endswith(endings[file.suffix]):
            return f"ends in {content[-20:]!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def assert_same(got: dict, expected: dict) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            np.testing.assert_allclose(got[name], value, atol=1e-5, err_msg=name)
        else:
            assert np.array_equal(got[name], value), name


def start(command: Command, folder: Path, flags: tuple | None = None):
    """Starts a command that writes into a folder, its output in a file beside it."""
    flags = flags or (*command.flags, *command.out(folder))
    with folder.with_suffix(".log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, str(ROOT / command.script), *map(str, flags)],
            stdout=log,
            stderr=subprocess.STDOUT,
            # Sums in one order, so that two trainings end with the same weights.
            env={**os.environ, "TF_NUM_INTRAOP_THREADS": "1"},
        )


def finish(process: subprocess.Popen, folder: Path) -> None:
    try:
        code = process.wait(SECONDS)
    finally:
        process.kill()
    assert code == 0, folder.with_suffix(".log").read_text()


def wait_until_it_writes(process: subprocess.Popen, folder: Path) -> None:
    while process.poll() is None and not (folder.is_dir() and any(folder.iterdir())):
        time.sleep(0.002)


def run_whole(command: Command, folder: Path) -> float:
    """Runs a command undisturbed; the seconds from its first file to its end."""
    process = start(command, folder)
    wait_until_it_writes(process, folder)
    began = time.monotonic()
    finish(process, folder)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """Raw and prepared frames, and a small model that Predict.py starts quickly."""
    folder = tmp_path_factory.mktemp("work")
    demo.write_raw(folder / "Kvasir-SEG", count=24, image_size=96, seed=0)
    demo.write_prepared(folder / "prepared", train=8, test=4, image_size=32, seed=5)
    return folder


def make_command(name: str, work: Path) -> Command:
    """The command of that name, on the frames in `work`."""
    raw, prepared = work / "Kvasir-SEG", work / "prepared"
    train_flags = ("--epochs", 3, "--batch_size", 4, "--no_discriminator")
    train_flags += ("--bn_recalibrate", 4, "--verbose", 2)

    def resume(folder: Path) -> tuple | None:
        begun = RunFolder(folder).holds_a_run()
        return ("--resume", "--out_dir", folder, "--verbose", 2) if begun else None

    commands = {
        "Preprocess": Command(
            "Preprocess_SEG.py",
            ("--data_path", raw, "--image_size", 512, "--split", "random"),
            contents("*"),
        ),
        "train": Command(
            "train.py", ("--data_path", prepared, *train_flags), trained, again=resume
        ),
        "Test": Command(
            "Test.py",
            ("--data_path", prepared, "--protocol", "all"),
            scored,
        ),
        "Export": Command(
            "Export.py",
            ("--format", "openvino", "--image_size", 64, 64),
            exported,
            out=lambda folder: ("--out", folder / "model.xml"),
        ),
        "Predict": Command(
            "Predict.py",
            ("--source", raw / "images", "--model_path", SHIPPED_WEIGHTS["lgps"]),
            predicted,
        ),
    }
    return commands[name]


@pytest.mark.parametrize(
    "name",
    ["Preprocess", "train", "Test", pytest.param("Export", marks=OPENVINO), "Predict"],
)
def test_killed_at_random_moments(name, work, tmp_path):
    command = make_command(name, work)
    seconds = run_whole(command, tmp_path / "whole")
    expected = command.result(tmp_path / "whole")
    kills = 0
    for attempt in itertools.count():
        folder = tmp_path / f"killed_{attempt}"
        process = start(command, folder)
        wait_until_it_writes(process, folder)
        began, moment = time.monotonic(), random.uniform(0, seconds)
        try:
            process.wait(moment)
            seconds = time.monotonic() - began  # it was faster this time
            continue
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        kills += 1
        left = dict(written_files(folder)) if folder.is_dir() else {}
        torn = {name: why for name, file in left.items() if (why := problem_with(file))}
        print(f"\n{name}, killed at {moment:.2f} of {seconds:.2f} s: {len(left)} files")
        assert not torn, f"killed after {moment:.2f} s"
        finish(start(command, folder, command.again(folder)), folder)
        assert_same(command.result(folder), expected)
        if kills >= KILLS // 5:
            break
