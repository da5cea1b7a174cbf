"""Folders and globs of pictures: which files are read."""

import os
import threading

import cv2
import pytest

from deploy.sources import open_source
from tests.deploy.conftest import green_square


@pytest.mark.parametrize("source", ["", "*.png", "pipe.png"])
def test_named_pipe_is_named_and_left_out(tmp_path, source):
    cv2.imwrite(str(tmp_path / "a.png"), green_square(32, 32, 8, 8, 8))
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    # A reader of the pipe would find it empty, and fail the test instead of hanging.
    threading.Thread(target=lambda: open(pipe, "wb").close(), daemon=True).start()
    pictures = open_source(str(tmp_path / source))
    expected = [] if source == "pipe.png" else ["a"]
    assert [frame.name for frame in pictures] == expected
    assert pictures.problems == [f"{pipe}: is not a regular file"]
