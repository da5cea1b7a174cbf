"""Scores a trained model on every test set under data/.

    python Test.py --model_path runs/lgps/best.h5
    python Test.py --model_path runs/lgps/best.h5 --data_path data/Kvasir-SEG
    python Test.py --model_path X.h5 --data_path data/CVC-300 data/ETIS-LaribPolypDB

Writes results/<model>/<dataset>/ for each: metrics.json, per_image.csv, qualitative.png
and README.md with the table.
"""

import argparse
from pathlib import Path

from data.cli import UserError, run_command

DATA_FOLDER = Path(__file__).resolve().parent / "data"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    from evaluation.command import add_model_options

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model_path", required=True, metavar="X.h5", help="the trained checkpoint"
    )
    parser.add_argument(
        "--data_path",
        nargs="+",
        default=[DATA_FOLDER],
        metavar="D",
        help="prepared or raw datasets, or folders of them (default: data/)",
    )
    add_model_options(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    from evaluation.cases import find_case_sets
    from evaluation.command import load_predictor
    from evaluation.evaluate import evaluate
    from evaluation.protocols import build_protocols
    from evaluation.results import claim_folder

    protocols = build_protocols(["lgps", "pvtseg"])
    sets = [found for path in args.data_path for found in find_case_sets(path)]
    if not sets:
        raise UserError(
            f"no test set in {', '.join(map(str, args.data_path))}; prepare one with "
            "`python Preprocess_SEG.py`, or `python -m data.demo --out_dir data/demo`"
        )
    predictor = load_predictor(args.model_path, args)
    folders = [
        claim_folder(args.out_dir, predictor.label, case_set, args.model_path)
        for case_set in sets
    ]
    for case_set, folder in zip(sets, folders, strict=True):
        print(case_set.origin)
        evaluate(predictor, case_set, protocols, folder)


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
