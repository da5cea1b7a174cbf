"""The tf.data pipelines that feed training and validation.

Order and augmentation are functions of (seed, epoch, sample) alone: a run resumed at
epoch k sees exactly what an uninterrupted run would have seen from there on.
"""

import functools
import math
import threading
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
import tensorflow as tf

from data.augment import Augmentation, augment
from data.images import resize_pair
from data.recolour import LabStatistics, lab_statistics
from data.samples import Samples
from data.teacher_maps import LEVELS, TeacherMaps

Size = tuple[int, int]  # (H, W), pixels
# Tells the generator of a batch's size from those of its samples.
SIZE_STREAM = 1


def steps_per_epoch(samples: Samples, batch_size: int) -> int:
    """Batches that make one pass over the samples; the last may be smaller."""
    return math.ceil(len(samples) / batch_size)


def training_dataset(
    samples: Samples,
    prepare: Callable[[tf.Tensor], tf.Tensor],
    sizes: Mapping[Size, float],
    batch_size: int,
    augmentation: Augmentation,
    seed: int,
    shuffle: bool = True,
    first_epoch: int = 0,
    full_batches: bool = False,
    teacher: TeacherMaps | None = None,
) -> tf.data.Dataset:
    """Endless batches, epoch after epoch from `first_epoch` on.

    Args:
        samples: what to train on; read from disk sample by sample.
        prepare: turns `(B, H, W, 3)` float32 RGB images in [0, 255] into the model's
            input, as `models.image_convention.ImageConvention.prepare` does.
        sizes: each `(H, W)` to train at, pixels, with its share of the batches; the
            shares need not sum to 1. All images of a batch have one size.
        batch_size: images per batch; the last batch of an epoch may be smaller.
        augmentation: what may happen to a sample.
        seed: makes order, sizes and augmentation.
        shuffle: whether each epoch has its own order.
        first_epoch: number of the first epoch, from 0.
        full_batches: fill an epoch's last batch up with its first samples, so that
            each of several devices gets its share.
        teacher: has a map of each sample, of the samples' size.

    Returns:
        Dataset of `(B, H, W, 3)` float32 prepared images and `(B, H, W, 1)` float32
        masks 0/1, which have the teacher's probabilities as a second channel if there
        is one; `steps_per_epoch` batches make an epoch. H and W are None in its
        element spec when there are several sizes.

    Raises:
        ValueError: when there is no size, or a share is not positive.
    """
    if not sizes or min(sizes.values()) <= 0:
        raise ValueError(
            "Argument `sizes` must give each size a share above 0. "
            f"Received: sizes={sizes}"
        )
    names = samples.names if teacher else []
    shares = np.array(list(sizes.values())) / sum(sizes.values())

    lock = threading.Lock()

    @functools.cache
    def colours(index: int) -> LabStatistics:
        return lab_statistics(samples.batch([index])[0][0])

    def draw_donor(rng: np.random.Generator) -> LabStatistics:
        index = int(rng.integers(len(samples)))
        with lock:  # two threads would measure one image twice
            return colours(index)

    def load_batch(
        epoch: np.ndarray, step: np.ndarray, indices: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([seed, int(epoch), int(step), SIZE_STREAM])
        size = list(sizes)[rng.choice(len(sizes), p=shares)]
        pairs = []
        for index in indices.tolist():
            images, masks = samples.batch([index])
            if teacher:
                teachers = teacher[names[index]][None]
                masks = np.concatenate([masks, teachers], axis=-1)
            rng = np.random.default_rng([seed, int(epoch), index])
            pairs.append(
                augment(images[0], masks[0], augmentation, rng, size, draw_donor)
            )
        return _stack(pairs)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.range(len(samples), dtype=tf.int64)
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(order, seed=[seed, epoch])
        if full_batches:
            order = _fill_up(order, batch_size)
        batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        return batches.enumerate().map(lambda step, indices: (epoch, step, indices))

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    static_size = next(iter(sizes)) if len(sizes) == 1 else (None, None)
    ones = (1, LEVELS) if teacher else (1,)
    return _batches(epochs.flat_map(one_epoch), load_batch, prepare, static_size, ones)


def evaluation_dataset(
    samples: Samples,
    prepare: Callable[[tf.Tensor], tf.Tensor],
    image_size: Size,
    batch_size: int,
    full_batches: bool = False,
) -> tf.data.Dataset:
    """One pass over the samples in order, unchanged but for their size.

    Args:
        samples, prepare, batch_size, full_batches: as in `training_dataset`.
        image_size: `(H, W)` of all batches, pixels.

    Returns:
        Dataset of `(B, H, W, 3)` prepared images and `(B, H, W, 1)` masks, float32.
    """

    def load_batch(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _stack([load_sample(samples, i, image_size) for i in indices.tolist()])

    order = tf.range(len(samples), dtype=tf.int64)
    if full_batches:
        order = _fill_up(order, batch_size)
    batches = tf.data.Dataset.from_tensor_slices((order,)).batch(batch_size)
    return _batches(batches, load_batch, prepare, image_size)


def _fill_up(order: tf.Tensor, batch_size: int) -> tf.Tensor:
    """Repeats an order from its start until it makes whole batches."""
    count = tf.size(order)
    steps = -(-count // batch_size)
    return tf.gather(order, tf.range(steps * batch_size) % count)


def load_sample(
    samples: Samples, index: int, image_size: Size
) -> tuple[np.ndarray, np.ndarray]:
    """One sample at a size: uint8 `(H, W, 3)` RGB and uint8 `(H, W, 1)` 0/1."""
    images, masks = samples.batch([index])
    return resize_pair(images[0], masks[0], image_size)


def _stack(
    pairs: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    images, masks = zip(*pairs, strict=True)
    return np.stack(images), np.stack(masks)


def _batches(
    keys: tf.data.Dataset,
    load_batch: Callable[..., tuple[np.ndarray, np.ndarray]],
    prepare: Callable[[tf.Tensor], tf.Tensor],
    static_size: tuple[int | None, int | None],
    ones: Sequence[int] = (1,),
) -> tf.data.Dataset:
    """Turns what names a batch's samples into prepared images and masks.

    `ones` are the values of 1 in the channels of the masks that `load_batch` gives.
    """
    cv2.setNumThreads(1)  # tf.data runs several batches at once already

    def load(*key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, masks = tf.numpy_function(load_batch, key, (tf.uint8, tf.uint8))
        images = tf.ensure_shape(images, (None, *static_size, 3))
        masks = tf.ensure_shape(masks, (None, *static_size, len(ones)))
        masks = tf.cast(masks, tf.float32) / tf.constant(ones, tf.float32)
        return prepare(tf.cast(images, tf.float32)), masks

    dataset = keys.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    # The functions above cannot be shipped to other workers as files would be.
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)
