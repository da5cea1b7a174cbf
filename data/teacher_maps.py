"""Maps of training images by teachers: networks that have not seen these images.

Such a map shows what is hard to see in an image, which its mask does not. The file is
an `.npz` with `names`, `dataset/image` of each, and `maps`, `(N, H, W)` uint8:
probability times 255. `tools/teach.py` writes it.
"""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cli.command import UserError
from cli.files import replacing

LEVELS = 255  # of a probability of 1


class TeacherMaps:
    """The teachers' maps of some images.

    Args:
        path: a file of `save_teacher_maps`.

    Raises:
        UserError: it is not there or holds something else.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                names, maps = arrays["names"], arrays["maps"]
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            raise UserError(
                f"{path} is not there, or holds no teachers' maps"
            ) from None
        if maps.dtype != np.uint8 or maps.ndim != 3 or names.shape != maps.shape[:1]:
            raise UserError(f"{path} holds no teachers' maps")
        self._maps = dict(zip(map(str, names), maps, strict=True))

    def __getitem__(self, name: str) -> np.ndarray:
        """The map of `dataset/image`: `(H, W, 1)` uint8, probability times 255."""
        return self._maps[name][..., None]

    def check(self, names: Iterable[str], image_size: tuple[int, int]) -> None:
        """Checks that all images have a map of their size.

        Args:
            names: `dataset/image` of each.
            image_size: `(H, W)` in pixels.

        Raises:
            UserError: one has none, or one of another size.
        """
        missing = [name for name in names if name not in self._maps]
        if missing:
            raise UserError(
                f"{self.path} has no map of {len(missing)} training images, such as "
                f"{missing[0]}"
            )
        sizes = {self._maps[name].shape for name in names}
        if wrong := sizes - {tuple(image_size)}:
            height, width = min(wrong)
            raise UserError(
                f"{self.path} has maps of {height}×{width} pixels, and the prepared "
                f"images have {image_size[0]}×{image_size[1]}"
            )


def save_teacher_maps(path: Path, names: Iterable[str], maps: np.ndarray) -> None:
    """Writes maps for `TeacherMaps`.

    Args:
        path: an `.npz` file.
        names: `dataset/image` of each, N of them.
        maps: `(N, H, W)` probabilities.
    """
    levels = np.rint(np.asarray(maps) * LEVELS).astype(np.uint8)
    with replacing(path) as partial:
        np.savez_compressed(partial, names=np.array(list(names)), maps=levels)
