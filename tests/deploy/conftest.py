"""A model for the tests of prediction: quick, and right about what it is shown."""

import keras
import numpy as np
import pytest

from deploy.runtimes import Runtime
from models import build_model
from models.checkpoints import save_checkpoint


class GreenDetector(Runtime):
    """Gives probability 1 where a frame is pure green, else 0."""

    image_size = (32, 32)

    def run(self, frames: np.ndarray) -> np.ndarray:
        green = (frames[..., 1:2] > 180) & (frames[..., :1] < 100)
        return green.astype(np.float32)


@pytest.fixture
def detector():
    return GreenDetector()


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """An untrained LGPS for 64×48 that takes half of a noisy frame for polyp."""
    keras.utils.set_random_seed(1)
    model = build_model("lgps", (64, 48, 3))
    last = model.layers[-1]
    kernel = 30 * last.get_weights()[0]
    last.set_weights([kernel, np.zeros(1)])
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 64, 48, 3))
    median = np.median(np.asarray(model(noise)))
    last.set_weights([kernel, np.array([-np.log(median / (1 - median))])])
    path = tmp_path_factory.mktemp("network") / "tiny.h5"
    save_checkpoint(model, path)
    return path


def green_square(height, width, top, left, side):
    """A grey frame with a green square."""
    frame = np.full((height, width, 3), 120, np.uint8)
    frame[top : top + side, left : left + side] = (0, 255, 0)
    return frame
