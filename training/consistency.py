"""Trains on two views of each image, whose maps should be the same.

The second view is the image mirrored or turned, in other colours. A map that changes
with them is wrong in one of the two, also where the mask leaves open which, such as on
images of another hospital (consistency training: Sajjadi et al., 2016).
"""

import keras
import tensorflow as tf

from losses import squared_dice_loss

CHANNEL_GAIN = 0.15  # largest change of each colour channel's factor around 1
GAIN = 0.2  # of all channels together
SHIFT = 0.15  # of all channels together, of the range -1 to 1
TURNS = 7  # the square's mirrors and turns but the identity: three bits, not all 0
MIRRORS = 3  # those that need no square


class TwoViews:
    """Makes the second view of a batch and compares the two maps.

    What is drawn is a function of seed and step, so that a resumed run sees what an
    uninterrupted one would.

    Args:
        weight: of the comparison in the loss.
        seed: of the run.
    """

    def __init__(self, weight: float, seed: int):
        self.weight = weight
        self.seed = seed

    def add_second(
        self, images: tf.Tensor, masks: tf.Tensor, step: tf.Tensor | keras.Variable
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Appends the second views to a batch.

        Args:
            images: `(B, H, W, 3)` in [-1, 1].
            masks: `(B, H, W, 1)`.
            step: the number of the training step.

        Returns:
            `(2 B, H, W, 3)` images and `(2 B, H, W, 1)` masks, the first views first.
        """
        turn = self._turn(images, step)
        second = move(recolour(images, self._seeds(step)), turn)
        truth = move(masks, turn)
        return tf.concat([images, second], axis=0), tf.concat([masks, truth], axis=0)

    def loss(self, maps: tf.Tensor, step: tf.Tensor | keras.Variable) -> tf.Tensor:
        """How much the maps of the two views differ, weighted.

        Formula:
            `weight · mean over images of 1 - (2·Σab + 1) / (Σa² + Σb² + 1)`, where a is
            the first view's map, moved as the second view is, and b the second's

        Args:
            maps: `(2 B, H, W, 1)` probabilities of the views of `add_second`.
            step: as given there.

        Returns:
            Scalar.
        """
        first, second = tf.split(tf.cast(maps, tf.float32), 2)
        first = move(first, self._turn(first, step))
        return self.weight * squared_dice_loss(first, second)

    def _turn(self, images: tf.Tensor, step: tf.Tensor | keras.Variable) -> tf.Tensor:
        """One of 1 to 7 for the whole batch; 1 to 3, the mirrors, if not square."""
        last = TURNS if _is_square(images) else MIRRORS
        return tf.random.stateless_uniform(
            (), self._seeds(step), 1, last + 1, dtype=tf.int32
        )

    def _seeds(self, step: tf.Tensor | keras.Variable) -> tf.Tensor:
        step = tf.cast(keras.ops.convert_to_tensor(step), tf.int64)
        return tf.stack([tf.constant(self.seed, tf.int64), step])


def move(images: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Mirrors and transposes a batch.

    Args:
        images: `(B, H, W, C)`.
        turn: 1 to 7: the sum of 1 (mirrored left-right), 2 (upside down) and 4
            (transposed after that, square images alone).
    """
    return _transpose(_mirror(images, turn), turn)


def recolour(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Changes each image's white balance, contrast and brightness at random.

    Args:
        images: `(B, H, W, 3)` in [-1, 1].
        seed: `(2,)` integers.

    Returns:
        The same shape, in [-1, 1].
    """
    count = tf.shape(images)[0]
    draws = tf.random.stateless_uniform((count, 1, 1, 5), seed, -1.0, 1.0)
    gain = (1 + CHANNEL_GAIN * draws[..., :3]) * (1 + GAIN * draws[..., 3:4])
    shift = SHIFT * draws[..., 4:]
    return tf.clip_by_value((images + 1) * gain + shift - 1, -1.0, 1.0)


def _mirror(images, turn):
    for axis, bit in ((2, 1), (1, 2)):
        images = tf.where(turn & bit > 0, tf.reverse(images, [axis]), images)
    return images


def _transpose(images, turn):
    if not _is_square(images):
        return images
    return tf.where(turn & 4 > 0, tf.transpose(images, (0, 2, 1, 3)), images)


def _is_square(images) -> bool:
    return images.shape[1] == images.shape[2]
