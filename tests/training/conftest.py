"""A dataset and a network small enough to train in a test."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data import demo

ROOT = Path(__file__).resolve().parents[2]


def tiny_network(side: int):
    """Two convolutions, for images of `side` pixels: LGPS takes seconds to build."""
    import keras  # not above: the process that only hands out tests would load it too

    inputs = keras.Input((side, side, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(1, 1, activation="sigmoid")(x))


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory) -> Path:
    """Eight training and three test frames of 32×32."""
    folder = tmp_path_factory.mktemp("tiny")
    demo.write_prepared(folder, train=8, test=3, image_size=32, seed=5)
    return folder


@pytest.fixture
def run_train(tiny_dataset):
    """Starts `train.py` in a process of its own, ended with the test at the latest."""
    started = []

    def start(*flags, **environment) -> subprocess.Popen:
        command = [sys.executable, str(ROOT / "train.py"), *map(str, flags)]
        defaults = ["--data_path", str(tiny_dataset), "--batch_size", "4"]
        if "--resume" not in flags:
            command += defaults
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TF_NUM_INTRAOP_THREADS": "1", **environment},
            # Background jobs ignore Ctrl-C, and so would what they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
