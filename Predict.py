"""Finds polyps in your own pictures and videos.

    python Predict.py --source photos/ --model_path runs/lgps/best.h5
    python Predict.py --source colonoscopy.mp4 --model_path best.xml --smooth 0.6
    python Predict.py --source 0 --model_path best.xml --show
    python Predict.py --source rtsp://10.0.0.5/endoscope --reconnect 30

Writes masks and overlays at the original size and predictions.csv (per frame: polyp
found, count, boxes, area, max probability, ms) into results/predictions/<source>.
When a source cannot be read to its end, the results so far are kept and the exit code
is 1. Not a medical device.
"""

import argparse
from pathlib import Path

from cli.command import UserError, command_parser, run_command
from cli.ranges import AT_LEAST_ONE, PROBABILITY, SHARE, hold, number
from evaluation.views import DEFAULT_VIEW, VIEWS
from models.shipped import SHIPPED_WEIGHTS, UNVERIFIED_HELP, model_path

RESULTS = Path(__file__).resolve().parent / "results" / "predictions"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--source",
        required=True,
        help="image, folder, quoted glob, video file, camera (number or /dev/video0) or"
        " stream (rtsp://, rtmp://, http://, https://)",
    )
    parser.add_argument(
        "--reconnect",
        type=number(float),
        default=0.0,
        metavar="SECONDS",
        help="for cameras and streams: how long to try again after one breaks off;"
        " default: %(default)s, which ends the run",
    )
    parser.add_argument(
        "--model_path",
        type=model_path,
        default="lgps",
        help=".h5, or a file of Export.py; default lgps, the shipped weights, which are"
        " exported once to a cache and run in OpenVINO where that is installed",
    )
    parser.add_argument("--out_dir", type=Path, help=f"default: {RESULTS}/<source>")
    parser.add_argument(
        "--threshold",
        type=number(float, PROBABILITY),
        default=0.5,
        help="probability above which a pixel is polyp; default: %(default)s",
    )
    parser.add_argument(
        "--smooth",
        type=number(float, SHARE),
        default=0.0,
        help="for videos: share of the frames before in the probability, at least 0 and"
        " below 1; starts anew at scene cuts; default: %(default)s",
    )
    parser.add_argument(
        "--hold",
        type=hold,
        metavar="N/M",
        help="for videos: report and outline a polyp only when it was seen in N of the"
        " last M frames; default: in the frame itself",
    )
    parser.add_argument(
        "--overlay",
        choices=("heatmap", "contour", "none"),
        default="heatmap",
        help="what is drawn: outline and probabilities, the outline only, or nothing,"
        " and then no overlays are written; default: %(default)s",
    )
    parser.add_argument(
        "--no_masks",
        action="store_true",
        help="write no masks; with --overlay none only predictions.csv is written",
    )
    parser.add_argument(
        "--view",
        choices=VIEWS,
        default=DEFAULT_VIEW,
        help="what the network is shown: the whole frame, or the frame cropped to the "
        "scope's view; default: %(default)s, as in Test.py",
    )
    parser.add_argument("--unverified", action="store_true", help=UNVERIFIED_HELP)
    parser.add_argument("--show", action="store_true", help="open a window; q ends")
    parser.add_argument(
        "--threads",
        type=number(int, AT_LEAST_ONE),
        help="of the model; default: all cores but one, which reads, draws and writes",
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    """Predicts; returns 1 when something could not be read."""
    from deploy.export_cache import cached_export
    from deploy.predict import has_display, predict
    from deploy.runtimes import available_cores
    from deploy.segmenter import load_segmenter
    from deploy.sources import open_source
    from deploy.threads import leave_cores_to_stages

    leave_cores_to_stages()
    source = open_source(args.source, args.reconnect)
    if args.reconnect and not source.is_live:
        raise UserError(
            "--reconnect is for cameras and streams; files do not break off"
        )
    for flag, value in (("--smooth", args.smooth), ("--hold", args.hold)):
        if value and not source.is_video:
            raise UserError(
                f"{flag} is for videos and cameras; pictures are independent"
            )
    show = args.show and has_display()
    if args.show and not show:
        print("no display here; --show is ignored")
    threads = args.threads or max(1, available_cores() - 1)
    model = args.model_path
    if model in SHIPPED_WEIGHTS.values() and not args.unverified:
        model = cached_export(model)
    segmenter = load_segmenter(
        model,
        args.threshold,
        args.smooth,
        source.is_video,
        threads,
        args.view,
        verify=not args.unverified,
    )
    out_dir = args.out_dir or RESULTS / source.name
    summary = predict(
        source,
        segmenter,
        out_dir,
        show,
        args.overlay,
        args.hold or (1, 1),
        masks=not args.no_masks,
    )
    print(summary)
    print(f"written to {out_dir}")
    for problem in summary.problems:
        print(f"problem: {problem}")
    return 1 if summary.problems or not summary.frames else 0


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
