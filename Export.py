"""Exports a checkpoint for real-time use without a GPU.

    python Export.py --model_path runs/lgps/best.h5 --format openvino
    python Export.py --model_path best.h5 --format openvino --int8 \\
        --data_path data/Kvasir-SEG --gate_data_path data/CVC-300

The exported model takes uint8 RGB frames `(1, H, W, 3)` and gives float32 probability
`(1, H, W, 1)`. It is run by its own runtime and compared with Keras before it is
kept: a file that differs is not, and the exit code is 1. An int8 export is compared
on images that the network was not trained on.
"""

import argparse
from pathlib import Path

from cli.command import (
    command_parser,
    import_tensorflow,
    run_command,
    sigterm_as_interrupt,
)
from cli.ranges import IMAGE_SIDE, NOT_NEGATIVE, Range, number
from deploy.export_options import ExportOptions
from deploy.formats import FORMATS
from deploy.gate import MAX_DIFFERENCE, MAX_DROP
from models.shipped import UNVERIFIED_HELP, add_model_path

DICE_DIFFERENCE = Range(at_least=-1, at_most=1)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add_model_path(parser, "a .h5")
    parser.add_argument("--format", choices=tuple(FORMATS), default="openvino")
    parser.add_argument(
        "--out", type=Path, help="file or, for saved_model, folder to write"
    )
    parser.add_argument(
        "--image_size",
        type=number(int, IMAGE_SIDE),
        nargs=2,
        metavar=("H", "W"),
        help="of the frames, in pixels; default: the checkpoint's",
    )
    parser.add_argument(
        "--dynamic",
        nargs="+",
        choices=("batch", "size"),
        default=[],
        help="leave the number of frames, or their size, open",
    )
    parser.add_argument(
        "--int8", action="store_true", help="quantise; needs --data_path"
    )
    parser.add_argument(
        "--max_drop",
        type=number(float, DICE_DIFFERENCE),
        default=MAX_DROP,
        help="Dice, pooled and mean, that an export may lose on the images it is"
        " compared on; default: %(default)s",
    )
    parser.add_argument(
        "--max_difference",
        type=number(float, NOT_NEGATIVE),
        default=MAX_DIFFERENCE,
        help="probability by which a float32 export may differ from Keras at any pixel;"
        " default: %(default)s",
    )
    parser.add_argument(
        "--data_path",
        type=Path,
        help="prepared dataset that the checkpoint was trained on: its training images"
        " calibrate --int8",
    )
    parser.add_argument(
        "--gate_data_path",
        type=Path,
        help="prepared dataset, of which the test images are taken, or a raw one: the"
        " export is compared on up to 200 of its images, which the checkpoint must not"
        " have been trained on; default: the validation images of --data_path that the"
        " checkpoint's run held back, or without --data_path drawn demo frames",
    )
    parser.add_argument("--unverified", action="store_true", help=UNVERIFIED_HELP)
    return parser.parse_args(argv)


@sigterm_as_interrupt()
def main(args: argparse.Namespace) -> int:
    """Exports, compares, and keeps the file if it passes; returns the exit code."""
    options = ExportOptions(**vars(args))
    import_tensorflow()
    from deploy.export_run import export_checkpoint

    return export_checkpoint(options)


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
