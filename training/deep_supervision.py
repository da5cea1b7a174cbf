"""Outputs of the decoder's stages, which are trained and never saved.

A loss at each stage gives the decoder's first blocks a gradient of their own (deep
supervision, Lee et al., 2015). Each head is a 1×1 convolution and a sigmoid on a
block's output, and learns the mask shrunk by area to the block's resolution.
"""

import keras
import tensorflow as tf

from losses import dice_per_image_loss

HEAD_WEIGHT = 0.25  # of each head's loss, beside 1 for the network's own output
CROSS_ENTROPY_WEIGHT = 2.0


class DecoderHeads(keras.Model):
    """A network together with heads on some of its layers.

    Args:
        network: `(B, H, W, 3)` → `(B, H, W, 1)` probabilities.
        blocks: names of the layers, and the stride of each.

    Call returns:
        The network's own output and, for each head, `(B, H / stride, W / stride, 1)`
        float32 probabilities.
    """

    def __init__(self, network: keras.Model, blocks: tuple[tuple[str, int], ...]):
        super().__init__(name="decoder_heads")
        self.strides = [stride for _, stride in blocks]
        outputs = [network.get_layer(name).output for name, _ in blocks]
        self.features = keras.Model(network.input, [network.output, *outputs])
        self.convolutions = [
            keras.layers.Conv2D(
                1, 1, activation="sigmoid", dtype="float32", name=f"head_{stride}"
            )
            for stride in self.strides
        ]
        for convolution, output in zip(self.convolutions, outputs, strict=True):
            convolution.build(output.shape)
        self.built = True

    @property
    def own_variables(self) -> list[keras.Variable]:
        """The trainable variables of the heads alone."""
        return [v for layer in self.convolutions for v in layer.trainable_variables]

    def call(self, images, training=False):
        predictions, *features = self.features(images, training=training)
        pairs = zip(self.convolutions, features, strict=True)
        return [predictions, *(head(feature) for head, feature in pairs)]

    def loss_of(self, masks: tf.Tensor, maps: list[tf.Tensor]) -> tf.Tensor:
        """The heads' loss.

        Formula:
            `0.25 · Σ over heads (2 · BCE + dice_per_image_loss)`

        Args:
            masks: `(B, H, W, 1)` 0/1.
            maps: the heads' outputs.

        Returns:
            Scalar.
        """
        total = 0.0
        for stride, probability in zip(self.strides, maps, strict=True):
            truth = keras.ops.average_pool(masks, stride, stride)
            cross_entropy = keras.ops.mean(
                keras.ops.binary_crossentropy(truth, probability)
            )
            total += CROSS_ENTROPY_WEIGHT * cross_entropy
            total += dice_per_image_loss(truth, probability)
        return HEAD_WEIGHT * total
