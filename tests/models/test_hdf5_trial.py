"""Another process reads a file first, and how it fails is told in one line."""

import sys

import h5py
import numpy as np
import pytest

from models import hdf5_trial
from models.hdf5_trial import try_reading


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "-a.h5"
    with h5py.File(path, "w") as stream:
        stream.attrs["text"] = "text"
        stream["group/array"] = np.arange(1000)
    return path


def test_a_whole_file_is_read_without_a_word(file, capfd):
    try_reading(file)
    assert capfd.readouterr() == ("", "")


def test_an_array_that_cannot_be_read(file):
    with h5py.File(file) as stream:
        place = stream["group/array"].id.get_offset()
    content = file.read_bytes()
    file.write_bytes(content[: place + 100])
    with pytest.raises(OSError, match="HDF5 cannot read it .*truncated"):
        try_reading(file)


def test_a_promised_array_is_not_asked_for(file):
    with h5py.File(file, "r+") as stream:
        stream.create_dataset("bomb", (2**50,), "float32", chunks=(2**20,))
    try_reading(file)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import time; time.sleep(60)", "HDF5 did not finish reading it in 2 s"),
        ("import os; os.kill(os.getpid(), 11)", r"cannot read it \(exit code -11\)"),
    ],
)
def test_a_hang_and_a_crash(script, message, file, monkeypatch, tmp_path):
    instead = tmp_path / "instead.py"
    instead.write_text(script)
    monkeypatch.setattr(hdf5_trial, "__file__", str(instead))
    monkeypatch.setattr(hdf5_trial, "TRIAL_SECONDS", 2)
    with pytest.raises(OSError, match=message):
        try_reading(file)


def test_the_process_imports_no_framework(file):
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:];"
        "runpy.run_path(sys.argv[0], run_name='__main__');"
        "print({'keras', 'tensorflow', 'cv2', 'models'} & set(sys.modules))"
    )
    command = [sys.executable, "-P", "-c", code, hdf5_trial.__file__, str(file)]
    found = hdf5_trial.subprocess.run(command, capture_output=True, text=True)
    assert found.stdout.strip() == "set()", found.stderr
