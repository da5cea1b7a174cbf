"""A segmentation network together with what training it takes."""

import keras
import tensorflow as tf
from keras import ops

from training.metrics import segmentation_metrics

MULTI_WORKER = tf.distribute.MultiWorkerMirroredStrategy


class Segmenter(keras.Model):
    """A segmentation network trained by its own loss.

    Args:
        network: `(B, H, W, 3)` → `(B, H, W, 1)` probabilities.
        binarised_val_loss: take the validation loss of predictions cut at 0.5, as
            the published LGPS code does, instead of the probabilities.
    """

    def __init__(
        self, network: keras.Model, binarised_val_loss: bool = False, **kwargs
    ):
        super().__init__(**kwargs)
        self.network = network
        self.binarised_val_loss = binarised_val_loss
        self.loss_metric = keras.metrics.Mean(name="loss")
        self.scores = segmentation_metrics()

    def compile(self, optimizer: keras.optimizers.Optimizer, loss: keras.losses.Loss):
        """Sets the optimizer (which learning rate callbacks adjust) and the loss.

        XLA stays off: on CPU it makes the depthwise convolutions 5–10 times slower.
        """
        super().compile(optimizer=optimizer, loss=loss, jit_compile=False)

    def build(self, input_shape=None):
        """Creates the optimizer's variables, so that a saved state can be restored."""
        self.optimizer.build(self.network.trainable_variables)
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [self.loss_metric, *self.scores]

    def call(self, images, training=False):
        return self.network(images, training=training)

    def train_step(self, data):
        images, masks = data
        with tf.GradientTape() as tape:
            predictions = self.network(images, training=True)
            loss = self.loss(masks, predictions)
            scaled = self.optimizer.scale_loss(share_of_replica(loss))
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        self._update_metrics(masks, predictions, loss)
        return self._results()

    def test_step(self, data):
        images, masks = data
        predictions = self.network(images, training=False)
        for_loss = predictions
        if self.binarised_val_loss:
            for_loss = ops.cast(predictions > 0.5, "float32")
        self._update_metrics(masks, predictions, self.loss(masks, for_loss))
        return self._results()

    def _update_metrics(self, masks, predictions, loss) -> None:
        self.loss_metric.update_state(loss, sample_weight=ops.shape(masks)[0])
        for score in self.scores:
            score.update_state(masks, predictions)

    def _results(self, *extra: keras.metrics.Metric) -> dict:
        metrics = (self.loss_metric, *self.scores, *extra)
        results = {metric.name: metric.result() for metric in metrics}
        if isinstance(tf.distribute.get_strategy(), MULTI_WORKER):
            # Results are gathered from the workers along an axis: each needs one.
            return {name: ops.reshape(value, (1,)) for name, value in results.items()}
        return results

    def _maybe_symbolic_build(self, *args, **kwargs):
        """Does nothing: everything is built beforehand, inside the strategy's scope."""


def share_of_replica(loss: tf.Tensor) -> tf.Tensor:
    """One replica's part of the loss: gradients are summed over the replicas."""
    return loss / tf.distribute.get_strategy().num_replicas_in_sync
