"""Scores one or several trained models on one dataset they have not seen.

    python New_Test.py --data_path data/CVC-300 --model_path runs/lgps/best.h5
    python New_Test.py --data_path my_frames --model_path A.h5 B.h5

The dataset: prepared arrays, a raw folder of any known layout (Kvasir-SEG,
CVC-ClinicDB, PolypGen, …), or any folder with images/ and masks/. Writes
results/<model>/<dataset>/ like Test.py.
"""

import argparse
from pathlib import Path

from data.cli import UserError, run_command


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    from evaluation.command import add_model_options

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data_path", required=True, metavar="D", help="the dataset's folder"
    )
    parser.add_argument(
        "--model_path",
        required=True,
        nargs="+",
        metavar="X.h5",
        help="one or several trained checkpoints",
    )
    parser.add_argument(
        "--names",
        metavar="FILE",
        help="text file of case names, one a line: score only these (raw datasets)",
    )
    add_model_options(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    from evaluation.cases import open_case_set
    from evaluation.command import load_predictor
    from evaluation.evaluate import evaluate
    from evaluation.protocols import build_protocols
    from evaluation.results import claim_folder, model_label

    labels = [model_label(path) for path in args.model_path]
    if len(set(labels)) < len(labels):
        raise UserError(
            "the checkpoints' names must differ, as their results would be written to "
            f"one folder: {', '.join(labels)}"
        )
    names = Path(args.names).read_text().split() if args.names else None
    case_set = open_case_set(args.data_path, names)
    print(case_set.origin)
    folders = [
        claim_folder(args.out_dir, label, case_set, path)
        for label, path in zip(labels, args.model_path, strict=True)
    ]
    protocols = build_protocols(["lgps", "pvtseg"])
    for path, folder in zip(args.model_path, folders, strict=True):
        evaluate(load_predictor(path, args), case_set, protocols, folder)


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
