"""Builds what is trained: network, discriminator, heads, optimizers, loss."""

import keras

from cli.command import UserError
from losses import LGPSLoss, PVTSegLoss, StructureDiceLoss, StructureLoss
from models import build_model
from models.batch_normalization import fuse_batch_normalisation
from models.checkpoints import load_checkpoint
from models.discriminator import build_discriminator
from models.lgps import DECODER_BLOCKS, scale_logits
from models.run_folder import RunFolder
from models.shipped import model_path
from training.consistency import TwoViews
from training.deep_supervision import DecoderHeads
from training.gan import LGPSGAN
from training.optimizer import make_optimizer
from training.options import TrainingOptions
from training.recalibrate import batch_normalisations
from training.saved_options import saved_options
from training.trainer import SegmentationTrainer

LOSSES = {
    "lgps": LGPSLoss,
    "pvtseg": PVTSegLoss,
    "structure": StructureLoss,
    "structure_dice": StructureDiceLoss,
}
SUPERVISED_BLOCKS = DECODER_BLOCKS[:3]  # the last one is the network's own output


def build_network(
    options: TrainingOptions, image_size: tuple[int, int], fused: bool = True
) -> keras.Model:
    """Builds the network that a run trains.

    Args:
        options: the run's options.
        image_size: `(H, W)` in pixels at which it is saved.
        fused: batch normalisation by one kernel; the same numbers in less time.

    Raises:
        UserError: for an illegal size or encoder weights that cannot be had.
    """
    own = (
        {"use_se": options.use_se}
        if options.model == "lgps"
        else {"encoder": options.encoder}
    )
    shape = (*image_size, 3)
    try:
        network = build_model(options.model, shape, options.encoder_weights, **own)
    except ValueError as error:
        raise UserError(str(error)) from error
    if options.initial_weights:
        load_initial_weights(network, options)
    if options.bn_momentum:
        for layer in batch_normalisations(network):
            layer.momentum = options.bn_momentum
    if fused:
        fuse_batch_normalisation(network)
    return network


def load_initial_weights(network: keras.Model, options: TrainingOptions) -> None:
    """Gives a network the weights of a checkpoint.

    The logits are divided by the `logit_scale` of the run that saved the checkpoint, so
    that a second run goes on where that one stopped. Without a `config.json` beside the
    checkpoint they stay as they are.

    Args:
        network: as the options ask for.
        options: the run's options.

    Raises:
        UserError: the checkpoint cannot be loaded, or is of another network.
    """
    path = model_path(options.initial_weights)
    checkpoint = load_checkpoint(path, network.input_shape[1:3])
    try:
        network.set_weights(checkpoint.model.get_weights())
    except ValueError as error:
        message = f"--initial_weights {path} is not of the network to be trained"
        raise UserError(message) from error
    run = RunFolder.of_checkpoint(path)
    if options.model == "lgps" and run.config.is_file():
        scale_logits(network, 1 / saved_options(run, {}).logit_scale)


def build_trainer(
    options: TrainingOptions,
    image_size: tuple[int, int],
    steps_per_epoch: int = 1,
    fused: bool = True,
) -> SegmentationTrainer:
    """Builds and compiles what is trained; call inside the strategy's scope.

    Args:
        options: the run's options.
        image_size: `(H, W)` in pixels at which the network is saved.
        steps_per_epoch: for the schedule of the learning rate.
        fused: as in `build_network`.

    Returns:
        The compiled model with all of its variables created.

    Raises:
        UserError: as `build_network`.
    """
    network = build_network(options, image_size, fused)
    heads = None
    if options.model == "lgps" and options.deep_supervision:
        heads = DecoderHeads(network, SUPERVISED_BLOCKS)
    views = None
    if options.consistency:
        views = TwoViews(options.consistency, options.seed)
    optimizers = {"optimizer": make_optimizer(options, steps_per_epoch, averaged=True)}
    if options.uses_discriminator:
        trainer = LGPSGAN(
            network,
            build_discriminator((*image_size, 3), options.crf),
            adversarial_weight=options.adversarial_weight,
            from_logits=options.crf == "meanfield",
            heads=heads,
            binarised_val_loss=options.binarised_val_loss,
            views=views,
        )
        optimizers["discriminator_optimizer"] = make_optimizer(options, steps_per_epoch)
    else:
        trainer = SegmentationTrainer(
            network, heads, options.binarised_val_loss, views, options.teacher_weight
        )
    trainer.compile(loss=LOSSES[options.loss](), **optimizers)
    trainer.build()
    return trainer
