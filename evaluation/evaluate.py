"""Evaluates one model on one test set, from its cases to a folder of results."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from tqdm import tqdm

from cli.files import replacing_files
from data.images import silent_codecs
from evaluation.cases import Case, CaseSet, MapSource
from evaluation.protocols.base import DEFAULT_THRESHOLD, Protocol
from evaluation.report.page import Gallery, write_report
from evaluation.report.qualitative import draw_qualitative, pick_ranked
from evaluation.report.results_folder import (
    trained_names,
    write_metrics,
    write_per_image,
    write_tables,
)
from evaluation.report.video_tables import write_video_frames
from evaluation.saved_maps import writing_maps
from evaluation.scoring import SetScores, score_cases
from evaluation.video.frames import FrameReader
from evaluation.video.scoring import Video, VideoScores


def evaluate(
    maps: MapSource,
    case_set: CaseSet,
    protocols: list[Protocol],
    folder: Path,
    threshold: float | None = None,
    save_maps_to: Path | None = None,
    video: Video | None = None,
) -> SetScores:
    """Scores a set, writes its results folder and prints its scores.

    Args:
        maps: the source of the cases' maps.
        case_set: the test set.
        protocols: the protocols to score by.
        folder: the results folder; see `results_folder.claim_folder`.
        threshold: of the per-image facts and the pictures; None: 0.5.
        save_maps_to: the folder to save the maps in as 8-bit PNGs; None: none.
        video: how to judge the set's sequences as video; None: only its images.

    Returns:
        The scores, which hold no images.
    """
    threshold = DEFAULT_THRESHOLD if threshold is None else threshold
    saving = writing_maps(save_maps_to) if save_maps_to else nullcontext()
    with saving as writer, replacing_files(folder) as partial:
        gallery = Gallery(partial, threshold)
        reader = FrameReader(threshold, video.hold or (1, 1)) if video else None

        def stream() -> Iterator[Case]:
            title = f"{maps.label} on {case_set.name}"
            cases = maps.cases(case_set)
            for case in tqdm(
                cases, title, len(case_set), leave=False, unit="image", disable=None
            ):
                gallery.add(case)
                if writer:
                    writer.add(case)
                if reader:
                    reader.add(case)
                yield case

        with silent_codecs():
            scores = score_cases(stream(), protocols, threshold)
        judged = None
        if video:
            trained = trained_names(maps, case_set)
            judged = VideoScores(
                reader.frames, video.fps, threshold, video.hold, trained
            )
            write_video_frames(partial, judged)
        metrics = write_metrics(partial, maps, case_set, scores, judged)
        write_per_image(partial, scores)
        dice = scores.column("dice")
        shown = pick_ranked(dice)
        draw_qualitative(
            list(maps.cases(case_set, shown)),
            [f"{kind}: Dice {dice[i]:.3f}" for i, kind in shown.items()],
            partial / "qualitative.png",
            f"{maps.label} on {case_set.name}: best, median and worst cases",
            threshold,
        )
        table = write_tables(partial, metrics, scores, judged)
        write_report(partial, metrics, scores, judged)
    print(f"\n{maps.label} on {case_set.name}, {len(scores)} images", end="")
    if maps.images_per_second:
        print(f", {maps.images_per_second:.1f} images/s after warm-up", end="")
    print(
        f"\n\n{table}\n\npictures: {folder / 'qualitative.png'}\n"
        f"report:   {folder / 'report.html'}"
    )
    return scores
