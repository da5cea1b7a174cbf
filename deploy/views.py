"""Which part of a frame the network is shown: one choice for prediction and scoring."""

import argparse

VIEWS = ("whole", "cropped")
DEFAULT_VIEW = "whole"


def add_view_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--view` to a command's parser."""
    parser.add_argument(
        "--view",
        choices=VIEWS,
        default=DEFAULT_VIEW,
        help="what the network is shown: the whole frame, or the frame cropped to the "
        "scope's view, with probability 0 outside it (default: %(default)s)",
    )
