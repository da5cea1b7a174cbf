"""The command-line options that Test.py and New_Test.py share.

Heavy packages are imported only by the functions that need them, so that `--help` is
quick.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cli.command import UserError, command_parser, quiet_tensorflow
from cli.ranges import AT_LEAST_ONE, PROBABILITY, number
from evaluation.protocols import PROTOCOL_NAMES
from models.run_folder import BEST_CHECKPOINT, RunFolder
from models.shipped import SHIPPED_WEIGHTS

if TYPE_CHECKING:
    from evaluation.cases import CaseSet
    from evaluation.maps import NetworkMaps
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
        "validation images of the run that best.h5 is from",
    )
    parser.add_argument(
        "--tta",
        choices=["flips"],
        help="average the maps of each image and of its three flips",
    )
    parser.add_argument(
        "--refine",
        choices=["convcrf"],
        help="refine each map by mean-field inference, guided by the image",
    )
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
    parser.add_argument(
        "--batch_size",
        type=number(int, AT_LEAST_ONE),
        default=8,
        metavar="N",
        help="images per network call (default: %(default)s)",
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


def read_threshold(args: argparse.Namespace, model_path: Path) -> float | None:
    """Returns the threshold asked for; for `auto`, the one chosen by the model's run.

    Raises:
        UserError: for `auto`, when the run of the checkpoint has chosen none.
    """
    if args.threshold != "auto":
        return args.threshold
    is_shipped = model_path.resolve() in SHIPPED_WEIGHTS.values()
    if model_path.name != BEST_CHECKPOINT and not is_shipped:
        raise UserError(
            f"--threshold auto is known for a run's {BEST_CHECKPOINT} only, not for "
            f"{model_path}; give a number"
        )
    run = RunFolder.of_checkpoint(model_path)
    validation = run.read_validation()
    if validation is None:
        raise UserError(
            f"--threshold auto needs {run.validation}, but it is not there; "
            "give a number"
        )
    return validation.threshold


def print_origin(case_set: "CaseSet", protocols: list["Protocol"]) -> None:
    """Prints what was found, and which protocols lack the masks' original size."""
    print(case_set.origin)
    lacking = [protocol.name for protocol in protocols if protocol.original_size]
    if lacking and not case_set.original_size:
        print(
            f"  {', '.join(lacking)}: scored at the size of the arrays, as the raw "
            "files are not there"
        )


def load_network(args: argparse.Namespace, model_path: Path) -> "NetworkMaps":
    """Loads a checkpoint and compiles it for batches of `args.batch_size`."""
    quiet_tensorflow()
    from evaluation.maps import NetworkMaps
    from models.checkpoints import load_checkpoint

    checkpoint = load_checkpoint(model_path)
    return NetworkMaps(checkpoint, args.batch_size, args.tta, args.refine)
