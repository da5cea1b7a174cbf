"""Files of teachers' maps: written, read and refused."""

import numpy as np
import pytest

from cli.command import UserError
from data.teacher_maps import TeacherMaps, save_teacher_maps


def test_maps_are_read_as_written(tmp_path):
    maps = np.array([[[0, 0.5], [1, 0.2]], [[1, 1], [0, 0]]])
    save_teacher_maps(tmp_path / "maps.npz", ["A/1", "B/1"], maps)
    teacher = TeacherMaps(tmp_path / "maps.npz")
    assert teacher["A/1"].tolist() == [[[0], [128]], [[255], [51]]]
    teacher.check(["B/1"], (2, 2))
    with pytest.raises(UserError, match="no map of 1 training images, such as A/2"):
        teacher.check(["A/1", "A/2"], (2, 2))
    with pytest.raises(UserError, match="2×2 pixels, and the prepared images have 4×4"):
        teacher.check(["A/1"], (4, 4))


@pytest.mark.parametrize(
    "content",
    [None, b"PK no archive", {"names": ["a"]}, {"names": ["a"], "maps": [1.5]}],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "maps.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, **content)
    with pytest.raises(UserError, match=r"maps\.npz"):
        TeacherMaps(path)


def test_pickled_objects_are_not_run(tmp_path):
    np.savez(tmp_path / "m.npz", names=np.array([object()]), maps=np.zeros((1, 2, 2)))
    with pytest.raises(UserError, match=r"m\.npz"):
        TeacherMaps(tmp_path / "m.npz")
