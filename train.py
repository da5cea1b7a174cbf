"""Trains LGPS or PVTSeg on prepared datasets.

    python train.py                            # every prepared dataset under data/
    python train.py --data_path data/Kvasir-SEG data/CVC-ClinicDB
    python train.py --demo                     # on drawn frames, nothing to download
    python train.py --resume --name NAME       # take up a run that was stopped
    python train.py --model pvtseg --encoder pvt_v2_b0

Flags that are not given take the published values (training/recipes.py).
"""

import argparse
from collections.abc import Callable
from dataclasses import fields

from cli.command import (
    INTERRUPTED_EXIT_CODE,
    command_parser,
    quiet_tensorflow,
    run_command,
)
from data import demo
from data.arrays import is_prepared
from data.augment import AUGMENTATIONS
from training.options import (
    DEMO_PATH,
    default_name,
    default_verbose,
    new_options,
    run_folder,
    saved_options,
    show_options,
)
from training.recipes import RECIPES, Recipe

CHOICES = {
    "augmentation": tuple(AUGMENTATIONS),
    "schedule": ("plateau", "cosine"),
    "loss": ("lgps", "pvtseg", "structure"),
    "monitor": ("val_loss", "val_dice", "val_iou", "last"),
    "precision": ("auto", "float32", "mixed_float16", "mixed_bfloat16"),
    "strategy": ("auto", "none", "mirrored", "multiworker"),
    "crf": ("published", "meanfield"),
    "encoder": tuple(f"pvt_v2_b{size}" for size in range(6)),
}
NOT_NEGATIVE = "[0, inf)"
# Values that the numbers of a recipe may have, where not all these.
LIMITS = {
    "epochs": "[1, inf)",
    "batch_size": "[1, inf)",
    "learning_rate": "(0, inf)",
    "beta_1": "[0, 1)",
    "plateau_factor": "(0, 1)",
    "ema": "[0, 1)",
    "bn_momentum": "[0, 1)",
    "seed": f"[0, {2**32})",
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line; flags that are not given are absent."""
    parser = command_parser(__doc__, argument_default=argparse.SUPPRESS)
    add = parser.add_argument
    add("--model", choices=tuple(RECIPES), help="default lgps")
    add(
        "--recipe",
        choices=("published", "best"),
        help="default published; best (LGPS): what made the shipped weights",
    )
    add("--data_path", nargs="+", metavar="PATH", help="prepared datasets")
    add(
        "--val_data_path",
        nargs="+",
        metavar="PATH",
        help="validate on the test arrays of these prepared datasets, as published; "
        "default: part of the training images, whole video sequences at a time",
    )
    add("--val_fraction", type=_number(float, "(0, 1)"), help="that part, default 0.1")
    add(
        "--train_on_validation",
        action="store_true",
        help="train on the validation part too, for a last run after all is chosen",
    )
    add("--demo", action="store_true", help="train on drawn frames, quick settings")
    add("--name", help="the run's name; default: model and time")
    add(
        "--out_dir",
        help="the run's folder (default runs/NAME); with --name, where that lies",
    )
    add("--resume", action="store_true", help="take up the run in that folder")
    add("--overwrite", action="store_true", help="replace a run in that folder")
    add("--image_size", type=_number(int, "[1, inf)"), help="default: as prepared")
    add(
        "--stages",
        nargs="+",
        type=_stage,
        metavar="SIZE:EPOCHS",
        help="train at several sizes, one after the other",
    )
    add("--no_shuffle", action="store_true", help="keep the order of the arrays")
    add("--encoder_weights", help="none (default), imagenet (LGPS) or a weights file")
    add("--precision", choices=CHOICES["precision"], help="default auto")
    add("--strategy", choices=CHOICES["strategy"], help="default auto")
    add("--verbose", type=int, choices=(0, 1, 2), help="1 bar, 2 a line per epoch")

    recipe = parser.add_argument_group("recipe (default: as published for the model)")
    for field in fields(Recipe):
        values = [(name, getattr(r, field.name)) for name, r in RECIPES.items()]
        if field.type is bool:
            recipe.add_argument(f"--{field.name}", action="store_true")
            continue
        if field.name == "restart_epochs":
            add = recipe.add_argument
            add("--restart_epochs", nargs="*", type=_number(int), help="default none")
            continue
        limits = LIMITS.get(field.name, NOT_NEGATIVE)
        recipe.add_argument(
            f"--{field.name}",
            type=str if field.type is str else _number(field.type, limits),
            choices=CHOICES.get(field.name),
            help=", ".join(f"{name} {value}" for name, value in values),
        )

    lgps = parser.add_argument_group("LGPS")
    add = lgps.add_argument
    add("--no_se", action="store_true", help="without squeeze-excitation")
    add("--adversarial_weight", type=_number(float), help="default 0, as published")
    add("--crf", choices=CHOICES["crf"], help="of the discriminator")
    add(
        "--no_discriminator",
        action="store_true",
        help="leave it out: at weight 0 the generator is trained just the same",
    )
    add(
        "--binarised_val_loss",
        action="store_true",
        help="validation loss of predictions cut at 0.5, as published",
    )
    pvtseg = parser.add_argument_group("PVTSeg")
    pvtseg.add_argument("--encoder", choices=CHOICES["encoder"], help="default b3")
    return parser.parse_args(argv)


def _number(kind: Callable, limits: str = NOT_NEGATIVE) -> Callable:
    """An argparse type: a number within limits, written as `[from, to)`."""
    low, high = map(float, limits[1:-1].split(","))
    excluded = {low} if limits[0] == "(" else set()
    excluded |= {high} if limits[-1] == ")" else set()

    def parse(text: str) -> float:
        value = kind(text)
        if not low <= value <= high or value in excluded:
            raise argparse.ArgumentTypeError(f"{text} is not in {limits}")
        return value

    parse.__name__ = kind.__name__
    return parse


def _stage(text: str) -> list[int]:
    """An argparse type: `SIZE:EPOCHS`."""
    side, _, epochs = text.partition(":")
    if not (side.isdecimal() and epochs.isdecimal() and int(side) and int(epochs)):
        raise argparse.ArgumentTypeError(f"{text} is not SIZE:EPOCHS, such as 128:20")
    return [int(side), int(epochs)]


def main(args: argparse.Namespace) -> int:
    """Trains; returns the exit code."""
    given = vars(args).copy()
    resume, overwrite = given.pop("resume", False), given.pop("overwrite", False)
    folder = run_folder(
        given.pop("name", None), given.pop("out_dir", None), default_name(given)
    )
    verbose = given.pop("verbose", default_verbose())
    options = saved_options(folder, given) if resume else new_options(given)
    print(f"Run {folder}\n{show_options(options)}")

    quiet_tensorflow()
    from training.run import train

    if options["demo"] and not is_prepared(DEMO_PATH):
        demo.main(demo.parse_args(["--out_dir", str(DEMO_PATH), "--image_size", "96"]))
    try:
        train(options, folder, resume, overwrite, verbose)
    except KeyboardInterrupt:
        print(
            "\nInterrupted. Every finished epoch is saved; go on with: "
            f"python train.py --resume --out_dir {folder}"
        )
        return INTERRUPTED_EXIT_CODE
    return 0


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
