"""Maps for the cases of a set: from a network in compiled batches, or from files.

Both sources have `cases(case_set, indices)`, which yields the cases with their maps,
so whatever follows does not know where a map came from.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import tensorflow as tf

from data.images import resize_image
from evaluation.cases import Case, CaseSet, read_ahead
from evaluation.results import model_label
from models.checkpoints import Checkpoint


class Predictor:
    """Runs a checkpoint over cases in batches of one fixed, compiled shape.

    Args:
        checkpoint: the network, its input preparation and its size.
        batch_size: images per call; the last batch is padded to it.

    Attributes:
        label: what stands for the model in paths and tables.
        source: the checkpoint's file.
        seconds: time spent in the network since construction, warm-up excluded.
        images: images computed in that time, the padding of batches included.
    """

    def __init__(self, checkpoint: Checkpoint, batch_size: int = 8):
        self.checkpoint = checkpoint
        self.label = model_label(checkpoint.path)
        self.source = checkpoint.path
        self.batch_size = batch_size
        self.seconds = 0.0
        self.images = 0
        spec, model = checkpoint.input_spec, checkpoint.model
        shape = (batch_size, *checkpoint.image_size, 3)

        @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8)])
        def forward(images):
            inputs = spec.prepare(tf.cast(images, tf.float32))
            return model(inputs, training=False)[..., 0]

        self._forward = forward
        self._forward(tf.zeros(shape, tf.uint8))  # compiles; not counted as speed

    @property
    def images_per_second(self) -> float | None:
        """Images through the network per second, decoding and scoring excluded."""
        return self.images / self.seconds if self.seconds else None

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predicts up to `batch_size` images.

        Args:
            images: `(n, H, W, 3)` uint8 RGB at the network's size.

        Returns:
            `(n, H, W)` float32 probabilities.
        """
        count = len(images)
        padding = np.zeros((self.batch_size - count, *images.shape[1:]), np.uint8)
        start = time.perf_counter()
        maps = self._forward(np.concatenate([images, padding])).numpy()[:count]
        self.seconds += time.perf_counter() - start
        self.images += self.batch_size
        return maps

    def cases(
        self, case_set: CaseSet, indices: Iterable[int] | None = None
    ) -> Iterator[Case]:
        """Yields cases with their probability maps, in order, memory staying flat."""
        size = self.checkpoint.image_size

        def load(index: int) -> tuple[Case, np.ndarray]:
            case = case_set.read(index)
            return case, resize_image(case.image, size)

        if indices is None:
            indices = range(len(case_set))
        loaded = read_ahead(load, indices, 2 * self.batch_size)
        while batch := list(islice(loaded, self.batch_size)):
            maps = self.predict(np.stack([image for _, image in batch]))
            for (case, _), probability in zip(batch, maps, strict=True):
                yield replace(case, probability=probability)
