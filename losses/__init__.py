"""Segmentation and adversarial losses; each goes down as predictions get better."""

from losses.adversarial import adversarial_loss, discriminator_loss
from losses.distillation import distillation_loss
from losses.lgps import LGPSLoss, lgps_loss
from losses.overlap import (
    dice_loss,
    dice_per_image_loss,
    squared_dice_loss,
    weighted_iou_loss,
)
from losses.pvtseg import PVTSegLoss, pvtseg_loss
from losses.structure import (
    StructureDiceLoss,
    StructureLoss,
    structure_dice_loss,
    structure_loss,
)

__all__ = [
    "LGPSLoss",
    "PVTSegLoss",
    "StructureDiceLoss",
    "StructureLoss",
    "adversarial_loss",
    "dice_loss",
    "dice_per_image_loss",
    "discriminator_loss",
    "distillation_loss",
    "lgps_loss",
    "pvtseg_loss",
    "squared_dice_loss",
    "structure_dice_loss",
    "structure_loss",
    "weighted_iou_loss",
]
