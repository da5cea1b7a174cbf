"""Folders and globs of pictures: which files are read."""

import os
import threading

import cv2
import numpy as np
import pytest

from cli.command import UserError
from deploy.recording import Recording
from deploy.sources import open_source, source_name
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


def test_a_name_that_is_not_in_utf_8_is_named(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9"
    for suffix in (b".png", b".avi"):
        with open(name + suffix, "wb") as file:
            file.write(b"no picture")
    source = open_source(str(tmp_path))
    assert list(source) == []
    (problem,) = source.problems
    assert problem.endswith(r"caf\xe9.png: the name is not in UTF-8; rename the file")
    with pytest.raises(UserError, match="not in UTF-8"):
        open_source(os.fsdecode(name + b".avi"))


def test_hidden_pictures_of_a_folder_are_left_out(tmp_path):
    for name in ("a.png", "._a.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 4, 3), np.uint8))
    assert [frame.name for frame in open_source(str(tmp_path))] == ["a"]


def test_sources_are_named_apart(tmp_path):
    for name in ("scan.v1", "scan.v2"):
        (tmp_path / name).mkdir()
    assert source_name(str(tmp_path / "scan.v1")) == "scan.v1"
    for folder in ("a/images", "b/images"):
        (tmp_path / folder).mkdir(parents=True)
        assert source_name(str(tmp_path / folder)) == folder.replace("/", "_")
    assert source_name("frames/*.png") == "frames_.png"
    assert source_name("rtsp://me:secret@host/scope") == "host_scope"


def test_frames_have_the_times_that_the_film_states(tmp_path):
    """Half of the frames were dropped, as of a camera; none of the film is missing."""
    times = [*range(0, 10), *range(10, 40, 3)]
    recording = Recording(tmp_path / "film.mkv", "ffv1", "gray", (32, 32), 25)
    for time in times:
        recording.write(np.zeros((32, 32), np.uint8), time / 25)
    recording.close()
    source = open_source(str(tmp_path / "film.mkv"))
    found = [frame.seconds for frame in source]
    np.testing.assert_allclose(found, np.array(times) / 25, atol=0.002)
    assert source.problems == []
