"""Scores one or several models on one dataset they have not seen.

    python New_Test.py --data_path data/CVC-300 --model_path runs/lgps/best.h5
    python New_Test.py --data_path my_frames --model_path A.h5 A_int8.xml B.onnx
    python New_Test.py --data_path data/CVC-300 --predictions maps/CVC-300
    python New_Test.py --data_path data/CVC-ClinicDB --video --fps 25 --hold 3/5

The dataset is a prepared one, a raw folder of any known layout (Kvasir-SEG,
CVC-ClinicDB, PolypGen, …), or any folder with images/ and masks/. With --predictions,
probability maps that another program saved (PNG files named like the images) are scored
and no model is needed. With --video, the dataset's sequences are judged as video too,
at the frame rate that --fps states. Writes results/<model>/<dataset>/ as Test.py does.
For several models it also writes results/<A>_vs_<B>/<dataset>/: their segmentations
side by side, and whether their scores differ.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from cli.command import UserError, run_command
from cli.files import read_lines
from cli.ranges import Range, hold, number
from data.pairs import without_ending
from evaluation.script_options import make_parser, print_origin, protocol_names
from evaluation.views import DEFAULT_VIEW
from models.shipped import model_path


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--data_path",
        required=True,
        type=Path,
        metavar="D",
        help="the dataset's folder",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--model_path",
        nargs="+",
        type=model_path,
        default=[model_path("lgps")],
        metavar="MODEL",
        help=".h5 checkpoints, and files or SavedModel folders of Export.py; default "
        "lgps, the shipped weights",
    )
    what.add_argument(
        "--predictions",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="folders of saved 8-bit maps to score instead",
    )
    parser.add_argument(
        "--names",
        type=Path,
        metavar="FILE",
        help="text file of case names, one a line: score only these (raw datasets); "
        "the results go to <dataset>-<FILE's name>",
    )
    parser.add_argument(
        "--video",
        action="store_true",
        help="judge the dataset's sequences as video too (data/sequences.py has the "
        "layouts); the results go to <dataset>-video",
    )
    parser.add_argument(
        "--fps",
        type=number(float, Range(above=0)),
        metavar="F",
        help="with --video: frames per second of the frames on disk",
    )
    parser.add_argument(
        "--hold",
        type=hold,
        metavar="N/M",
        help="with --video: judge also as Predict.py --hold N/M reports: only what was "
        "seen in N of the last M frames",
    )
    parser.add_argument(
        "--seeds",
        action="store_true",
        help="the checkpoints are one model trained with several seeds: give mean ± sd",
    )
    args = parser.parse_args(argv)
    if args.seeds and len(args.predictions or args.model_path) < 2:
        parser.error("--seeds needs at least two checkpoints")
    if args.video and not args.fps:
        parser.error("--video needs --fps, the frame rate of the frames on disk")
    if not args.video and (args.fps or args.hold):
        parser.error("--fps and --hold are for --video")
    if args.video and args.names:
        parser.error("--video needs all frames, so it does not go with --names")
    needs_model = (
        args.tta or args.refine or args.threshold == "auto" or args.view != DEFAULT_VIEW
    )
    if args.predictions and needs_model:
        parser.error("--tta, --refine, --view and --threshold auto need a model")
    return args


def main(args: argparse.Namespace) -> None:
    from deploy.maps import load_maps
    from deploy.thresholds import read_threshold
    from evaluation.cases import open_case_set, open_sequences
    from evaluation.evaluate import evaluate
    from evaluation.protocols import build_protocols
    from evaluation.report.results_folder import claim_folder
    from evaluation.report.side_by_side import write_comparison
    from evaluation.saved_maps import SavedMaps
    from evaluation.video.scoring import Video

    names = protocol_names(args)
    protocols = build_protocols(names)
    if args.video:
        case_set = open_sequences(args.data_path)
    else:
        case_set = open_case_set(
            args.data_path,
            read_names(args.names),
            any(protocol.original_size for protocol in protocols),
        )
    if args.names:
        case_set = replace(case_set, name=f"{case_set.name}-{args.names.stem}")
    print_origin(case_set, protocols)
    if args.predictions:
        sources = [SavedMaps(folder) for folder in args.predictions]
        thresholds = [args.threshold] * len(sources)
        for source in sources:
            source.check(case_set)
    else:
        thresholds = [read_threshold(args.threshold, path) for path in args.model_path]
        sources = [
            load_maps(path, args.view, args.tta, args.refine, not args.unverified)
            for path in args.model_path
        ]
    labels = [source.label for source in sources]
    if len(set(labels)) < len(labels):
        raise UserError(
            "the models' names must differ, as their results would be written to one "
            f"folder: {', '.join(labels)}"
        )
    folders = [claim_folder(args.out_dir, source, case_set) for source in sources]
    # Of several models each has another; what is compared must have one name.
    label = "auto" if len(sources) > 1 and args.threshold == "auto" else None
    scores = {}
    for source, threshold, folder in zip(sources, thresholds, folders, strict=True):
        save_to = args.save_maps
        if save_to and len(sources) > 1:
            save_to = save_to / source.label
        scores[source.label] = evaluate(
            source,
            case_set,
            build_protocols(names, threshold, label),
            folder,
            threshold,
            save_to,
            Video(args.fps, args.hold) if args.video else None,
        )
    if len(sources) > 1:
        write_comparison(args.out_dir, sources, case_set, scores, args.seeds)


def read_names(file: Path | None) -> list[str] | None:
    """Reads case names, one a line, each once, without endings; None without a file."""
    if file is None:
        return None
    try:
        names = list(dict.fromkeys(map(without_ending, read_lines(file))))
    except (OSError, ValueError):
        raise UserError(f"{file}: cannot be read as a list of names") from None
    if not names:
        raise UserError(f"{file}: names no case")
    return names


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
