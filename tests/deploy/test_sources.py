"""Folders and globs of pictures: which files are read."""

import os

import cv2
import pytest

from deploy.sources import open_source
from tests.deploy.conftest import green_square


@pytest.mark.parametrize("source", ["", "*.png", "pipe.png"])
def test_named_pipe_is_named_and_left_out(tmp_path, source):
    cv2.imwrite(str(tmp_path / "a.png"), green_square(32, 32, 8, 8, 8))
    os.mkfifo(tmp_path / "pipe.png")
    pictures = open_source(str(tmp_path / source))
    expected = [] if source == "pipe.png" else ["a"]
    assert [frame.name for frame in pictures] == expected
    assert pictures.problems == [f"{tmp_path / 'pipe.png'}: is not a regular file"]
