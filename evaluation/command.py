"""What Test.py and New_Test.py have in common on the command line."""

import argparse
import json
from pathlib import Path

from cli.command import UserError, command_parser, quiet_tensorflow
from models.shipped import SHIPPED_WEIGHTS
from training.options import BEST_FILE, VALIDATION_FILE

RESULTS_FOLDER = Path(__file__).resolve().parent.parent / "results"
PROTOCOL_NAMES = (
    "lgps",
    "lgps-verbatim",
    "pvtseg",
    "pvtseg-verbatim",
    "pranet",
    "medico",
)
AT_ORIGINAL_SIZE = {"pranet", "medico"}
DEFAULT_PROTOCOLS = ("lgps", "pvtseg")


def make_parser(docstring: str) -> argparse.ArgumentParser:
    """A parser with the options both scripts have."""
    parser = command_parser(docstring)
    parser.add_argument(
        "--model",
        choices=["lgps", "pvtseg"],
        help="which network the .h5 holds (default: the .h5 says so itself)",
    )
    parser.add_argument(
        "--protocol",
        nargs="+",
        default=DEFAULT_PROTOCOLS,
        choices=["all", *PROTOCOL_NAMES],
        metavar="NAME",
        help=f"what to score by: all, or of {', '.join(PROTOCOL_NAMES)} "
        f"(default: {' '.join(DEFAULT_PROTOCOLS)})",
    )
    parser.add_argument(
        "--threshold",
        type=threshold_value,
        metavar="T",
        help="score at this threshold too; auto: the one chosen on validation images, "
        "stored beside a run's best.h5",
    )
    parser.add_argument(
        "--tta", choices=["flips"], help="average the maps of the four flips"
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
        default=RESULTS_FOLDER,
        metavar="DIR",
        help="root of the results (default: results/)",
    )
    parser.add_argument(
        "--batch_size",
        type=positive_int,
        default=8,
        metavar="N",
        help="images per network call (default: %(default)s)",
    )
    return parser


def positive_int(text: str) -> int:
    """Parses a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, received {value}")
    return value


def threshold_value(text: str) -> float | str:
    """Parses "auto" or a number between 0 and 1."""
    if text == "auto":
        return text
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must lie in (0, 1), received {value}")
    return value


def protocol_names(args: argparse.Namespace) -> list[str]:
    """The protocols asked for, each once."""
    if "all" in args.protocol:
        return list(PROTOCOL_NAMES)
    return list(dict.fromkeys(args.protocol))


def describe(case_set, names: list[str]) -> None:
    """Says what was found, and which protocols lack the masks' original size."""
    print(case_set.origin)
    lacking = [name for name in names if name in AT_ORIGINAL_SIZE]
    if lacking and not case_set.original_size:
        print(
            f"  {', '.join(lacking)}: scored at the size of the arrays, as the raw "
            "files are not there"
        )


def read_threshold(args: argparse.Namespace, model_path: str | Path) -> float | None:
    """The threshold asked for; `auto` reads the run that made the checkpoint."""
    if args.threshold != "auto":
        return args.threshold
    path = Path(model_path)
    if path.name != BEST_FILE and path.resolve() not in SHIPPED_WEIGHTS.values():
        raise UserError(
            f"--threshold auto is known for a run's {BEST_FILE} only, not for {path}; "
            "give a number"
        )
    file = path.parent / VALIDATION_FILE
    try:
        return float(json.loads(file.read_text())["threshold"])
    except FileNotFoundError:
        reason = "it is not there"
    except (OSError, ValueError, KeyError, TypeError):
        reason = "it holds no threshold"
    raise UserError(f"--threshold auto needs {file}, but {reason}; give a number")


def load_predictor(args: argparse.Namespace, model_path: str | Path):
    """Loads a checkpoint and compiles it for batches of `args.batch_size`."""
    quiet_tensorflow()
    from evaluation.inference import Predictor
    from models.checkpoints import load_checkpoint

    checkpoint = load_checkpoint(model_path, args.model)
    return Predictor(checkpoint, args.batch_size, args.tta, args.refine)
