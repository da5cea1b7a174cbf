"""Prepares a dataset: writes resized training and test arrays, and a manifest.

    python -m data.prepare data/PolypGen2021_MultiCenterData_v3 --split by-centre
    python -m data.prepare data/CVC-ClinicDB --folds 5 --out_dir data/ClinicDB-folds

Preprocess_SEG.py and Preprocess_CVC_CliniCDB.py are this command with the defaults of
one dataset. data/storage.py describes the files that are written. With --folds 5 there
is one folder of them for each fold, fold_1 to fold_5.
"""

import argparse
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.command import UserError, command_parser, run_command, sigterm_as_interrupt
from cli.ranges import IMAGE_SIDE, Range, number
from data.pairs import Dataset, find_pairs
from data.splits import SPLITS, Split, default_split, fold_pairs, split_pairs

DATA_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class PublicDataset:
    """A dataset that has a preprocessing script of its own.

    Attributes:
        name: the dataset's name and the name of its folder in data/.
        folders: what the dataset folder holds, for the help text.
        splits: the values of `--split`; the first is the default.
        download: the page to download it from.
    """

    name: str
    folders: str
    splits: Sequence[str]
    download: str


def parse_dataset_args(
    docstring: str, dataset: PublicDataset, argv: list[str] | None
) -> argparse.Namespace:
    """Parses the command line of the preprocessing script of one dataset."""
    parser = command_parser(docstring)
    parser.add_argument(
        "--data_path",
        type=Path,
        default=DATA_FOLDER / dataset.name,
        help=f"holds {dataset.folders}; default: data/{dataset.name}",
    )
    _add_options(parser, dataset.splits, dataset.splits[0])
    parser.set_defaults(name=dataset.name, download=dataset.download)
    return parser.parse_args(argv)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("data_path", type=Path, help="the dataset folder")
    _add_options(parser, SPLITS)
    parser.add_argument("--test_centre", default="C6", help="for --split by-centre")
    parser.add_argument(
        "--name", type=_name, help="the dataset's name; default: the folder's"
    )
    return parser.parse_args(argv)


def _name(text: str) -> str:
    """An argparse type: a name that is one part of a path; results are stored by it."""
    if not text or Path(text).name != text or text == "..":
        raise argparse.ArgumentTypeError(f"must be a plain name, received {text!r}")
    return text


def _add_options(
    parser: argparse.ArgumentParser, splits: Sequence[str], default: str | None = None
) -> None:
    """Adds the options that all preprocessing commands have."""
    parser.add_argument(
        "--split",
        choices=splits,
        help="default: train.txt and test.txt in the dataset folder, or else"
        f" {default or 'what suits the dataset'}",
    )
    parser.add_argument(
        "--folds",
        type=number(int, Range(at_least=2)),
        help="write this many folds instead",
    )
    parser.add_argument(
        "--image_size",
        type=number(int, IMAGE_SIDE),
        nargs="+",
        default=[256],
        metavar=("H", "W"),
        help="pixels; one number is both; default: 256",
    )
    parser.add_argument(
        "--format", choices=("npy", "h5"), default="npy", help="default: %(default)s"
    )
    parser.add_argument(
        "--augment",
        choices=("none", "published"),
        default="none",
        help="published: save each training image with a random zoom, elastic"
        " deformation, brightness and contrast instead of the original",
    )
    parser.add_argument(
        "--seed", type=number(int), default=42, help="default: %(default)s"
    )
    parser.add_argument("--out_dir", type=Path, help="default: the dataset folder")
    parser.set_defaults(name=None, download=None, test_centre="C6", usual_split=default)


def main(args: argparse.Namespace) -> None:
    """Prepares the dataset in `args.data_path`.

    Raises:
        UserError: nothing usable is there; or names every file that is damaged, lacks
            its partner or is listed but not on disk.
    """
    if len(args.image_size) > 2:
        raise UserError(f"--image_size must be H or H W, received {args.image_size}")
    if args.download and not args.data_path.is_dir():
        raise UserError(
            f"{args.data_path}: not found; download {args.name} from {args.download}"
            " or say where it is with --data_path"
        )
    dataset = find_pairs(args.data_path, args.name)
    print(dataset.describe())
    kind = args.split or args.usual_split or default_split(dataset)
    if args.folds:
        splits = fold_pairs(dataset, kind, args.folds, args.seed)
    else:
        splits = [split_pairs(dataset, kind, args.seed, args.test_centre)]
        if args.split not in (None, splits[0].name):
            raise UserError(
                f"{dataset.root}: holds {splits[0].name}, which say what is test;"
                f" leave out --split {args.split}, or move them away"
            )
    out_dir = args.out_dir or args.data_path
    folders = [out_dir / f"fold_{n + 1}" for n in range(args.folds or 0)] or [out_dir]
    if args.folds:
        _refuse_other_folds(out_dir, folders)
    with sigterm_as_interrupt(), contextlib.ExitStack() as outputs:
        for split, folder in zip(splits, folders, strict=True):
            _write_split(dataset, split, folder, args, outputs)
    print(f"wrote {', '.join(map(str, folders))}")


def _refuse_other_folds(out_dir: Path, folders: Sequence[Path]) -> None:
    """Raises `UserError` for folds of another division, in which test images differ."""
    others = sorted(set(out_dir.glob("fold_*")) - set(folders))
    if others:
        raise UserError(
            f"{others[0]}: is of a division into more folds; delete it or choose "
            "another --out_dir"
        )


def _write_split(
    dataset: Dataset,
    split: Split,
    folder: Path,
    args: argparse.Namespace,
    outputs: contextlib.ExitStack,
) -> None:
    """Writes one prepared folder; it takes effect when `outputs` closes."""
    from data import storage
    from data.images import silent_codecs
    from data.writing import write_pairs

    sets = {"train": split.train, "test": split.test}
    counts = {subset: len(pairs) for subset, pairs in sets.items()}
    unused = len(dataset.pairs) - sum(counts.values())
    print(
        f"{split.name}: {counts['train']} train, {counts['test']} test, {unused} unused"
    )
    problems = [f"{dataset.root / file}: {why}" for file, why in dataset.unpaired]
    problems += split.problems
    if not all(counts.values()):
        _raise_problems(dataset, [*problems, "the training or the test set is empty"])
    size = tuple((args.image_size * 2)[:2])
    staged = outputs.enter_context(storage.replace_prepared(folder))
    regions = storage.create_arrays(staged, counts, size, args.format)
    subsets = {}
    for subset, pairs in sets.items():
        augmented = args.augment == "published" and subset == "train"
        with (
            silent_codecs(),
            storage.ArrayWriter(regions[f"{subset}_images"]) as images,
            storage.ArrayWriter(regions[f"{subset}_masks"]) as masks,
        ):
            items, faults = write_pairs(
                pairs,
                size,
                images,
                masks,
                augment_seed=args.seed if augmented else None,
                title=subset,
            )
        problems += faults
        empty = sum(item["empty_mask"] for item in items)
        print(f"{subset}: {len(items)} pairs, {empty} with an empty mask")
        subsets[subset] = {
            "count": len(items),
            "empty_masks": empty,
            "sha256": {"images": images.sha256, "masks": masks.sha256},
            "items": items,
        }
    if problems:
        _raise_problems(dataset, problems)
    storage.write_manifest(
        staged,
        {
            "dataset": dataset.name,
            "source": str(dataset.root.resolve()),
            "layout": dataset.layout,
            "left_out": dataset.left_out,
            "split": split.name,
            "image_size": size,
            "format": args.format,
            "augment": args.augment,
            "seed": args.seed,
            "subsets": subsets,
        },
    )


def _raise_problems(dataset: Dataset, problems: list[str]) -> None:
    count = f"{len(problems)} problem" + "s" * (len(problems) > 1)
    raise UserError("\n  ".join([f"{dataset.root}: {count}", *problems]))


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
