"""The options of a training run: one typed field each, with its help and its limits.

`train.py` builds its command line from these fields, a run's `config.json` is
`asdict` of them, and recipes (`training/recipes.py`) are `dataclasses.replace` of the
published ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from itertools import accumulate, pairwise
from typing import Any

from cli.command import UserError
from cli.ranges import (
    AT_LEAST_ONE,
    IMAGE_SIDE,
    NOT_NEGATIVE,
    PROBABILITY,
    SHARE,
    Range,
)
from data.augment import AUGMENTATIONS
from data.samples import SEED, VALIDATION_FRACTION

Size = tuple[int, int]


@dataclass(frozen=True)
class Stage:
    """Epochs of a run that draw their images in one way.

    Attributes:
        epochs: how many.
        sizes: the sides in pixels, each with its share of the batches.
        augmentation: name in `AUGMENTATIONS`; None: the run's.
        average_at_end: at its end the averaged weights (`ema`) take the place of the
            others, which the next stage would go on with otherwise.
    """

    epochs: int
    sizes: tuple[tuple[int, float], ...]
    augmentation: str | None = None
    average_at_end: bool = False

    @classmethod
    def parse(cls, text: str) -> Stage:
        """Reads `SIZES:EPOCHS[:AUGMENTATION][:average]`.

        SIZES is a side in pixels, or several with their shares.

        Raises:
            argparse.ArgumentTypeError: the text is not of this form.

        Example:
            >>> Stage.parse("192=30,256=70:50:strong:average")
            Stage(50, ((192, 30.0), (256, 70.0)), "strong", True)
        """
        try:
            sizes, *rest = text.split(":")
            if not rest:
                raise ValueError("no EPOCHS")
            epochs, *rest = rest
            parts = [part.partition("=") for part in sizes.split(",")]
            drawn = tuple((int(side), float(share or 1)) for side, _, share in parts)
            average = rest[-1:] == ["average"]
            names = rest[:-1] if average else rest
            if len(names) > 1:
                raise ValueError("several augmentations")
            stage = cls(int(epochs), drawn, *(names or [None]), average)
            stage.check()
        except ValueError as error:
            raise argparse.ArgumentTypeError(
                f"{text} is not SIZES:EPOCHS[:AUGMENTATION][:average], such as "
                f"192=30,256=70:50:strong ({error})"
            ) from None
        return stage

    @property
    def image_sizes(self) -> dict[Size, float]:
        """`(H, W)` in pixels → its share of the batches."""
        return {(side, side): share for side, share in self.sizes}

    def check(self) -> None:
        """Raises `ValueError` for values that no stage can have."""
        if self.epochs not in AT_LEAST_ONE:
            raise ValueError(f"epochs must be {AT_LEAST_ONE}, received {self.epochs}")
        if len(self.image_sizes) != len(self.sizes) or not self.sizes:
            raise ValueError("each size must stand there once")
        for side, share in self.sizes:
            if side not in IMAGE_SIDE:
                raise ValueError(f"a size must be {IMAGE_SIDE}, received {side}")
            if share not in Range(above=0):
                raise ValueError(f"a share must be above 0, received {share}")
        if self.augmentation not in (None, *AUGMENTATIONS):
            raise ValueError(f"no augmentation {self.augmentation!r}")

    def __str__(self) -> str:
        sizes = [f"{side}={share:g}" for side, share in self.sizes]
        parts = [str(self.sizes[0][0]) if len(sizes) == 1 else ",".join(sizes)]
        parts += [str(self.epochs), *filter(None, [self.augmentation])]
        return ":".join([*parts, "average"] if self.average_at_end else parts)


def option(
    default: Any,
    help: str,
    kind: Callable | None = None,
    *,
    group: str = "recipe",
    allowed: Range | None = None,
    choices: tuple[str, ...] | None = None,
    many: str | None = None,
    metavar: str | None = None,
    model: str | None = None,
) -> Any:
    """A field of `TrainingOptions`.

    Args:
        default: LGPS's published value.
        help: what it is, with its unit.
        kind: int, float, str or another function of the flag's text; None: a switch.
        group: under which heading `--help` shows it.
        allowed: the numbers it may be.
        choices: the words it may be.
        many: argparse's `nargs` of a list, `"+"` or `"*"`.
        metavar: how `--help` shows its value.
        model: the only model that it is for.
    """
    return field(
        default=default,
        metadata={
            "help": help,
            "kind": kind,
            "group": model or group,
            "allowed": allowed,
            "choices": choices,
            "many": many,
            "metavar": metavar,
            "model": model,
        },
    )


def parse_fold(text: str) -> str:
    """An argparse type: part `K/N` of N, with K from 1 to N."""
    try:
        fold, folds = map(int, text.split("/"))
    except ValueError:
        fold = folds = 0
    if not (1 <= fold <= folds and folds >= 2):
        raise argparse.ArgumentTypeError(f"{text} is not K/N, such as 1/5 to 5/5")
    return f"{fold}/{folds}"


@dataclass(frozen=True)
class TrainingOptions:
    """Everything that decides what a run does; the defaults are LGPS's published ones.

    Raises:
        UserError: for values out of their range, or that contradict each other.
    """

    # What is trained, and on what.
    model: str = option(
        "lgps", "the network", str, group="run", choices=("lgps", "pvtseg")
    )
    recipe: str = option(
        "published",
        "best, then finetune (LGPS): what made the shipped weights; finetune goes on "
        "from them",
        str,
        group="run",
        choices=("published", "best", "finetune"),
    )
    demo: bool = option(False, "train on drawn frames, quick settings", group="run")
    data_path: tuple[str, ...] = option(
        (), "prepared datasets", str, group="data", many="+", metavar="PATH"
    )
    val_data_path: tuple[str, ...] = option(
        (),
        "validate on the test arrays of these prepared datasets, as published; "
        "without it, on part of the training images, whole video sequences at a time",
        str,
        group="data",
        many="+",
        metavar="PATH",
    )
    val_fraction: float = option(
        VALIDATION_FRACTION,
        "share of the training images that is set aside for validation",
        float,
        group="data",
        allowed=PROBABILITY,
    )
    train_on_validation: bool = option(
        False,
        "train on the images set aside too, for a last run after all is chosen",
        group="data",
    )
    threshold_from: str | None = option(
        None,
        "with --train_on_validation: the folder of an earlier run of this recipe that "
        "kept them apart; the threshold chosen there is saved for this one",
        str,
        group="data",
        metavar="RUN",
    )
    fold: str | None = option(
        None,
        "cross-validation: instead of --val_fraction, validate on part K of N of the "
        "training images, whole video sequences at a time, such as 1/5 to 5/5",
        parse_fold,
        group="data",
        metavar="K/N",
    )
    teacher: str | None = option(
        None,
        "maps of the training images by teachers that have not seen them "
        "(tools/teach.py), which are learned beside the masks",
        str,
        group="data",
        metavar="MAPS.npz",
    )
    image_size: int | None = option(
        None,
        "side in pixels at which the network is validated, saved and, without "
        "--stages, trained; without it, as prepared or the last stage's",
        int,
        group="data",
        allowed=IMAGE_SIDE,
    )
    shuffle: bool = option(True, "keep the order of the arrays", group="data")
    encoder_weights: str | None = option(
        None, "imagenet (LGPS), a weights file or none", str, group="run"
    )
    initial_weights: str | None = option(
        None,
        "a checkpoint whose weights all layers begin with; lgps: the shipped one",
        str,
        group="run",
        metavar="MODEL",
    )
    precision: str = option(
        "auto",
        "auto: mixed_float16 on GPUs built for it",
        str,
        group="run",
        choices=("auto", "float32", "mixed_float16", "mixed_bfloat16"),
    )
    strategy: str = option(
        "auto",
        "how several devices share the work; auto: all GPUs, and several machines "
        "with TF_CONFIG",
        str,
        group="run",
        choices=("auto", "none", "mirrored", "multiworker"),
    )

    # The recipe.
    epochs: int = option(
        200, "number of passes over the training images", int, allowed=AT_LEAST_ONE
    )
    stages: tuple[Stage, ...] = option(
        (),
        "instead of --epochs: parts of the run, each with the sizes in pixels (and "
        "their shares) that its batches are drawn from, its epochs, its augmentation, "
        "and whether the averaged weights replace the others at its end; such as "
        "192=30,256=70:50:strong 256:10:mild",
        Stage.parse,
        many="+",
        metavar="SIZES:EPOCHS[:AUGMENTATION][:average]",
    )
    batch_size: int = option(
        16, "images in a step, on all devices together", int, allowed=AT_LEAST_ONE
    )
    learning_rate: float = option(
        3e-4, "highest learning rate (Adam)", float, allowed=Range(above=0)
    )
    beta_1: float = option(0.5, "decay of Adam's mean gradient", float, allowed=SHARE)
    weight_decay: float = option(
        0.0,
        "decay of the kernels (AdamW); 0: none",
        float,
        allowed=NOT_NEGATIVE,
    )
    clipvalue: float = option(
        1.0, "limit of each gradient component; 0: none", float, allowed=NOT_NEGATIVE
    )
    clipnorm: float = option(
        0.0, "limit of the gradient's norm; 0: none", float, allowed=NOT_NEGATIVE
    )
    schedule: str = option(
        "plateau",
        "how the learning rate falls",
        str,
        choices=("plateau", "cosine"),
    )
    plateau_factor: float = option(
        0.5,
        "plateau: the learning rate is multiplied by this",
        float,
        allowed=PROBABILITY,
    )
    plateau_patience: int = option(
        3,
        "plateau: after so many epochs without a lower val_loss",
        int,
        allowed=NOT_NEGATIVE,
    )
    warmup_epochs: int = option(
        0, "cosine: epochs in which the rate first rises", int, allowed=NOT_NEGATIVE
    )
    restart_epochs: tuple[int, ...] = option(
        (),
        "cosine: epochs after which the rate starts from the top again (SGDR)",
        int,
        allowed=NOT_NEGATIVE,
        many="*",
        metavar="EPOCH",
    )
    min_learning_rate: float = option(
        1e-6, "lowest learning rate", float, allowed=NOT_NEGATIVE
    )
    ema: float = option(
        0.0,
        "decay in a step of the moving average of the weights, which is validated and "
        "saved in their place; 0: no average",
        float,
        allowed=SHARE,
    )
    loss: str = option(
        "lgps",
        "the loss; structure: PraNet's; structure_dice: that and Dice of each image",
        str,
        choices=("lgps", "pvtseg", "structure", "structure_dice"),
    )
    teacher_weight: float = option(
        3.0,
        "weight in the loss of how far the maps are from those of --teacher",
        float,
        allowed=NOT_NEGATIVE,
    )
    monitor: str = option(
        "val_loss",
        "the value that chooses best.h5; last: the last epoch",
        str,
        choices=("val_loss", "val_dice", "val_iou", "last"),
    )
    early_stop_patience: int = option(
        0,
        "stop after so many epochs without a better one; 0: never",
        int,
        allowed=NOT_NEGATIVE,
    )
    augmentation: str = option(
        "lgps",
        "how training images are changed at random",
        str,
        choices=tuple(AUGMENTATIONS),
    )
    bn_momentum: float = option(
        0.0,
        "momentum of batch normalisation; 0: as the layers have it",
        float,
        allowed=SHARE,
    )
    bn_recalibrate: int = option(
        256,
        "training images over which the statistics of batch normalisation are "
        "computed anew before each validation; 0: keep the moving averages",
        int,
        allowed=NOT_NEGATIVE,
    )
    binarised_val_loss: bool = option(
        False, "validation loss of predictions cut at 0.5, as published"
    )
    seed: int = option(
        SEED,
        "decides order, augmentation, validation images and initial weights",
        int,
        allowed=Range(at_least=0, below=2**32),
    )

    # One model's only.
    consistency: float = option(
        0.0,
        "train on two views of each image, and add the difference of their maps to the "
        "loss with this weight (twice the work in a step); 0: one view",
        float,
        allowed=NOT_NEGATIVE,
        model="lgps",
    )
    logit_scale: float = option(
        1.0,
        "the logits of the saved network are multiplied by this: above 1, its maps are "
        "sharper, and its masks at the threshold 0.5 the same",
        float,
        allowed=Range(above=0),
        model="lgps",
    )
    use_se: bool = option(
        True, "build the network without squeeze-and-excitation", model="lgps"
    )
    deep_supervision: bool = option(
        False,
        "train the blocks of the decoder by outputs of their own, which are not saved",
        model="lgps",
    )
    use_discriminator: bool = option(
        True,
        "train without the discriminator, which has no effect on the network at "
        "--adversarial_weight 0",
        model="lgps",
    )
    adversarial_weight: float = option(
        0.0,
        "weight of the discriminator's term in the loss",
        float,
        allowed=NOT_NEGATIVE,
        model="lgps",
    )
    crf: str = option(
        "published",
        "kind of CRF in the discriminator",
        str,
        choices=("published", "meanfield"),
        model="lgps",
    )
    encoder: str = option(
        "pvt_v2_b3",
        "the PVTv2 encoder",
        str,
        choices=tuple(f"pvt_v2_b{size}" for size in range(6)),
        model="pvtseg",
    )

    def __post_init__(self):
        for one in fields(self):
            _check_value(one, getattr(self, one.name))
        for wrong, message in self._contradictions():
            if wrong:
                raise UserError(message)

    def _contradictions(self) -> list[tuple[bool, str]]:
        bounds = [self.warmup_epochs, *self.restart_epochs, self.epochs]
        named = ["--warmup_epochs"] + ["--restart_epochs"] * bool(self.restart_epochs)
        return [
            (
                bool(self.stages) and self.epochs != sum(s.epochs for s in self.stages),
                f"--epochs {self.epochs} is not the sum of the --stages",
            ),
            (
                bool(self.stages) and self.early_stop_patience > 0,
                "--stages are of fixed length: no --early_stop_patience",
            ),
            (
                self.early_stop_patience > 0 and self.monitor == "last",
                "--early_stop_patience needs a --monitor other than last",
            ),
            (
                self.train_on_validation and bool(self.val_data_path),
                "--train_on_validation is not for sets of --val_data_path",
            ),
            (
                bool(self.fold) and bool(self.val_data_path),
                "--fold is not for sets of --val_data_path",
            ),
            (
                bool(self.threshold_from) and not self.train_on_validation,
                "--threshold_from is for a run with --train_on_validation",
            ),
            (
                bool(self.teacher) and self.uses_discriminator,
                "--teacher is for training with --no_discriminator",
            ),
            (
                bool(self.encoder_weights and self.initial_weights),
                "--initial_weights has an encoder's weights too: no --encoder_weights",
            ),
            (
                self.clipvalue > 0 and self.clipnorm > 0,
                "--clipnorm takes the place of --clipvalue; give --clipvalue 0 too",
            ),
            (
                self.ema == 0 and any(s.average_at_end for s in self.stages),
                "a stage with :average needs --ema",
            ),
            (
                self.schedule == "cosine" and any(a >= b for a, b in pairwise(bounds)),
                f"{' and '.join(named)} ({', '.join(map(str, bounds[:-1]))}) must "
                f"ascend and be below the run's {self.epochs} epochs",
            ),
            (
                self.schedule == "cosine"
                and self.min_learning_rate > self.learning_rate,
                f"--min_learning_rate {self.min_learning_rate:g}, at which the cosine "
                f"ends, is above --learning_rate {self.learning_rate:g}",
            ),
        ]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrainingOptions:
        """Makes options of what `json` read of their `asdict`."""
        values = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content.items()
        }
        values["stages"] = tuple(
            Stage(**{**stage, "sizes": tuple(map(tuple, stage["sizes"]))})
            for stage in content.get("stages", ())
        )
        return cls(**values)

    @property
    def uses_discriminator(self) -> bool:
        """Whether there is one at all."""
        return self.model == "lgps" and self.use_discriminator

    @property
    def is_laid_out(self) -> bool:
        """Whether the run's length decides what its first epochs do."""
        return bool(self.stages) or self.schedule == "cosine" or self.ema > 0

    def planned_stages(self, prepared_size: Size) -> list[tuple[Stage, int, int]]:
        """The stages in order, each with its first epoch and the one after its last.

        Args:
            prepared_size: `(H, W)` of the prepared datasets, pixels. A run without
                `stages` has one, of these sizes or of `image_size`.
        """
        side = self.image_size or prepared_size[0]
        stages = self.stages or (Stage(self.epochs, ((side, 1.0),)),)
        ends = list(accumulate(stage.epochs for stage in stages))
        return list(zip(stages, [0, *ends], ends, strict=False))

    def final_size(self, prepared_size: Size) -> Size:
        """`(H, W)` in pixels at which the network is validated and saved."""
        if self.image_size:
            return self.image_size, self.image_size
        if self.stages:
            side, _ = max(self.stages[-1].sizes, key=lambda size: size[1])
            return side, side
        return prepared_size

    def describe(self) -> str:
        """The options that this model has, as `name=value`, several to a line."""
        words = []
        for one in fields(self):
            value = getattr(self, one.name)
            if value not in (None, ()) and one.metadata["model"] in (None, self.model):
                if isinstance(value, tuple):
                    value = ",".join(map(str, value))
                words.append(f"{one.name}={value}")
        lines, line = [], ""
        for word in words:
            if len(line) + len(word) > 86:
                lines.append(line)
                line = ""
            line += f"  {word}"
        return "\n".join([*lines, line])


# Of a saved value, by what reads its flag; a switch has nothing that does.
TYPES = {int: int, float: int | float, str: str, parse_fold: str, None: bool}


def flag_of(name: str, default: Any = None) -> str:
    """The flag of a field: `--no_X` where the field is a switch that is on."""
    return f"--no_{name.removeprefix('use_')}" if default is True else f"--{name}"


def _check_value(of: Field, value: Any) -> None:
    """Raises `UserError` for a value that a field cannot have."""
    name, about = of.name, of.metadata
    if about["many"] and not isinstance(value, tuple):
        raise UserError(f"--{name} must be a list, received {value!r}")
    types = TYPES.get(about["kind"], object)
    for one in value if about["many"] else [value]:
        if one is None and of.default is None:
            continue
        is_switch = isinstance(one, bool)  # which Python counts among the numbers
        if not isinstance(one, types) or is_switch != (types is bool):
            raise UserError(f"--{name} cannot be {one!r}")
        if isinstance(one, Stage):
            try:
                one.check()
            except ValueError as error:
                raise UserError(f"--{name}: {error}") from None
        elif about["kind"] is parse_fold:
            try:
                parse_fold(one)
            except argparse.ArgumentTypeError as error:
                raise UserError(f"--{name} {error}") from None
        elif about["allowed"] and one not in about["allowed"]:
            raise UserError(f"--{name} must be {about['allowed']}, received {one}")
        elif about["choices"] and one not in about["choices"]:
            listed = ", ".join(about["choices"])
            raise UserError(f"--{name} must be one of {listed}, received {one}")
