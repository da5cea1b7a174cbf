"""Prepares CVC-ClinicDB: 256x256 training and test arrays beside a manifest.

    python Preprocess_CVC_CliniCDB.py
    python Preprocess_CVC_CliniCDB.py --data_path /elsewhere/CVC-ClinicDB --split pranet

The frames are video. The default split keeps every sequence, and so every polyp, on
one side; the published splits, and so the published scores, do not.
"""

import argparse
from pathlib import Path

from cli.command import UserError, command_parser, run_command
from data.prepare import DATA_FOLDER, add_options
from data.prepare import main as prepare

DOWNLOAD = "https://polyp.grand-challenge.org/CVCClinicDB/"
SPLITS = ("by-sequence", "pranet", "random")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--data_path",
        type=Path,
        default=DATA_FOLDER / "CVC-ClinicDB",
        help="holds Original/ and Ground Truth/, or TIF/ or PNG/ with these; default:"
        " data/CVC-ClinicDB",
    )
    add_options(parser, SPLITS, default="by-sequence")
    parser.set_defaults(name="CVC-ClinicDB")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    if not args.data_path.is_dir():
        raise UserError(
            f"{args.data_path}: not found; download CVC-ClinicDB from {DOWNLOAD}"
            " or say where it is with --data_path"
        )
    prepare(args)


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
