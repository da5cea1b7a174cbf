"""Draws docs/augmentation.jpg: what each augmentation makes of drawn frames.

    python -m tools.draw_augmentation

One row a frame: the frame itself, then some draws of each augmentation; a line marks
the outline of the mask.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from cli.command import UserError, command_parser, run_command
from cli.files import picture_path, replacing
from data.augment import AUGMENTATIONS, augment
from data.demo import draw_frames
from data.recolour import lab_statistics

SHOWN = ("mild", "halfway", "strong")
DRAWS = 3  # of each
FIRST_FRAME, FRAMES = 3, 5
DONORS = 40
STORED_SIZE, SIZE = 352, 128  # side, pixels
GAP, HEADING = 6, 22  # pixels
OUTLINE = (90, 255, 90)
JPEG_QUALITY = 85


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--out", type=picture_path, default=Path("docs/augmentation.jpg")
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    images, masks, _ = draw_frames(FIRST_FRAME, FRAMES, STORED_SIZE)
    donors = [lab_statistics(image) for image in draw_frames(1000, DONORS, SIZE)[0]]
    columns = [("none", 0), *((name, draw) for name in SHOWN for draw in range(DRAWS))]
    blocks = []
    for name, draw in columns:
        heading = "original" if name == "none" else name if draw == 0 else ""
        cells = [_heading(heading)]
        for frame, (image, mask) in enumerate(zip(images, masks, strict=True)):
            rng = np.random.default_rng([draw, frame])
            sample = augment(
                image,
                mask,
                AUGMENTATIONS[name],
                rng,
                (SIZE, SIZE),
                lambda rng: donors[rng.integers(DONORS)],
            )
            cells.append(_outlined(*sample))
        blocks.append(np.vstack(cells))
        if draw == DRAWS - 1 or name == "none":
            blocks.append(np.full((len(blocks[-1]), GAP, 3), 255, np.uint8))
    picture = cv2.cvtColor(np.hstack(blocks[:-1]), cv2.COLOR_RGB2BGR)
    with replacing(args.out) as partial:
        if not cv2.imwrite(
            str(partial), picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        ):
            raise UserError(f"{args.out}: cannot be written")
    print(f"wrote {args.out}")


def _heading(text: str) -> np.ndarray:
    cell = np.full((HEADING, SIZE, 3), 255, np.uint8)
    place = (2, HEADING - 7)
    font = cv2.FONT_HERSHEY_SIMPLEX
    return cv2.putText(cell, text, place, font, 0.5, (0, 0, 0), 1, cv2.LINE_AA)


def _outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    outlines, _ = cv2.findContours(
        mask[..., 0].copy(), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    return cv2.drawContours(image.copy(), outlines, -1, OUTLINE, 1)


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
