"""The command-line options that Test.py and New_Test.py share.

Heavy packages are imported only by the functions that need them, so that `--help` is
quick.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cli.command import command_parser
from cli.ranges import PROBABILITY, number
from evaluation.protocols import PROTOCOL_NAMES
from evaluation.views import add_view_options
from models.shipped import UNVERIFIED_HELP

if TYPE_CHECKING:
    from evaluation.cases import CaseSet
    from evaluation.protocols.base import Protocol

RESULTS_FOLDER = Path(__file__).resolve().parent.parent / "results"
DEFAULT_PROTOCOLS = ("lgps", "pvtseg")


def make_parser(docstring: str) -> argparse.ArgumentParser:
    """Makes a parser with the shared options.

    Args:
        docstring: the script's `__doc__`.
    """
    # Abbreviated, `--model` of earlier versions would be read as `--model_path`.
    parser = command_parser(docstring, allow_abbrev=False)
    parser.add_argument(
        "--protocol",
        nargs="+",
        default=DEFAULT_PROTOCOLS,
        choices=["all", *PROTOCOL_NAMES],
        metavar="NAME",
        help="the protocols to score by: all, or any of "
        f"{', '.join(PROTOCOL_NAMES)} (default: {' '.join(DEFAULT_PROTOCOLS)})",
    )
    parser.add_argument(
        "--threshold",
        type=threshold,
        metavar="T",
        help="score at this threshold too; auto: at the one that was chosen on the "
        "images held back by the run that best.h5, or its export, is from",
    )
    add_view_options(parser)
    parser.add_argument(
        "--refine",
        choices=["convcrf"],
        help="refine each map by mean-field inference, guided by the image",
    )
    parser.add_argument("--unverified", action="store_true", help=UNVERIFIED_HELP)
    parser.add_argument(
        "--save_maps", type=Path, metavar="FOLDER", help="write the maps as 8-bit PNGs"
    )
    parser.add_argument(
        "--out_dir",
        type=Path,
        default=RESULTS_FOLDER,
        metavar="DIR",
        help="root of the results (default: results/)",
    )
    return parser


def threshold(text: str) -> float | str:
    """Parses "auto" or a number between 0 and 1."""
    return text if text == "auto" else number(float, PROBABILITY)(text)


def protocol_names(args: argparse.Namespace) -> list[str]:
    """Returns the protocols asked for, each once."""
    if "all" in args.protocol:
        return list(PROTOCOL_NAMES)
    return list(dict.fromkeys(args.protocol))


def print_origin(case_set: "CaseSet", protocols: list["Protocol"]) -> None:
    """Prints what was found, and which protocols lack the masks' original size."""
    print(case_set.origin)
    lacking = [protocol.name for protocol in protocols if protocol.original_size]
    if lacking and not case_set.original_size:
        print(
            f"  {', '.join(lacking)}: scored at the size of the arrays, as the raw "
            "files are not there"
        )
