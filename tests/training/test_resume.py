"""A run that was killed goes on as if it had never stopped."""

import signal
import time

import h5py
import numpy as np
import pytest

from models.run_folder import RunFolder


def _weights(folder) -> list[np.ndarray]:
    with h5py.File(RunFolder(folder).state) as file:
        return [file[str(index)][()] for index in range(len(file))]


def _wait_for_epochs(folder, epochs: int, process, seconds: float = 400) -> None:
    """Until the log holds so many epochs."""
    log = folder / "log.csv"
    deadline = time.monotonic() + seconds
    while not log.is_file() or len(log.read_text().splitlines()) < epochs + 1:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "the run did not get that far"
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_in_the_third_epoch_and_resumed_ends_with_the_same_weights(
    run_train, tmp_path
):
    whole = run_train("--epochs", 4, "--out_dir", tmp_path / "whole")
    output, _ = whole.communicate(timeout=600)
    assert whole.returncode == 0, output

    killed = run_train("--epochs", 4, "--out_dir", tmp_path / "killed")
    _wait_for_epochs(tmp_path / "killed", 2, killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    resumed = run_train("--resume", "--out_dir", tmp_path / "killed")
    output, _ = resumed.communicate(timeout=600)
    assert resumed.returncode == 0, output
    assert "after epoch 2" in output

    folders = [tmp_path / "whole", tmp_path / "killed"]
    for expected, got in zip(*map(_weights, folders), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)
    files = [sorted(file.name for file in folder.iterdir()) for folder in folders]
    assert files[0] == files[1]
    assert not [name for name in files[1] if "partial" in name]
    assert len((folders[1] / "log.csv").read_text().splitlines()) == 5


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(run_train, tmp_path):
    process = run_train("--epochs", 1000, "--out_dir", tmp_path / "run")
    _wait_for_epochs(tmp_path / "run", 1, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert f"--resume --out_dir {tmp_path / 'run'}" in output
    assert "Traceback" not in output
