"""The LGPS GAN: a generator that segments, a discriminator that judges its masks."""

import keras
import tensorflow as tf

from losses import adversarial_loss, discriminator_loss
from training.consistency import TwoViews
from training.deep_supervision import DecoderHeads
from training.trainer import SegmentationTrainer, accept_any_size, share_of_replica


class LGPSGAN(SegmentationTrainer):
    """Trains generator and discriminator together.

    Each step takes both networks' gradients before either is updated, as published.
    At `adversarial_weight` 0, the published setting, the discriminator learns but
    never moves the generator.

    Args:
        generator: the segmentation network.
        discriminator: `[images, masks]` → `(B, h, w, 1)`, of `build_discriminator`.
        adversarial_weight: of the adversarial term in the generator's loss.
        from_logits: whether the discriminator gives logits (mean-field ConvCRF).
        heads, binarised_val_loss, views: as in `SegmentationTrainer`.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        adversarial_weight: float = 0.0,
        from_logits: bool = False,
        heads: DecoderHeads | None = None,
        binarised_val_loss: bool = False,
        views: TwoViews | None = None,
        **kwargs,
    ):
        super().__init__(generator, heads, binarised_val_loss, views, **kwargs)
        self.discriminator = discriminator
        accept_any_size(discriminator)
        self.adversarial_weight = adversarial_weight
        self.from_logits = from_logits
        self.discriminator_metric = keras.metrics.Mean(name="d_loss")

    def compile(
        self,
        optimizer: keras.optimizers.Optimizer,
        loss: keras.losses.Loss,
        discriminator_optimizer: keras.optimizers.Optimizer,
    ):
        """Sets the generator's optimizer and loss, and the discriminator's optimizer.

        Keras wraps only `optimizer` for float16; the other is wrapped here.
        """
        super().compile(optimizer, loss)
        if keras.config.dtype_policy().name == "mixed_float16":
            discriminator_optimizer = keras.optimizers.LossScaleOptimizer(
                discriminator_optimizer
            )
        self.discriminator_optimizer = discriminator_optimizer

    def build(self, input_shape=None):
        super().build(input_shape)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, self.discriminator_metric]

    def train_step(self, data):
        images, masks = self._seen(*data)
        with tf.GradientTape() as generator_tape, tf.GradientTape() as judge_tape:
            predictions, loss = self._forward(images, masks)
            real = self.discriminator([images, masks], training=True)
            fake = self.discriminator([images, predictions], training=True)
            if self.adversarial_weight:
                loss += self.adversarial_weight * adversarial_loss(
                    fake, self.from_logits
                )
            judge_loss = discriminator_loss(real, fake, self.from_logits)
            scaled = self.optimizer.scale_loss(share_of_replica(loss))
            judge_scaled = self.discriminator_optimizer.scale_loss(
                share_of_replica(judge_loss)
            )
        generator_variables = self.trained_variables
        judge_variables = self.discriminator.trainable_variables
        generator_gradients = generator_tape.gradient(scaled, generator_variables)
        judge_gradients = judge_tape.gradient(judge_scaled, judge_variables)
        self.optimizer.apply(generator_gradients, generator_variables)
        self.discriminator_optimizer.apply(judge_gradients, judge_variables)
        self.discriminator_metric.update_state(judge_loss)
        self._update_metrics(masks, predictions, loss)
        return self._results(self.discriminator_metric)
