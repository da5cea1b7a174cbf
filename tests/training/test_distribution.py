"""Training on two devices, and on two workers that talk over loopback."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
# Trains as train.py does and stores the last weights; argv: folder, dataset, strategy,
# number of logical CPU devices.
PROGRAM = """
import sys
from cli.command import import_tensorflow
import_tensorflow()
import numpy as np, tensorflow as tf
from models.run_folder import RunFolder
from training.recipes import new_options
from training.run import train
folder, dataset, strategy, devices = sys.argv[1:]
cpu = tf.config.list_physical_devices("CPU")[0]
one = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [one] * int(devices))
options = new_options({"data_path": [dataset], "epochs": 2, "batch_size": 4,
                       "strategy": strategy, "bn_recalibrate": 4})
trainer = train(options, RunFolder(folder), verbose=2)
np.savez(folder + ".npz", *trainer.network.get_weights())
"""


def _start(folder, dataset, strategy, devices, **environment) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, folder, dataset, strategy, str(devices)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_two_devices(tiny_dataset, tmp_path):
    folder = tmp_path / "mirrored"
    process = _start(str(folder), str(tiny_dataset), "mirrored", 2)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    assert "2 device(s)" in output
    assert (folder / "best.h5").is_file()
    weights = np.load(f"{folder}.npz")
    assert all(np.isfinite(weights[name]).all() for name in weights.files)


@pytest.mark.slow
def test_two_workers_end_with_identical_weights(tiny_dataset, tmp_path):
    workers = [f"127.0.0.1:{_free_port()}" for _ in range(2)]
    processes = []
    for index in range(2):
        config = {
            "cluster": {"worker": workers},
            "task": {"type": "worker", "index": index},
        }
        folder = str(tmp_path / f"worker{index}")
        processes.append(
            _start(
                folder,
                str(tiny_dataset),
                "multiworker",
                1,
                TF_CONFIG=json.dumps(config),
            )
        )
    outputs = [process.communicate(timeout=900)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    first, second = (np.load(tmp_path / f"worker{index}.npz") for index in range(2))
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])
    # Only the chief writes the run's folder.
    assert (tmp_path / "worker0" / "best.h5").is_file()
    assert not (tmp_path / "worker1").exists()
