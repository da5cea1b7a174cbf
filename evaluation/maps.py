"""Probability maps predicted by a network, in compiled batches.

`saved_maps.py` reads maps from files instead. Both classes have the interface
`cases.MapSource`, so the code that scores maps does not depend on their source.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import tensorflow as tf

from cli.command import UserError
from cli.parallel import map_in_order
from data.images import resize_image
from evaluation.cases import Case, CaseSet
from models.checkpoints import Checkpoint
from models.conv_crf import MeanFieldCRF
from models.inference import build_rgb_model
from models.run_folder import model_label

SPEED_SECONDS = 1.0  # how long the speed is measured
PROBABILITY_MARGIN = 1e-6  # keeps logits finite


class NetworkMaps:
    """Runs a network over cases in batches of one fixed, compiled shape.

    Args:
        checkpoint: the network, its input preparation and its size.
        batch_size: images per call; the last batch is padded to it.
        tta: `"flips"` averages the maps of the four flips of each image.
        refine: `"convcrf"` refines each map by mean-field inference.

    Attributes:
        label: the model's name in paths and tables.
        source: the checkpoint's file.
        images_per_second: speed of the network after warm-up, in full batches,
            without decoding and scoring.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        batch_size: int = 8,
        tta: str | None = None,
        refine: str | None = None,
    ):
        self.size = checkpoint.image_size
        self.label = "+".join(filter(None, [model_label(checkpoint.path), tta, refine]))
        self.source = checkpoint.path
        self.batch_size = batch_size
        # The inference form takes 0.6 times as long, and differs by 1e-5 at most.
        network = build_rgb_model(checkpoint)
        if tta == "flips":
            network = average_flips(network)
        if refine == "convcrf":
            network = refine_by_crf(network)
        shape = (batch_size, *self.size, 3)
        self._forward = tf.function(
            network, input_signature=[tf.TensorSpec(shape, tf.float32)]
        )
        self.images_per_second = self._measure_speed(tf.zeros(shape))

    def _measure_speed(self, images: tf.Tensor) -> float:
        self._forward(images)  # compiles
        calls, start = 0, time.perf_counter()
        while (seconds := time.perf_counter() - start) < SPEED_SECONDS:
            self._forward(images).numpy()
            calls += 1
        return calls * self.batch_size / seconds

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predicts up to `batch_size` images.

        Args:
            images: `(n, H, W, 3)` uint8 RGB at the network's size.

        Returns:
            `(n, H, W)` float32 probabilities.

        Raises:
            UserError: the probabilities are not finite, so the weights are damaged.
        """
        count = len(images)
        padded = np.zeros((self.batch_size, *images.shape[1:]), np.float32)
        padded[:count] = images
        maps = self._forward(tf.constant(padded)).numpy()[:count, ..., 0]
        if not np.isfinite(maps).all():
            raise UserError(
                f"{self.source}: its maps are not finite, so its weights are damaged"
            )
        return maps

    def cases(
        self, case_set: CaseSet, indices: Iterable[int] | None = None
    ) -> Iterator[Case]:
        """Yields cases (default: all) with their maps, in order, a few at a time."""

        def load(index: int) -> tuple[Case, np.ndarray]:
            case = case_set.read(index)
            return case, resize_image(case.image, self.size)

        if indices is None:
            indices = range(len(case_set))
        loaded = map_in_order(load, indices)
        while batch := list(islice(loaded, self.batch_size)):
            maps = self.predict(np.stack([image for _, image in batch]))
            for (case, _), probability in zip(batch, maps, strict=True):
                yield replace(case, probability=probability)


def average_flips(network: Callable) -> Callable:
    """Averages a network's maps over both flips, each map flipped back.

    Args:
        network: images `(B, H, W, 3)` → probabilities `(B, H, W, 1)`.
    """

    def averaged(images):
        maps = [network(images)]
        for axes in ([1], [2], [1, 2]):
            maps.append(tf.reverse(network(tf.reverse(images, axes)), axes))
        return tf.add_n(maps) / len(maps)

    return averaged


def refine_by_crf(network: Callable) -> Callable:
    """Refines a network's maps by an untrained ConvCRF, guided by the images' colours.

    Args:
        network: images `(B, H, W, 3)` in [0, 255] → probabilities `(B, H, W, 1)`.
    """
    crf = MeanFieldCRF()

    def refined(images):
        p = tf.clip_by_value(
            network(images), PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN
        )
        return tf.sigmoid(crf([tf.math.log(p / (1 - p)), images / 127.5 - 1]))

    return refined
