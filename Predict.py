"""Finds polyps in your own pictures and videos.

    python Predict.py --source photos/ --model_path runs/lgps/best.h5
    python Predict.py --source colonoscopy.mp4 --model_path best.xml --smooth 0.6
    python Predict.py --source 0 --model_path best.xml --show
    python Predict.py --source rtsp://10.0.0.5/endoscope --reconnect 30
    python Predict.py --source archive/ --model_path best.xml --resume --cluster local

Writes masks and overlays at the original size and predictions.csv (per frame: polyp
found, count, boxes, area, max probability, ms) into results/predictions/<source>. Of
many videos, each gets a folder there, and summary.csv has a row for each. The shipped
weights are exported once to a cache, and run in OpenVINO where that is installed.
When a source cannot be read to its end, the results so far are kept and the exit code
is 1. Not a medical device.
"""

import argparse
import re
from functools import partial
from pathlib import Path

from cli.command import UserError, command_parser, run_command
from cli.ranges import AT_LEAST_ONE, PROBABILITY, SHARE, hold, number
from evaluation.views import add_view_options
from models.shipped import SHIPPED_WEIGHTS, UNVERIFIED_HELP, add_model_path

RESULTS = Path(__file__).resolve().parent / "results" / "predictions"
SHOWN_PROBLEMS = 20  # of many sources; all of them are in summary.csv


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--source",
        required=True,
        help="image, folder, quoted glob, video file, camera (number or /dev/video0),"
        " stream (rtsp://, rtmp://, http://, https://), or a .txt file with one of"
        " these in each line",
    )
    parser.add_argument(
        "--reconnect",
        type=number(float),
        default=0.0,
        metavar="SECONDS",
        help="for cameras and streams: how long to try again after one breaks off;"
        " default: %(default)s, which ends the run",
    )
    add_model_path(parser, ".h5, or a file of Export.py")
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
    add_view_options(parser)
    parser.add_argument("--unverified", action="store_true", help=UNVERIFIED_HELP)
    parser.add_argument("--show", action="store_true", help="open a window; q ends")
    parser.add_argument(
        "--threads",
        type=number(int, AT_LEAST_ONE),
        help="of the network: of files, as many frames are computed at once; of cameras"
        " and streams, all work on the newest frame. Default: all cores, and all but"
        " one for cameras and streams; on a cluster 1, so that each core predicts a"
        " source",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="leave out the sources in --out_dir that are complete",
    )
    parser.add_argument(
        "--cluster",
        type=cluster_address,
        metavar="ADDRESS",
        help="predict many sources at a time with Ray: on all cores of this machine"
        " (local), or on the cluster whose head is at HOST:PORT",
    )
    return parser.parse_args(argv)


def cluster_address(text: str) -> str:
    """The argparse type of `--cluster`: "local", or HOST:PORT."""
    if text != "local" and not re.fullmatch(r"[^:/\s]+:[0-9]{1,5}", text):
        raise argparse.ArgumentTypeError(f"must be local or HOST:PORT, received {text}")
    return text


def check_flags(args: argparse.Namespace, is_video: bool, is_live: bool) -> None:
    """Refuses flags for which there is no source."""
    if args.reconnect and not is_live:
        raise UserError(
            "--reconnect is for cameras and streams; files do not break off"
        )
    for flag, value in (("--smooth", args.smooth), ("--hold", args.hold)):
        if value and not is_video:
            raise UserError(
                f"{flag} is for videos and cameras; pictures are independent"
            )


def main(args: argparse.Namespace) -> int:
    """Predicts; returns 1 when something could not be read."""
    from deploy.jobs import listed_sources
    from deploy.threads import leave_cores_to_stages

    leave_cores_to_stages()
    sources = listed_sources(args.source)
    if sources or args.resume or args.cluster:
        return predict_many(args, sources)
    return predict_one(args)


def predict_many(args: argparse.Namespace, sources: list[str]) -> int:
    """Predicts the sources, or the one of `--source` where none are listed."""
    from deploy.archive import one_by_one, predict_all
    from deploy.jobs import Options, make_job, make_jobs
    from deploy.sources import is_live, source_name

    if args.show:
        raise UserError("--show is for one source")
    out_dir = args.out_dir or RESULTS / source_name(args.source)
    jobs = make_jobs(sources, out_dir) if sources else [make_job(args.source, out_dir)]
    check_flags(
        args,
        is_video=any(not job.pictures for job in jobs),
        is_live=any(is_live(job.address) for job in jobs),
    )
    options = Options(
        model=runnable_model(args).absolute(),
        threads=args.threads or (1 if args.cluster else None),
        threshold=args.threshold,
        smooth=args.smooth,
        hold=args.hold or (1, 1),
        overlay=args.overlay,
        masks=not args.no_masks,
        view=args.view,
        tta=args.tta,
        reconnect=args.reconnect,
        verify=not args.unverified,
    )
    run = one_by_one
    if args.cluster:
        from deploy.cluster import run_on_cluster

        run = partial(run_on_cluster, address=args.cluster)
    rows = predict_all(jobs, options, out_dir, args.resume, run)
    failed = [row for row in rows if row.problems]
    print(
        f"{len(rows)} sources, {sum(row.frames for row in rows)} frames,"
        f" {sum(row.polyp_frames for row in rows)} with polyp"
    )
    print(f"written to {out_dir}; a row for each source is in summary.csv")
    for row in failed[:SHOWN_PROBLEMS]:
        print(f"problem: {row.source}: {'; '.join(row.problems)}")
    if len(failed) > SHOWN_PROBLEMS:
        print(f"problem: {len(failed) - SHOWN_PROBLEMS} more sources, see summary.csv")
    return 1 if failed else 0


def runnable_model(args: argparse.Namespace) -> Path:
    """The model file: for the shipped weights, their export in the cache."""
    from deploy.export_cache import cached_export

    is_shipped = args.model_path in SHIPPED_WEIGHTS.values()
    # The other machines of a cluster do not see the cache of this one.
    if is_shipped and not args.unverified and args.cluster in (None, "local"):
        return cached_export(args.model_path)
    return args.model_path


def predict_one(args: argparse.Namespace) -> int:
    """Predicts one source, which may be shown meanwhile."""
    from deploy.predict import has_display, predict
    from deploy.runtimes import threads_and_frames
    from deploy.segmenter import load_segmenter
    from deploy.sources import open_source

    source = open_source(args.source, args.reconnect)
    check_flags(args, source.is_video, source.is_live)
    show = args.show and has_display()
    if args.show and not show:
        print("no display here; --show is ignored")
    threads, at_once = threads_and_frames(source.is_live, args.threads)
    segmenter = load_segmenter(
        runnable_model(args),
        args.threshold,
        args.smooth,
        source.is_video,
        threads,
        args.view,
        verify=not args.unverified,
        at_once=at_once,
        tta=args.tta,
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
