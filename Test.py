"""Scores a trained model on every test set under data/.

    python Test.py --model_path runs/lgps/best.h5
    python Test.py --model_path runs/lgps/best.h5 --data_path data/Kvasir-SEG
    python Test.py --model_path runs/lgps/best_int8.xml --protocol all --threshold auto

The model is a checkpoint or any file of Export.py, which is run by its own runtime.

The test part of each prepared dataset is scored. For protocols that score at the
masks' original size, the raw files of that part are read instead of the arrays, where
they still exist. Writes results/<model>/<dataset>/ for each dataset: README.md with the
table of scores, metrics.json, per_image.csv, qualitative.png, report.html, table.md and
table.tex.
"""

import argparse
from pathlib import Path

from cli.command import UserError, run_command
from evaluation.script_options import make_parser, print_origin, protocol_names
from models.shipped import add_model_path

DATA_FOLDER = Path(__file__).resolve().parent / "data"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_model_path(parser, "a .h5, or a file or SavedModel folder of Export.py")
    parser.add_argument(
        "--data_path",
        nargs="+",
        type=Path,
        default=[DATA_FOLDER],
        metavar="D",
        help="prepared or raw datasets, or folders of them (default: data/)",
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    from deploy.maps import load_maps
    from deploy.thresholds import read_threshold
    from evaluation.cases import find_case_sets, tell_apart
    from evaluation.evaluate import evaluate
    from evaluation.protocols import build_protocols
    from evaluation.report.results_folder import claim_folder, write_summary

    names = protocol_names(args)
    threshold = read_threshold(args.threshold, args.model_path)
    protocols = build_protocols(names)
    original_size = any(protocol.original_size for protocol in protocols)
    found = [find_case_sets(path, original_size) for path in args.data_path]
    sets = tell_apart([case_set for part in found for case_set in part])
    if not sets:
        raise UserError(
            f"no test set in {', '.join(map(str, args.data_path))}; prepare one with "
            "`python Preprocess_SEG.py`, or `python -m data.demo --out_dir data/demo`"
        )
    maps = load_maps(
        args.model_path, args.view, args.tta, args.refine, not args.unverified
    )
    folders = [claim_folder(args.out_dir, maps, case_set) for case_set in sets]
    results = {}
    for case_set, folder in zip(sets, folders, strict=True):
        print_origin(case_set, protocols)
        save_to = args.save_maps / case_set.name if args.save_maps else None
        results[case_set.name] = evaluate(
            maps,
            case_set,
            build_protocols(names, threshold),
            folder,
            threshold,
            save_to,
        )
    if len(results) > 1:
        print(f"\n{write_summary(folders[0].parent, results)}")


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
