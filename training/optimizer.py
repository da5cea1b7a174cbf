"""Adam as a run's options ask for it: schedule, slower encoder, averaged weights."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import keras


class EncoderScaledAdam(keras.optimizers.Adam):
    """Adam that moves some variables by a share of the learning rate.

    Args:
        scaled: the variables.
        factor: that share.
        **kwargs: as for `keras.optimizers.Adam`.
    """

    def __init__(
        self, scaled: Sequence[keras.Variable] = (), factor: float = 1.0, **kwargs
    ):
        super().__init__(**kwargs)
        self.scaled = {variable.path for variable in scaled}
        self.factor = factor

    def build(self, variables):
        super().build(variables)
        self.factors = [self.factor if v.path in self.scaled else 1 for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        factor = self.factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, factor * learning_rate)

    def finalize_variable_values(self, var_list):
        """Does nothing: `SwapEMAWeights` has put the averages in place by then."""


def make_optimizer(
    options: dict[str, Any],
    steps_per_epoch: int,
    network: keras.Model | None = None,
) -> keras.optimizers.Optimizer:
    """Makes the optimizer of a network, or of the discriminator.

    Args:
        options: the run's resolved options.
        steps_per_epoch: of the whole run, for the cosine schedule.
        network: the segmentation network; None for the discriminator, which has
            neither an encoder of its own nor averaged weights.
    """
    averaged = network is not None and options["ema"] > 0
    slow = encoder_of(network).trainable_variables if network is not None else ()
    return EncoderScaledAdam(
        slow,
        options["encoder_lr_factor"],
        learning_rate=learning_rate(options, steps_per_epoch),
        beta_1=options["beta_1"],
        clipvalue=options["clipvalue"] or None,
        use_ema=averaged,
        ema_momentum=options["ema"] if averaged else 0.99,
    )


def learning_rate(
    options: dict[str, Any], steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate, or its schedule: up linearly, down half a cosine, again."""
    highest = options["learning_rate"]
    if options["schedule"] == "plateau":  # a callback lowers it
        return highest
    schedule = None
    warmup = options["warmup_epochs"]
    for start, end in pairwise([0, *options["restart_epochs"], options["epochs"]]):
        cosine = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else highest,
            decay_steps=(end - start - warmup) * steps_per_epoch,
            alpha=options["min_learning_rate"] / highest,
            warmup_target=highest if warmup else None,
            warmup_steps=warmup * steps_per_epoch,
        )
        boundary = start * steps_per_epoch
        schedule = OneAfterAnother(schedule, cosine, boundary) if start else cosine
        warmup = 0
    return schedule


class OneAfterAnother(keras.optimizers.schedules.LearningRateSchedule):
    """One schedule of the learning rate, and from a step on another.

    Args:
        first: the one before.
        second: the one from then on, which counts steps from there.
        boundary: the first step of the second.
    """

    def __init__(
        self,
        first: keras.optimizers.schedules.LearningRateSchedule,
        second: keras.optimizers.schedules.LearningRateSchedule,
        boundary: int,
    ):
        self.first, self.second, self.boundary = first, second, boundary

    def __call__(self, step):
        later = self.second(step - self.boundary)
        return keras.ops.where(step < self.boundary, self.first(step), later)


def encoder_of(network: keras.Model) -> keras.Model:
    """The encoder: the one model nested in a segmentation network."""
    return next(layer for layer in network.layers if isinstance(layer, keras.Model))
