"""Training and validation samples drawn from one or several prepared datasets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cli.command import UserError

if TYPE_CHECKING:
    from data.arrays import PreparedSet

# What is set aside for validation by default.
VALIDATION_FRACTION = 0.1
SEED = 42


class Samples:
    """A choice of samples from prepared sets, read from disk when asked for.

    Args:
        sets: prepared sets, all of one image size.
        members: for each sample, which set it is in and its place there; default:
            every sample of every set.

    Raises:
        UserError: when the sets differ in image size or hold nothing.
    """

    def __init__(
        self,
        sets: Sequence[PreparedSet],
        members: Sequence[tuple[int, int]] | None = None,
    ):
        if members is None:
            members = [(s, i) for s, part in enumerate(sets) for i in range(len(part))]
        sizes = {tuple(part.image_size) for part in sets}
        if len(sizes) > 1:
            listed = ", ".join(f"{p.name} {tuple(p.image_size)}" for p in sets)
            raise UserError(f"Prepared datasets differ in image size: {listed}")
        if not len(members):
            raise UserError("The prepared datasets hold no samples")
        self.sets = list(sets)
        self.members = list(members)
        self.image_size = next(iter(sizes))

    def __len__(self) -> int:
        return len(self.members)

    @property
    def names(self) -> list[str]:
        """`dataset/image` for each sample."""
        return [f"{self.sets[s].name}/{self.sets[s].names[i]}" for s, i in self.members]

    @property
    def groups(self) -> list[str]:
        """The video sequence or patient of each sample, told apart by dataset."""
        return [
            f"{self.sets[s].name}/{self.sets[s].groups[i]}" for s, i in self.members
        ]

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Reads samples: uint8 `(n, H, W, 3)` RGB and uint8 `(n, H, W, 1)` 0/1."""
        parts = [self.sets[s].batch([i]) for s, i in (self.members[j] for j in indices)]
        images, masks = zip(*parts, strict=True)
        return np.concatenate(images), np.concatenate(masks)

    def subset(self, indices: Sequence[int]) -> Samples:
        """The samples at these places."""
        return Samples(self.sets, [self.members[i] for i in indices])


def split_validation(
    samples: Samples, fraction: float, seed: int
) -> tuple[Samples, Samples]:
    """Sets part of the training samples aside, whole groups at a time.

    Frames of one video sequence show one polyp, so a sequence never lies on both
    sides.

    Args:
        samples: all training samples.
        fraction: share of the samples to set aside, in (0, 1).
        seed: makes the choice; the same seed makes the same choice.

    Returns:
        Training samples, validation samples; each in its original order.

    Raises:
        UserError: when there are too few groups to have samples on both sides.
    """
    groups = np.array(samples.groups)
    order = np.random.default_rng(seed).permutation(np.unique(groups))
    sizes = {group: int(np.sum(groups == group)) for group in order}
    wanted = max(1, round(fraction * len(samples)))
    chosen, taken = [], 0
    for group in order:
        if taken + sizes[group] <= wanted:
            chosen.append(group)
            taken += sizes[group]
    if not chosen:  # every group is larger than what is wanted
        chosen = [min(order, key=sizes.__getitem__)]
    validation = np.isin(groups, chosen)
    if validation.all():
        raise UserError(
            f"{len(samples)} training samples in {len(order)} groups cannot be split "
            "for validation; give --val_data_path"
        )
    return _divided(samples, validation)


def split_fold(samples: Samples, fold: int, folds: int) -> tuple[Samples, Samples]:
    """Splits samples for cross-validation, whole groups at a time.

    Each group is in the validation part of one fold. The parts are about of one size,
    and the same in each run, whatever its seed.

    Args:
        samples: all training samples.
        fold: which part to validate on, from 1.
        folds: how many there are, at least 2.

    Returns:
        Training samples, validation samples; each in its original order.

    Raises:
        UserError: when there are fewer groups than folds.
    """
    groups = np.array(samples.groups)
    names = np.unique(groups)
    if len(names) < folds:
        raise UserError(
            f"{len(samples)} training samples in {len(names)} groups cannot be split "
            f"into {folds} folds"
        )
    parts = np.zeros(len(groups), int)
    sizes = np.zeros(folds, int)
    for group in np.random.default_rng(SEED).permutation(names):
        part = sizes.argmin()
        parts[groups == group] = part
        sizes[part] += np.sum(groups == group)
    return _divided(samples, parts == fold - 1)


def _divided(samples: Samples, validation: np.ndarray) -> tuple[Samples, Samples]:
    return (
        samples.subset(np.flatnonzero(~validation)),
        samples.subset(np.flatnonzero(validation)),
    )
