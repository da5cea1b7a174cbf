"""A file is written whole or not at all."""

import pytest

from cli.files import replacing, write_text


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as partial:
        partial.write_text("first")
        assert not path.exists() and partial.suffix == ".txt"
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:
        partial.write_text("second")
        _ = 1 / 0
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_written_whole(tmp_path):
    write_text(tmp_path / "x.md", "line")
    assert (tmp_path / "x.md").read_text() == "line\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x.md"]
