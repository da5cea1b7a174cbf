"""Writes `report.html`, a page with all scores and all cases that opens from disk.

Text, plots and case data are inside the page. The pictures of the cases are files in
`cases/` beside it; the browser loads each when it scrolls into view.
"""

import html
import json
from pathlib import Path
from string import Template

import cv2
import numpy as np

from cli.command import UserError
from cli.files import replacing, write_text
from evaluation.cases import Case
from evaluation.report.anchors import find_anchors
from evaluation.report.panels import draw_panels
from evaluation.report.plots import (
    plot_calibration,
    plot_dice_histogram,
    plot_slices,
    plot_sweep,
)
from evaluation.report.tables import format_interval, format_score, format_share
from evaluation.report.video_page import video_section
from evaluation.scoring import SetScores
from evaluation.video.scoring import VideoScores
from metrics.polyp_size import NO_POLYP, SIZE_BINS, size_bin

ASSETS = Path(__file__).parent / "assets"
PICTURES = "cases"
GALLERY_PANELS = ("image", "truth", "prediction", "heatmap")
PANEL_SIZE = 320  # pixels
JPEG_QUALITY = 82
PUBLISHED_LEGEND = (
    '<p class="legend">The published rows are printed in the papers; they are of the '
    "papers' own training and test images.</p>"
)
CASE_FACTS = (
    "name",
    "group",
    "centre",
    "dice",
    "iou",
    "recall",
    "precision",
    "hd95",
    "polyps",
    "polyps_found",
    "false_positives",
)


class Gallery:
    """Writes one picture per case beside the report, in the order of the cases.

    Args:
        folder: the report's folder.
        threshold: probabilities above it are predicted to be polyp.
    """

    def __init__(self, folder: Path, threshold: float):
        self.folder = folder / PICTURES
        self.threshold = threshold
        self.count = 0
        self.folder.mkdir(exist_ok=True)

    def add(self, case: Case) -> None:
        """Draws a case's image, truth, prediction and heatmap side by side."""
        panels = draw_panels(
            case.image, case.truth, case.probability, PANEL_SIZE, self.threshold
        )
        strip = np.concatenate([panels[name] for name in GALLERY_PANELS], axis=1)
        file = self.folder / picture_name(self.count)
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        with replacing(file) as partial:
            bgr = cv2.cvtColor(strip, cv2.COLOR_RGB2BGR)
            if not cv2.imwrite(str(partial), bgr, quality):
                raise UserError(f"{file}: could not be written")
        self.count += 1


def picture_name(index: int) -> str:
    """Names the file of a case's picture by number, as case names may be unsafe."""
    return f"{index:05d}.jpg"


def write_report(
    folder: Path, metrics: dict, scores: SetScores, video: VideoScores | None = None
) -> None:
    """Writes the page.

    Args:
        folder: the results folder, with the gallery's pictures.
        metrics: the content of `metrics.json`.
        scores: the scored set.
        video: the scores of its sequences, if it was judged as video.
    """
    title = f"{metrics['model']} on {metrics['dataset']}"
    page = Template((ASSETS / "report.html").read_text(encoding="utf-8"))
    plots = {
        "Slices": plot_slices(metrics["slices"]),
        "Threshold sweep": plot_sweep(scores),
        "Calibration of the pixels": plot_calibration(scores),
        "Distribution": plot_dice_histogram(scores),
    }
    has_published = any(
        find_anchors(metrics["dataset"], protocol) for protocol in metrics["protocols"]
    )
    text = page.substitute(
        title=html.escape(title),
        style=(ASSETS / "report.css").read_text(encoding="utf-8"),
        script=(ASSETS / "report.js").read_text(encoding="utf-8"),
        summary=html.escape(_summary(metrics)),
        headline="\n".join(
            _protocol_table(metrics, name) for name in metrics["protocols"]
        ),
        legend=PUBLISHED_LEGEND if has_published else "",
        findings=_findings(metrics["findings"]),
        video=video_section(video, _pictures(scores)) if video else "",
        plots="\n".join(
            f"<figure><figcaption>{name}</figcaption>{svg}</figure>"
            for name, svg in plots.items()
        ),
        sizes=" ".join([NO_POLYP, *SIZE_BINS]),
        cases=_case_data(scores),
    )
    write_text(folder / "report.html", text)


def _summary(metrics: dict) -> str:
    parts = [f"{metrics['images']} images"]
    if metrics["groups"] < metrics["images"]:
        parts.append(f"{metrics['groups']} groups (sequences or patients)")
    if metrics["images_per_second"]:
        parts.append(f"{metrics['images_per_second']:.1f} images/s after warm-up")
    parts.append(
        "intervals: 95 %, bootstrap over "
        + ("groups" if metrics["groups"] < metrics["images"] else "images")
    )
    if metrics["note"]:
        parts.append(metrics["note"])
    return " · ".join(parts)


def _protocol_table(metrics: dict, protocol: str) -> str:
    """Builds the table of one protocol: scores, their intervals, published scores."""
    scores, ends = metrics["protocols"][protocol], metrics["intervals"][protocol]
    rows = [
        ("model", metrics["model"], {n: format_score(n, v) for n, v in scores.items()}),
        ("interval", "95 %", {n: format_interval(n, ends[n]) for n in scores}),
    ]
    rows += [
        (
            "published",
            f"{anchor.model}, published",
            {n: format_score(n, v) for n, v in anchor.scores.items()},
        )
        for anchor in find_anchors(metrics["dataset"], protocol)
    ]
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in scores)
    body = "".join(
        f'<tr class="{kind}"><th scope="row">{html.escape(label)}</th>'
        + "".join(f"<td>{cells.get(name, '')}</td>" for name in scores)
        + "</tr>"
        for kind, label, cells in rows
    )
    return (
        f'<section class="protocol"><h3>{html.escape(protocol)}</h3>'
        f'<p>{html.escape(metrics["rules"][protocol])}</p><div class="scroll">'
        f"<table><tr><td></td>{head}</tr>{body}</table></div></section>"
    )


def _findings(findings: dict) -> str:
    lines = {
        "Polyps found": format_share(findings["lesion_recall"]),
        "False positives per image": f"{findings['false_positives_per_image']:.2f}",
        f"Specificity on {findings['empty_frames']} empty frames": format_share(
            findings["specificity"]
        ),
        "Expected calibration error": f"{findings['ece']:.4f}",
    }
    return "".join(
        f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in lines.items()
    )


def _pictures(scores: SetScores) -> list[str]:
    """Paths of the cases' pictures beside the page."""
    return [f"{PICTURES}/{picture_name(index)}" for index in range(len(scores))]


def _case_data(scores: SetScores) -> str:
    """Encodes the cases as JSON that is safe inside a script element."""
    cases = [
        {
            **{key: case[key] for key in CASE_FACTS},
            "size": size_bin(case["polyp_pixels"]),
            "area": None
            if np.isnan(case["polyp_pixels"])
            else round(case["polyp_pixels"]),
            "picture": picture,
        }
        for case, picture in zip(scores.cases, _pictures(scores), strict=True)
    ]
    return json.dumps(cases).replace("<", "\\u003c")
