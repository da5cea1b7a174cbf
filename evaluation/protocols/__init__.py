"""The scoring protocols by name.

Each protocol is in a module of this package. These import OpenCV and SciPy, so they
are imported only when protocols are built: `--help` needs no more than the names.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluation.protocols.base import Protocol

PROTOCOL_NAMES = (
    "lgps",
    "lgps-verbatim",
    "pvtseg",
    "pvtseg-verbatim",
    "pranet",
    "medico",
)


def build_protocols(
    names: Iterable[str], threshold: float | None = None, label: str | None = None
) -> list["Protocol"]:
    """Builds the named protocols.

    Args:
        names: any of `PROTOCOL_NAMES`.
        threshold: a second threshold to score at, in (0, 1). Each protocol that takes
            a threshold is built for it too, with a name such as `pvtseg@0.37`.
        label: stands for the threshold in these names.
    """
    from evaluation.protocols.lgps import lgps, lgps_verbatim
    from evaluation.protocols.medico import medico
    from evaluation.protocols.pranet import pranet
    from evaluation.protocols.pvtseg import pvtseg, pvtseg_verbatim

    builders = (lgps, lgps_verbatim, pvtseg, pvtseg_verbatim, pranet, medico)
    by_name = {protocol.name: protocol for protocol in (make() for make in builders)}
    protocols = [by_name[name] for name in names]
    if threshold is None:
        return protocols
    return protocols + [
        replace(
            protocol.at_threshold(threshold),
            name=f"{protocol.name}@{label or format(threshold, '.4g')}",
        )
        for protocol in protocols
        if protocol.at_threshold
    ]
