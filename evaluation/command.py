"""What Test.py and New_Test.py have in common on the command line."""

import argparse
from pathlib import Path

from data.cli import quiet_tensorflow

RESULTS_FOLDER = Path(__file__).resolve().parent.parent / "results"


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say how a model is run and where its scores go."""
    parser.add_argument(
        "--model",
        choices=["lgps", "pvtseg"],
        help="which network the .h5 holds (default: the .h5 says so itself)",
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


def positive_int(text: str) -> int:
    """Parses a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, received {value}")
    return value


def load_predictor(model_path: str, args: argparse.Namespace):
    """Loads a checkpoint and compiles it for batches of `args.batch_size`."""
    quiet_tensorflow()
    from evaluation.inference import Predictor
    from models.checkpoints import load_checkpoint

    return Predictor(load_checkpoint(model_path, args.model), args.batch_size)
