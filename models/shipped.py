"""The trained weights that come with this repository."""

import argparse
from pathlib import Path

# By the name that `--model_path` knows them by.
SHIPPED_WEIGHTS = {
    "lgps": Path(__file__).resolve().parents[1] / "weights" / "lgps_kvasir_clinicdb.h5"
}
UNVERIFIED_HELP = "load a model file that has changed since it was scored or exported"


def model_path(text: str) -> Path:
    """An argparse type: the path of a model; `lgps` stands for the shipped weights."""
    return SHIPPED_WEIGHTS.get(text, Path(text))


def add_model_path(parser: argparse.ArgumentParser, kinds: str) -> None:
    """Adds the option `--model_path` of commands that take one model.

    Args:
        parser: gets the option.
        kinds: the files that the command takes, for the help.
    """
    parser.add_argument(
        "--model_path",
        type=model_path,
        default="lgps",
        metavar="MODEL",
        help=f"{kinds}; default lgps, the shipped weights",
    )
