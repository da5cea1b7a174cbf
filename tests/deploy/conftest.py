"""A model for the tests of prediction: quick, and right about what it is shown."""

import numpy as np
import pytest

from deploy.runtimes import Runtime


class GreenDetector(Runtime):
    """Gives probability 1 where a frame is pure green, else 0."""

    image_size = (32, 32)

    def run(self, frames: np.ndarray) -> np.ndarray:
        green = (frames[..., 1:2] > 180) & (frames[..., :1] < 100)
        return green.astype(np.float32)


@pytest.fixture
def detector():
    return GreenDetector()


def green_square(height, width, top, left, side):
    """A grey frame with a green square."""
    frame = np.full((height, width, 3), 120, np.uint8)
    frame[top : top + side, left : left + side] = (0, 255, 0)
    return frame
