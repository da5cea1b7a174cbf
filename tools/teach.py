"""Writes what teachers see in images that they have not been trained on.

    python train.py --fold 1/2 ... --out_dir runs/teacher1     # two teachers, say
    python train.py --fold 2/2 ... --out_dir runs/teacher2
    python -m tools.teach runs/teacher1 runs/teacher2 --out runs/teachers.npz
    python train.py --teacher runs/teachers.npz ...            # the student

Each run gives the maps of its validation images: its logits, averaged over the mirrors
and quarter turns of the image and over the sizes. Where several runs held an image
back, their logits are averaged too. `--masks_of` is for datasets whose maps would teach
something wrong: their masks are written in place of maps.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from scipy.special import expit, logit
from tqdm import tqdm

from cli.command import UserError, command_parser, import_tensorflow, run_command
from cli.files import make_folder
from cli.ranges import IMAGE_SIDE, number
from data.images import resize_image
from data.teacher_maps import save_teacher_maps
from deploy.runtimes import PROBABILITY_MARGIN
from models.run_folder import RunFolder
from training.saved_options import saved_options

SIZES = (224, 288)
VIEWS = 8  # the mirrors and turns of a square


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="folders of the teachers")
    add("--out", type=Path, required=True, metavar="MAPS.npz", help="file to write")
    add(
        "--sizes",
        nargs="+",
        type=number(int, IMAGE_SIDE),
        default=SIZES,
        metavar="SIDE",
        help="in pixels, at which the teachers see an image; default: 224 288",
    )
    add(
        "--masks_of",
        nargs="+",
        default=[],
        metavar="DATASET",
        help="folder names of datasets whose masks are written instead of maps",
    )
    args = parser.parse_args(argv)
    if args.out.suffix != ".npz":
        parser.error(f"--out must end in .npz, received {args.out}")
    return args


def main(args: argparse.Namespace) -> None:
    """Writes the maps of all images that a run held back.

    Raises:
        UserError: a run is not there, held nothing back, or is of other arrays; or no
            run is of a dataset of `--masks_of`.
    """
    runs = [RunFolder(path) for path in args.runs]
    options = [saved_options(run, {}) for run in runs]
    for run, of_run in zip(runs, options, strict=True):
        if of_run.train_on_validation or of_run.val_data_path:
            raise UserError(f"{run} held no training images back; train it with --fold")
    import_tensorflow()
    from training.run import load_samples

    parts = [load_samples(of_run)[1] for of_run in options]
    if len({samples.image_size for samples in parts}) > 1:
        raise UserError("The runs are of arrays of different sizes")
    datasets = {prepared.name for samples in parts for prepared in samples.sets}
    if unknown := set(args.masks_of) - datasets:
        raise UserError(f"--masks_of: no run is of {', '.join(sorted(unknown))}")
    teachers = [Teacher(run.best, args.sizes) for run in runs]
    make_folder(args.out.parent)  # nothing can be wrong after the work is done

    logits = defaultdict(list)
    masks = {}
    for run, of_run, samples, teacher in zip(
        runs, options, parts, teachers, strict=True
    ):
        for index, name in enumerate(tqdm(samples.names, str(run), leave=False)):
            images, truth = samples.batch([index])
            if name.split("/")[0] in args.masks_of:
                masks[name] = truth[0, ..., 0]
                continue
            # As they were trained, not as they were saved.
            logits[name].append(teacher.logits(images[0]) / of_run.logit_scale)
    maps = {name: expit(np.mean(several, axis=0)) for name, several in logits.items()}
    save_teacher_maps(args.out, [*maps, *masks], [*maps.values(), *masks.values()])
    print(f"{args.out}: maps of {len(maps)} images, masks of {len(masks)}")


class Teacher:
    """A trained network, seen from all sides.

    Args:
        path: its checkpoint.
        sizes: sides in pixels.
    """

    def __init__(self, path: Path, sizes: list[int]):
        import tensorflow as tf

        from models.checkpoints import load_checkpoint
        from models.inference import build_rgb_model

        self._networks = {}
        for side in sizes:
            network = load_checkpoint(path, (side, side))
            network = build_rgb_model(network, batch_size=VIEWS, dtype="uint8")
            self._networks[side] = tf.function(network)

    def logits(self, image: np.ndarray) -> np.ndarray:
        """`(H, W, 3)` uint8 RGB → `(H, W)` float32 mean logits."""
        total = []
        for side, network in self._networks.items():
            frame = resize_image(image, (side, side))
            views = np.stack([turned(frame, view) for view in range(VIEWS)])
            maps = (
                network(views)
                .numpy()[..., 0]
                .clip(PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
            )
            back = [turned_back(one, view) for view, one in enumerate(logit(maps))]
            height, width = image.shape[:2]
            total.append(cv2.resize(np.mean(back, axis=0), (width, height)))
        return np.mean(total, axis=0)


def turned(image: np.ndarray, view: int) -> np.ndarray:
    """View 0 to 7 of a square: bits 1 and 2 mirror it, bit 4 transposes it before."""
    image = image.swapaxes(0, 1) if view & 4 else image
    return image[:: -1 if view & 2 else 1, :: -1 if view & 1 else 1]


def turned_back(image: np.ndarray, view: int) -> np.ndarray:
    """Undoes `turned`."""
    image = image[:: -1 if view & 2 else 1, :: -1 if view & 1 else 1]
    return image.swapaxes(0, 1) if view & 4 else image


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
