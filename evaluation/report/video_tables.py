"""Writes the scores of videos as tables: Markdown, JSON and one CSV row a frame."""

import csv
import math
from pathlib import Path

from cli.files import replacing
from evaluation.report.tables import markdown_table
from evaluation.report.video_text import explanations, training_facts
from evaluation.video.frames import IOU_LIMITS, THRESHOLDS
from evaluation.video.scoring import Score, VideoScores
from evaluation.video.sequences import (
    ALARMS,
    CONSISTENCY,
    DEFINITIONS,
    DELAY,
    DICE,
    TRUTH_CONSISTENCY,
    Rule,
    mask_ratios,
    sequence_ratios,
)

SHARES_OF_ONE = {DICE, CONSISTENCY, TRUTH_CONSISTENCY}


def format_value(name: str, value: float | None) -> str:
    """Formats a score: shares in per cent, rates and seconds with two digits."""
    if value is None:
        return "–"
    if name in SHARES_OF_ONE:
        return f"{value:.3f}"
    if name == DELAY or name.startswith(ALARMS.split(",")[0]):
        return f"{value:.2f}"
    return f"{100 * value:.1f} %"


def format_score(name: str, score: Score) -> str:
    """Formats a score with its interval, such as "96.1 % (92.0–99.1)"."""
    text = format_value(name, score.value)
    if score.interval is None:
        return text
    ends = (format_value(name, end).removesuffix(" %") for end in score.interval)
    return f"{text} ({'–'.join(ends)})"


def video_tables(scores: VideoScores) -> str:
    """Formats all tables, their definitions and what limits them, in Markdown."""
    parts = [
        f"Video: {len(scores.sequences)} sequences, {len(scores.frames)} frames at "
        f"{scores.fps:g} frames/s, threshold {scores.threshold:g}.",
        *(_markdown(title, columns) for title, columns in score_columns(scores)),
        *([training_facts(scores)] if scores.trained else []),
        "\n".join(f"- {line}" for line in explanations(scores)),
        sequences_table(scores),
    ]
    return "\n\n".join(parts)


def score_columns(scores: VideoScores) -> list[tuple[str, dict[str, dict[str, Score]]]]:
    """Collects the tables of all sequences: title, and column → score's name → score.

    They are the detections by each rule, the masks, and, where it is known what the
    model was trained on, the other frames alone.
    """
    tables = [
        ("video", {str(rule): scores.table(rule) for rule in scores.rules}),
        ("masks", {"value": scores.mask_table()}),
    ]
    if scores.unseen_known:
        rules = [rule for rule in scores.rules if not rule.hold]
        columns = {str(rule): scores.unseen_table(rule) for rule in rules}
        tables.append(("frames not trained on", columns))
    return tables


def _markdown(title: str, columns: dict[str, dict[str, Score]]) -> str:
    rows = [
        [name, *(format_score(name, table[name]) for table in columns.values())]
        for name in next(iter(columns.values()))
    ]
    return markdown_table([title, *columns], rows)


def sequences_table(scores: VideoScores) -> str:
    """Formats one row a sequence, the worst first."""
    rules = [Rule(limit) for limit in IOU_LIMITS]
    head = ["sequence", "frames"]
    if scores.trained:
        head.append("trained on")
    head += ["with polyp"]
    head += [f"right, {rule}" for rule in rules]
    head += ["first detection, s", "false regions", DICE, CONSISTENCY]
    rows = []
    for name in scores.worst_first():
        frames = scores.sequences[name]
        masks = mask_ratios(frames)
        ratios = sequence_ratios(frames, scores.fps, rules[0])
        row = [name, str(len(frames))]
        if scores.trained:
            row.append(str(sum(frame.name in scores.trained for frame in frames)))
        row.append(str(sum(frame.polyps > 0 for frame in frames)))
        for rule in rules:
            right = sum(map(rule.is_right, frames)) / len(frames)
            row.append(format_value("right", right))
        row += [
            format_value(DELAY, ratio(ratios[DELAY])),
            str(int(ratios[ALARMS][0])),
            format_value(DICE, ratio(masks[DICE])),
            format_value(CONSISTENCY, ratio(masks[CONSISTENCY])),
        ]
        rows.append(row)
    return (
        f"{markdown_table(head, rows)}\n\n"
        "The worst sequences first. A frame is right where its polyp is detected, or "
        "where it shows none and nothing is predicted."
    )


def ratio(pair: tuple[float, float]) -> float | None:
    """Divides; None where there is nothing to count."""
    return pair[0] / pair[1] if pair[1] else None


def video_metrics(scores: VideoScores) -> dict:
    """Collects all numbers for `metrics.json`, unrounded."""
    curve = scores.free_response()

    def plain(table: dict[str, Score]) -> dict:
        return {
            name: {"value": score.value, "interval": score.interval}
            for name, score in table.items()
        }

    content = {
        "fps": scores.fps,
        "hold": scores.hold,
        "threshold": scores.threshold,
        "definitions": DEFINITIONS,
        "detection": {str(rule): plain(scores.table(rule)) for rule in scores.rules},
        "masks": plain(scores.mask_table()),
        "free_response": {
            "thresholds": THRESHOLDS,
            **{
                f"IoU > {limit:g}": {
                    "sensitivity": [
                        None if math.isnan(value) else value
                        for value in curve[:, n, 0].tolist()
                    ],
                    "false_alarms_per_frame": curve[:, n, 1].tolist(),
                }
                for n, limit in enumerate(IOU_LIMITS)
            },
        },
        "sequences": {
            name: {
                "frames": len(frames),
                **{
                    str(rule): {
                        score: ratio(pair)
                        for score, pair in sequence_ratios(
                            frames, scores.fps, rule
                        ).items()
                    }
                    for rule in scores.rules
                },
                "masks": {
                    score: ratio(pair) for score, pair in mask_ratios(frames).items()
                },
            }
            for name, frames in scores.sequences.items()
        },
    }
    if scores.unseen_known:
        content["not_trained_on"] = {
            str(rule): plain(scores.unseen_table(rule)) for rule in scores.rules
        }
    return content


def write_video_frames(folder: Path, scores: VideoScores) -> None:
    """Writes `video_frames.csv`, one row a frame, in the order of the frames."""
    head = ["sequence", "frame", "seconds", "polyps", "ious", "held", "dice"]
    head += ["iou_before", "truth_iou_before", "trained_on"]
    with (
        replacing(folder / "video_frames.csv") as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(head)
        for name, frames in scores.sequences.items():
            for n, frame in enumerate(frames):
                numbers = (frame.dice, frame.iou_before, frame.truth_iou_before)
                writer.writerow(
                    [
                        name,
                        frame.name,
                        f"{n / scores.fps:.3f}",
                        frame.polyps,
                        ";".join(f"{iou:.4f}" for iou in frame.ious),
                        ";".join(str(int(held)) for held in frame.held),
                        *("" if math.isnan(x) else f"{x:.4f}" for x in numbers),
                        int(frame.name in scores.trained),
                    ]
                )
