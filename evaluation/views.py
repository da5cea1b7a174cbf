"""What the network is shown of a frame: the same choices for prediction and scoring.

`"whole"` is the whole frame; `"cropped"` is the frame cropped to the scope's view,
with probability 0 outside it. Test-time augmentation (TTA) shows it mirrored too.
"""

import argparse

VIEWS = ("whole", "cropped")
DEFAULT_VIEW = "whole"
TTA = ("flips",)


def add_view_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--view` and `--tta` to a command's options."""
    parser.add_argument(
        "--view",
        choices=VIEWS,
        default=DEFAULT_VIEW,
        help="what the network is shown: the whole frame, or the frame cropped to the "
        "scope's view, with probability 0 outside it (default: %(default)s)",
    )
    parser.add_argument(
        "--tta",
        choices=TTA,
        help="average the maps of each frame and its three mirror images, which takes "
        "four times as long",
    )
