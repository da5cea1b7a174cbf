"""Adam as a run's options ask for it: schedule, decay, clipping, averaged weights."""

from itertools import pairwise

import keras

from training.options import TrainingOptions

NOT_DECAYED = ["bias", "gamma", "beta"]  # names of variables that are no kernels


class AveragingAdam(keras.optimizers.Adam):
    """Adam whose averaged weights are put in place by `AveragedWeights` alone."""

    def finalize_variable_values(self, var_list):
        """Does nothing: the averages are in place by the end of the last epoch."""


def make_optimizer(
    options: TrainingOptions, steps_per_epoch: int, averaged: bool = False
) -> keras.optimizers.Optimizer:
    """Makes the optimizer of a network, or of the discriminator.

    Args:
        options: the run's options.
        steps_per_epoch: of the whole run, for the cosine schedule.
        averaged: whether it keeps the moving average of the weights; the
            discriminator's does not.
    """
    averaged = averaged and options.ema > 0
    optimizer = AveragingAdam(
        learning_rate=learning_rate(options, steps_per_epoch),
        beta_1=options.beta_1,
        weight_decay=options.weight_decay or None,
        clipvalue=options.clipvalue or None,
        global_clipnorm=options.clipnorm or None,
        use_ema=averaged,
        ema_momentum=average_decay(options, steps_per_epoch) if averaged else 0.99,
    )
    if options.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer


def average_decay(options: TrainingOptions, steps_per_epoch: int) -> float:
    """The decay in a step of the averaged weights: `options.ema`, less in a short run.

    The average reaches back over about 1 / (1 - decay) steps. Over more than a third of
    the run, much of it would be the weights that the run began with.

    Args:
        options: the run's options.
        steps_per_epoch: of the whole run.
    """
    steps = options.epochs * steps_per_epoch
    return min(options.ema, max(0.0, 1 - 3 / steps))


def learning_rate(
    options: TrainingOptions, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate, or its schedule: up linearly, down half a cosine, again."""
    highest = options.learning_rate
    if options.schedule == "plateau":  # a callback lowers it
        return highest
    schedule = None
    warmup = options.warmup_epochs
    for start, end in pairwise([0, *options.restart_epochs, options.epochs]):
        cosine = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else highest,
            decay_steps=(end - start - warmup) * steps_per_epoch,
            alpha=options.min_learning_rate / highest,
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
