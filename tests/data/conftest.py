"""Small generated datasets, written like the real ones."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest


def draw_pair(seed: int, size: tuple[int, int] = (40, 56)) -> tuple:
    """A smooth coloured picture and a disk: `(H, W, 3)` uint8 and `(H, W)` 0/255."""
    rng = np.random.default_rng(seed)
    height, width = size
    image = cv2.resize(
        rng.integers(0, 256, (4, 5, 3), np.uint8), (width, height), interpolation=1
    )
    mask = np.zeros(size, np.uint8)
    centre = (int(rng.integers(15, width - 15)), int(rng.integers(12, height - 12)))
    cv2.circle(mask, centre, 9, 255, -1)
    return image, mask


@pytest.fixture
def write_set() -> Callable[..., Path]:
    """Writes numbered pairs: `write_set(root, names, images="images", ...)`."""

    def write(
        root: Path,
        names: list[str],
        images: str = "images",
        masks: str = "masks",
        ending: str = ".png",
        mask_name: str = "{}",
    ) -> Path:
        (root / images).mkdir(parents=True, exist_ok=True)
        (root / masks).mkdir(parents=True, exist_ok=True)
        for seed, name in enumerate(names):
            image, mask = draw_pair(seed)
            cv2.imwrite(str(root / images / f"{name}{ending}"), image)
            cv2.imwrite(str(root / masks / f"{mask_name.format(name)}{ending}"), mask)
        return root

    return write
