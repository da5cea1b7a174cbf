"""A segmentation network together with what training it takes."""

import keras
import tensorflow as tf
from keras import ops

from losses import distillation_loss
from training.consistency import TwoViews
from training.deep_supervision import DecoderHeads
from training.metrics import segmentation_metrics

MULTI_WORKER = tf.distribute.MultiWorkerMirroredStrategy


class SegmentationTrainer(keras.Model):
    """A segmentation network trained by its own loss, on images of any size.

    Args:
        network: `(B, H, W, 3)` → `(B, H, W, 1)` probabilities.
        heads: outputs of the decoder's stages, trained beside the network's own.
        binarised_val_loss: take the validation loss of predictions cut at 0.5, as
            the published LGPS code does, instead of the probabilities.
        views: trains on two views of each image; None: on the image alone.
        teacher_weight: of the loss that the maps of teachers add, which are the second
            channel of the training masks where there are any.
    """

    def __init__(
        self,
        network: keras.Model,
        heads: DecoderHeads | None = None,
        binarised_val_loss: bool = False,
        views: TwoViews | None = None,
        teacher_weight: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.teacher_weight = teacher_weight
        self.network = network
        self.heads = heads
        self.views = views
        self.binarised_val_loss = binarised_val_loss
        self.loss_metric = keras.metrics.Mean(name="loss")
        self.scores = segmentation_metrics()
        accept_any_size(heads.features if heads else network)
        accept_any_size(network)

    def compile(self, optimizer: keras.optimizers.Optimizer, loss: keras.losses.Loss):
        """Sets the optimizer (which learning rate callbacks adjust) and the loss.

        XLA stays off: on CPU it makes the depthwise convolutions 5–10 times slower.
        """
        super().compile(optimizer=optimizer, loss=loss, jit_compile=False)

    @property
    def trained_variables(self) -> list[keras.Variable]:
        """What the optimizer moves: the network's variables, then the heads'."""
        heads = self.heads.own_variables if self.heads else []
        return [*self.network.trainable_variables, *heads]

    def build(self, input_shape=None):
        """Creates the optimizer's variables, so that a saved state can be restored."""
        self.optimizer.build(self.trained_variables)
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [self.loss_metric, *self.scores]

    def call(self, images, training=False):
        return self.network(images, training=training)

    def train_step(self, data):
        images, masks = self._seen(*data)
        with tf.GradientTape() as tape:
            predictions, loss = self._forward(images, masks)
            scaled = self.optimizer.scale_loss(share_of_replica(loss))
        variables = self.trained_variables
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        self._update_metrics(masks[..., :1], predictions, loss)
        return self._results()

    def test_step(self, data):
        images, masks = data
        predictions = self.network(images, training=False)
        for_loss = predictions
        if self.binarised_val_loss:
            for_loss = ops.cast(predictions > 0.5, "float32")
        self._update_metrics(masks, predictions, self.loss(masks, for_loss))
        return self._results()

    def make_train_function(self, force=False):
        """Traces the training step once for each size of image that comes.

        Keras's own function is traced for a size left open as soon as a second size
        comes, in which bilinear upsampling is slow or impossible.
        """
        strategy = self.distribute_strategy
        if isinstance(strategy, MULTI_WORKER):  # trained at one size only
            super().make_train_function(force)
        if self.train_function is not None and not force:
            return
        steps = {}

        def one_step(images, masks):
            results = strategy.run(self.train_step, ((images, masks),))
            return {
                name: strategy.reduce("MEAN", value, axis=None)
                for name, value in results.items()
            }

        def train_function(iterator):
            batch = next(iterator)
            parts = [strategy.experimental_local_results(part)[0] for part in batch]
            size = tuple(parts[0].shape[1:3])
            if size not in steps:
                # An epoch's last batch is smaller, except on several devices.
                several = strategy.num_replicas_in_sync > 1
                signature = None if several else [_any_batch(part) for part in parts]
                steps[size] = tf.function(one_step, input_signature=signature)
            return steps[size](*batch)

        self.train_function = train_function

    def _seen(self, images, masks) -> tuple[tf.Tensor, tf.Tensor]:
        """What a step trains on: the batch, and the second view of its images."""
        if self.views is None:
            return images, masks
        return self.views.add_second(images, masks, self.optimizer.iterations)

    def _forward(self, images, masks) -> tuple[tf.Tensor, tf.Tensor]:
        """Predictions in training mode, and all of their loss."""
        masks, teacher = masks[..., :1], masks[..., 1:]
        if self.heads is None:
            predictions = self.network(images, training=True)
            loss = self.loss(masks, predictions)
        else:
            predictions, *maps = self.heads(images, training=True)
            loss = self.loss(masks, predictions) + self.heads.loss_of(masks, maps)
        if self.views is not None:
            loss += self.views.loss(predictions, self.optimizer.iterations)
        if teacher.shape[-1]:
            loss += self.teacher_weight * distillation_loss(teacher, predictions)
        return predictions, loss

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


def _any_batch(part: tf.Tensor) -> tf.TensorSpec:
    return tf.TensorSpec((None, *part.shape[1:]), part.dtype)


def accept_any_size(network: keras.Model) -> None:
    """Lets a network be called with images of other sizes than it was built for.

    Its layers do not depend on the size; Keras's check of the inputs is what does.
    """
    network.input_spec = [
        keras.InputSpec(shape=(None, None, None, one.shape[-1]))
        for one in network.inputs
    ]
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            accept_any_size(layer)


def share_of_replica(loss: tf.Tensor) -> tf.Tensor:
    """One replica's part of the loss: gradients are summed over the replicas."""
    return loss / tf.distribute.get_strategy().num_replicas_in_sync
