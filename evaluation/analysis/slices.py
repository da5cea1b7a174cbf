"""Scores of parts of a set: by polyp size, centre, position and number of polyps."""

from collections.abc import Iterator

import numpy as np

from evaluation.analysis.statistics import cluster_weights, interval
from evaluation.scoring import SetScores
from metrics.calibration import expected_calibration_error
from metrics.polyp_size import SIZE_BINS, size_bin


def _size_title(name: str) -> str:
    """Names a size bin with its limit, such as "small (≤ 100² px)"."""
    if np.isfinite(SIZE_BINS[name]):
        return f"{name} (≤ {np.sqrt(SIZE_BINS[name]):g}² px)"
    return f"{name} (> {np.sqrt(SIZE_BINS['medium']):g}² px)"


def slice_scores(scores: SetScores) -> list[dict]:
    """Scores each slice of a set that holds any cases.

    Returns:
        One dict per slice: `by`, `slice`, `images`, per-image means `dice`, `iou`,
        `hd95` with the 95 % interval of Dice, `polyps`, `lesion_recall` (None without
        polyps) and `false_positives` (regions per image).

        A size holds the images whose polyps have that area together. Its `polyps` are
        the single polyps of that area, in whatever image.
    """
    return [
        {"by": by, "slice": name, **_score_slice(scores, np.flatnonzero(chosen), size)}
        for by, name, chosen, size in _slices(scores)
        if chosen.any()
    ]


def _slices(scores: SetScores) -> Iterator[tuple[str, str, np.ndarray, str | None]]:
    """Yields what a slice is by, its name, the images in it, and its size of polyp."""
    polyps = scores.column("polyps")
    yield "all", "all images", np.ones(len(scores), bool), None
    bins = np.array([size_bin(area) for area in scores.column("polyp_pixels")])
    for name in SIZE_BINS:
        yield "size", _size_title(name), bins == name, name
    centres = scores.column("centre")
    for centre in sorted(set(centres) - {""}):
        yield "centre", centre, centres == centre, None
    border = scores.column("touches_border")
    yield "position", "touches the image border", border, None
    yield "position", "inside the image", ~border & (polyps > 0), None
    yield "polyps", "no polyp", polyps == 0, None
    yield "polyps", "one polyp", polyps == 1, None
    yield "polyps", "several polyps", polyps > 1, None


def _score_slice(scores: SetScores, chosen: np.ndarray, size: str | None) -> dict:
    dice = scores.column("dice")[chosen]
    groups = scores.column("group")[chosen]
    if size:
        polyps = int(scores.column(f"{size}_polyps").sum())
        found = int(scores.column(f"{size}_polyps_found").sum())
    else:
        polyps = int(scores.column("polyps")[chosen].sum())
        found = int(scores.column("polyps_found")[chosen].sum())
    return {
        "images": len(chosen),
        "dice": float(dice.mean()),
        "dice_interval": interval(cluster_weights(groups) @ dice, groups),
        "iou": float(scores.column("iou")[chosen].mean()),
        "hd95": float(scores.column("hd95")[chosen].mean()),
        "polyps": polyps,
        "lesion_recall": found / polyps if polyps else None,
        "false_positives": float(scores.column("false_positives")[chosen].mean()),
    }


def frame_findings(scores: SetScores) -> dict[str, float | int | None]:
    """Measures a set frame by frame and polyp by polyp, and its calibration.

    Returns:
        `empty_frames`, the number of frames without a polyp; `specificity`, the share
        of them without any predicted pixel (None without such frames);
        `lesion_recall`, the share of polyps that were found (None without polyps);
        `false_positives_per_image`; `ece`, the expected calibration error over all
        pixels.
    """
    empty = scores.column("polyps") == 0
    silent = scores.column("predicted_pixels")[empty] == 0
    polyps = scores.column("polyps").sum()
    return {
        "empty_frames": int(empty.sum()),
        "specificity": float(silent.mean()) if len(silent) else None,
        "lesion_recall": float(scores.column("polyps_found").sum() / polyps)
        if polyps
        else None,
        "false_positives_per_image": float(scores.column("false_positives").mean()),
        "ece": expected_calibration_error(scores.calibration),
    }
