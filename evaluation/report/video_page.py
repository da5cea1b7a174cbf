"""The section of `report.html` on videos: a timeline for each sequence, the curve."""

import html
import re
from itertools import groupby

import numpy as np

from evaluation.report.plots import plot_free_response
from evaluation.report.video_tables import (
    format_score,
    format_value,
    ratio,
    score_columns,
)
from evaluation.report.video_text import explanations, training_facts
from evaluation.video.frames import IOU_LIMITS, Frame
from evaluation.video.scoring import Score, VideoScores
from evaluation.video.sequences import DICE, Rule, mask_ratios

WIDTH, BAND, GAP, PLOT = 1000, 12, 4, 46  # of a timeline, in units of its own
LOOSE, STRICT = (Rule(limit) for limit in IOU_LIMITS)
JUDGEMENTS = {
    "strict": f"detected, {STRICT}",
    "loose": f"detected, {LOOSE} only",
    "missed": "missed",
}


def video_section(scores: VideoScores, pictures: list[str]) -> str:
    """Builds the section.

    Args:
        scores: the scored videos.
        pictures: path of each frame's picture beside the page, in the order of
            `scores.frames`.
    """
    names = [frame.name for frame in scores.frames]
    picture_of = dict(zip(names, pictures, strict=True))
    timelines = "\n".join(
        _sequence(name, scores, picture_of) for name in scores.worst_first()
    )
    tables = "".join(_table(*table) for table in score_columns(scores))
    facts = training_facts(scores) if scores.trained else ""
    return f"""<h2>Video</h2>
<p class="legend">{len(scores.sequences)} sequences at {scores.fps:g} frames/s.</p>
<section class="protocol">{tables}<p>{facts}</p>
<details><summary>What the scores mean</summary><ul>{_explained(scores)}</ul></details>
</section>
<div class="plots"><figure><figcaption>Free-response curve, at
256×256</figcaption>
{plot_free_response(scores)}</figure></div>
<h3>Sequences, the worst first</h3>
<p class="legend">A click on a sequence shows its frames, a click on a frame its
picture. Upper band: <i class="truth"></i> the truth shows a polyp. Lower band:
<i class="strict"></i> detected with IoU &gt; 0.5, <i class="loose"></i> with IoU &gt; 0
only, <i class="missed"></i> missed, <i class="alarm"></i> a region that touches no
polyp. Line: Dice of the frame, from 0 to 1.</p>
{timelines}"""


def _explained(scores: VideoScores) -> str:
    lines = map(html.escape, explanations(scores))
    bold = (re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", line) for line in lines)
    return "".join(f"<li>{line}</li>" for line in bold)


def _table(title: str, columns: dict[str, dict[str, Score]]) -> str:
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    rows = "".join(
        f'<tr><th scope="row">{name}</th>'
        + "".join(
            f"<td>{format_score(name, table[name])}</td>" for table in columns.values()
        )
        + "</tr>"
        for name in next(iter(columns.values()))
    )
    table = f'<table><tr><th scope="col">{title}</th>{head}</tr>{rows}</table>'
    return f'<div class="scroll">{table}</div>'


def _sequence(name: str, scores: VideoScores, picture_of: dict[str, str]) -> str:
    frames = scores.sequences[name]
    right = sum(map(STRICT.is_right, frames)) / len(frames)
    dice = format_value(DICE, ratio(mask_ratios(frames)[DICE]))
    facts = [
        f"{len(frames)} frames, {len(frames) / scores.fps:.2f} s",
        f"right by {STRICT}: {format_value('', right)}",
        f"Dice {dice}",
    ]
    if scores.trained:
        trained = sum(frame.name in scores.trained for frame in frames)
        facts.append(f"trained on {trained} of the frames")
    cards = "".join(
        f'<a href="{picture_of[frame.name]}" target="_blank">'
        f'<img loading="lazy" src="{picture_of[frame.name]}" alt="image, truth, '
        f'prediction and heatmap of {html.escape(frame.name)}">'
        f"<span>{n / scores.fps:.2f} s · {html.escape(frame.name)} · "
        f"{html.escape(_judgement(frame))}</span></a>"
        for n, frame in enumerate(frames)
    )
    return (
        f'<details class="sequence"><summary><b>{html.escape(name)}</b> '
        f"{html.escape(' · '.join(facts))}"
        f"{timeline(frames)}</summary><div>{cards}</div></details>"
    )


def _judgement(frame: Frame) -> str:
    false = LOOSE.false_regions(frame)
    parts = []
    if frame.polyps:
        parts += [JUDGEMENTS[_detection(frame)], f"Dice {frame.dice:.3f}"]
    if false:
        parts.append(f"{false} false region{'s' if false > 1 else ''}")
    return ", ".join(parts) or "nothing predicted"


def _detection(frame: Frame) -> str:
    """Returns the class of a frame in the detection band; "" where it has none."""
    if not frame.polyps:
        return ""
    if STRICT.detects(frame):
        return "strict"
    return "loose" if LOOSE.detects(frame) else "missed"


def timeline(frames: list[Frame]) -> str:
    """Draws a sequence as an SVG element: truth, detection, false alarms and Dice."""
    step = WIDTH / len(frames)
    rows = [
        ["truth" if frame.polyps else "" for frame in frames],
        [_detection(frame) for frame in frames],
        ["alarm" if LOOSE.false_regions(frame) else "" for frame in frames],
    ]
    tops = (0, BAND + GAP, 2 * (BAND + GAP))
    shapes = []
    for top, row, height in zip(tops, rows, (BAND, BAND, BAND // 2), strict=True):
        place = 0
        for kind, run in groupby(row):
            length = len(list(run))
            if kind:
                shapes.append(
                    f'<rect class="{kind}" x="{place * step:.1f}" y="{top}" '
                    f'width="{length * step:.1f}" height="{height}"/>'
                )
            place += length
    base = tops[-1] + BAND // 2 + GAP
    dice = np.array([frame.dice for frame in frames])
    for is_known, run in groupby(range(len(frames)), lambda n: not np.isnan(dice[n])):
        if is_known:
            points = " ".join(
                f"{(n + 0.5) * step:.1f},{base + PLOT * (1 - dice[n]):.1f}" for n in run
            )
            shapes.append(f'<polyline points="{points}"/>')
    return (
        f'<svg class="timeline" viewBox="0 0 {WIDTH} {base + PLOT}" '
        f'preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="ground" y="{base}" width="{WIDTH}" height="{PLOT}"/>'
        f"{''.join(shapes)}</svg>"
    )
