"""The tf.data pipelines that feed training and validation.

Order and augmentation are functions of (seed, epoch, sample) alone: a run resumed at
epoch k sees exactly what an uninterrupted run would have seen from there on.
"""

import math

import cv2
import numpy as np
import tensorflow as tf

from data.augment import Augmentation, augment
from data.images import resize_image, resize_mask
from data.samples import Samples
from models.image_convention import ImageConvention


def steps_per_epoch(samples: Samples, batch_size: int) -> int:
    """Batches that make one pass over the samples; the last may be smaller."""
    return math.ceil(len(samples) / batch_size)


def training_dataset(
    samples: Samples,
    convention: ImageConvention,
    image_size: tuple[int, int],
    batch_size: int,
    augmentation: Augmentation,
    seed: int,
    shuffle: bool = True,
    first_epoch: int = 0,
    full_batches: bool = False,
) -> tf.data.Dataset:
    """Endless batches, epoch after epoch from `first_epoch` on.

    Args:
        samples: what to train on; read from disk sample by sample.
        convention: how the model's input is prepared.
        image_size: `(H, W)` to train at, pixels.
        batch_size: images per batch; the last batch of an epoch may be smaller.
        augmentation: what may happen to a sample.
        seed: makes order and augmentation.
        shuffle: whether each epoch has its own order.
        first_epoch: number of the first epoch, from 0.
        full_batches: fill an epoch's last batch up with its first samples, so that
            each of several devices gets its share.

    Returns:
        Dataset of `(B, H, W, 3)` float32 prepared images and `(B, H, W, 1)` float32
        masks 0/1; `steps_per_epoch` batches make an epoch.
    """

    def load(epoch: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        image, mask = load_sample(samples, int(index), image_size)
        rng = np.random.default_rng([seed, int(epoch), int(index)])
        return augment(image, mask, augmentation, rng)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.range(len(samples), dtype=tf.int64)
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(order, seed=[seed, epoch])
        if full_batches:
            order = _fill_up(order, batch_size)
        dataset = tf.data.Dataset.from_tensor_slices(order)
        dataset = dataset.map(lambda index: (epoch, index))
        return dataset.batch(batch_size)

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    return _batches(epochs.flat_map(one_epoch), load, convention, image_size)


def evaluation_dataset(
    samples: Samples,
    convention: ImageConvention,
    image_size: tuple[int, int],
    batch_size: int,
    full_batches: bool = False,
) -> tf.data.Dataset:
    """One pass over the samples in order, unchanged but for their size.

    Args:
        samples, convention, image_size, batch_size, full_batches: as in
            `training_dataset`.

    Returns:
        Dataset of `(B, H, W, 3)` prepared images and `(B, H, W, 1)` masks, float32.
    """

    def load(_: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return load_sample(samples, int(index), image_size)

    order = tf.range(len(samples), dtype=tf.int64)
    if full_batches:
        order = _fill_up(order, batch_size)
    indices = tf.data.Dataset.from_tensor_slices((order, order))
    return _batches(indices.batch(batch_size), load, convention, image_size)


def _fill_up(order: tf.Tensor, batch_size: int) -> tf.Tensor:
    """Repeats an order from its start until it makes whole batches."""
    count = tf.size(order)
    steps = -(-count // batch_size)
    return tf.gather(order, tf.range(steps * batch_size) % count)


def load_sample(
    samples: Samples, index: int, image_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """One sample at a size: uint8 `(H, W, 3)` RGB and uint8 `(H, W, 1)` 0/1."""
    images, masks = samples.batch([index])
    image, mask = images[0], masks[0]
    if tuple(image_size) != image.shape[:2]:
        image = resize_image(image, image_size)
        mask = resize_mask(mask[..., 0], image_size)[..., None]
    return image, mask


def _batches(
    index_batches: tf.data.Dataset, load, convention: ImageConvention, image_size
) -> tf.data.Dataset:
    """Turns batches of (epoch, index) into batches of prepared images and masks."""
    cv2.setNumThreads(1)  # tf.data runs several samples at once already

    def load_batch(epochs, indices):
        pairs = [load(e, i) for e, i in zip(epochs, indices, strict=True)]
        images, masks = zip(*pairs, strict=True)
        return np.stack(images), np.stack(masks)

    def prepare(epochs: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, masks = tf.numpy_function(
            load_batch, (epochs, indices), (tf.uint8, tf.uint8)
        )
        images = tf.ensure_shape(images, (None, *image_size, 3))
        masks = tf.ensure_shape(masks, (None, *image_size, 1))
        images = convention.prepare(tf.cast(images, tf.float32))
        return images, tf.cast(masks, tf.float32)

    dataset = index_batches.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    # The functions above cannot be shipped to other workers as files would be.
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)
