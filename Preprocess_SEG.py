"""Prepares Kvasir-SEG: 256x256 training and test arrays beside a manifest.

python Preprocess_SEG.py
python Preprocess_SEG.py --data_path /elsewhere/Kvasir-SEG --split pranet
"""

import argparse
from pathlib import Path

from cli.command import UserError, command_parser, run_command
from data.prepare import DATA_FOLDER, add_options
from data.prepare import main as prepare

DOWNLOAD = "https://datasets.simula.no/kvasir-seg/"
SPLITS = ("official", "pranet", "random")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--data_path",
        type=Path,
        default=DATA_FOLDER / "Kvasir-SEG",
        help="holds images/ and masks/; default: data/Kvasir-SEG",
    )
    add_options(parser, SPLITS, default="official")
    parser.set_defaults(name="Kvasir-SEG")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    if not args.data_path.is_dir():
        raise UserError(
            f"{args.data_path}: not found; download Kvasir-SEG from {DOWNLOAD}"
            " or say where it is with --data_path"
        )
    prepare(args)


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
