"""Published scores for comparison, each under the protocol it was computed by."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Anchor:
    """A published score.

    Attributes:
        model: the model, and what it was trained on.
        protocol: the protocol it was computed by.
        scores: score name → value.
    """

    model: str
    protocol: str
    scores: dict[str, float]


PVTSEG = "PVTSeg (trained on Kvasir-SEG)"
LGPS = "LGPS"
PRANET = "PraNet (Kvasir 900 + ClinicDB 550)"
POLYP_PVT = "Polyp-PVT (Kvasir 900 + ClinicDB 550)"


def _pvtseg(iou, dice, recall=None, precision=None, f2=None, row_hd=None) -> Anchor:
    names = ("iou", "dice", "recall", "precision", "f2", "row_hd")
    values = (iou, dice, recall, precision, f2, row_hd)
    given = {n: v for n, v in zip(names, values, strict=True) if v is not None}
    return Anchor(PVTSEG, "pvtseg", given)


def _pranet(model: str, dice: float, iou: float) -> Anchor:
    return Anchor(model, "pranet", {"mean_dice": dice, "mean_iou": iou})


# Dataset, as letters and digits of its name → what is published for it.
ANCHORS = {
    "kvasir": [
        _pvtseg(0.8748, 0.9292, 0.9214, 0.9580, 0.9178, 3.1666),
        _pranet(PRANET, 0.898, 0.840),
        _pranet(POLYP_PVT, 0.917, 0.864),
    ],
    "clinicdb": [
        _pvtseg(0.7414, 0.8174, 0.8361, 0.8726, 0.8243, 3.6795),
        Anchor(LGPS, "lgps", {"iou": 0.9238}),
        _pranet(PRANET, 0.899, 0.849),
        _pranet(POLYP_PVT, 0.937, 0.889),
    ],
    "colondb": [_pranet(PRANET, 0.709, 0.640), _pranet(POLYP_PVT, 0.808, 0.727)],
    "cvc300": [_pranet(PRANET, 0.871, 0.797), _pranet(POLYP_PVT, 0.900, 0.833)],
    "etis": [_pranet(PRANET, 0.628, 0.567), _pranet(POLYP_PVT, 0.787, 0.706)],
    "polypgenc1": [_pvtseg(0.7560, 0.8292)],
    "polypgenc2": [_pvtseg(0.7086, 0.7669)],
    "polypgenc3": [_pvtseg(0.8090, 0.8772)],
    "polypgenc4": [_pvtseg(0.3756, 0.4353)],
    "polypgenc5": [_pvtseg(0.4868, 0.5731)],
    "polypgenc6": [_pvtseg(0.6977, 0.7630)],
    "polypgen": [Anchor(LGPS, "lgps", {"dice": 0.7299, "iou": 0.7867})],
}


def find_anchors(dataset: str, protocol: str) -> list[Anchor]:
    """Returns what is published for a dataset, by the longest key in its name."""
    plain = re.sub(r"[^a-z0-9]", "", dataset.lower())
    keys = sorted((key for key in ANCHORS if key in plain), key=len)
    found = ANCHORS[keys[-1]] if keys else []
    return [anchor for anchor in found if anchor.protocol == protocol]
