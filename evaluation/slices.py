"""Where a model fails: scores by polyp size, centre, position and number of polyps."""

from collections.abc import Iterator

import numpy as np

from evaluation.scoring import SetScores
from evaluation.statistics import INTERVAL, cluster_weights
from metrics.calibration import expected_calibration_error

# PolypGen's bins: area in pixels at original size, up to and including.
SIZE_BINS = {"small": 100**2, "medium": 200**2, "large": np.inf}
SIZE_TITLES = {
    "small": "small (≤ 100² px)",
    "medium": "medium (≤ 200² px)",
    "large": "large (> 200² px)",
}


def size_bin(polyp_pixels: float) -> str:
    """ "none", "small", "medium" or "large"; "" where the size is unknown."""
    if np.isnan(polyp_pixels):
        return ""
    if polyp_pixels == 0:
        return "none"
    return next(name for name, most in SIZE_BINS.items() if polyp_pixels <= most)


def slice_scores(scores: SetScores) -> list[dict]:
    """Scores each slice of a set that has cases.

    Returns:
        One dict per slice: `by`, `slice`, `images`, per-image means `dice`, `iou`,
        `hd95` with the 95 % interval of Dice, `polyps`, `lesion_recall` (None without
        polyps) and `false_positives` (regions per image).
    """
    return [
        {"by": by, "slice": name, **_score_slice(scores, np.flatnonzero(chosen))}
        for by, name, chosen in _slices(scores)
        if chosen.any()
    ]


def _slices(scores: SetScores) -> Iterator[tuple[str, str, np.ndarray]]:
    polyps = scores.column("polyps")
    yield "all", "all images", np.ones(len(scores), bool)
    bins = np.array([size_bin(area) for area in scores.column("polyp_pixels")])
    for name, title in SIZE_TITLES.items():
        yield "size", title, bins == name
    centres = scores.column("centre")
    for centre in sorted(set(centres) - {""}):
        yield "centre", centre, centres == centre
    border = scores.column("touches_border")
    yield "position", "touches the image border", border
    yield "position", "inside the image", ~border & (polyps > 0)
    yield "polyps", "no polyp", polyps == 0
    yield "polyps", "one polyp", polyps == 1
    yield "polyps", "several polyps", polyps > 1


def _score_slice(scores: SetScores, chosen: np.ndarray) -> dict:
    dice = scores.column("dice")[chosen]
    samples = cluster_weights(scores.column("group")[chosen]) @ dice
    polyps = int(scores.column("polyps")[chosen].sum())
    found = int(scores.column("polyps_found")[chosen].sum())
    return {
        "images": len(chosen),
        "dice": float(dice.mean()),
        "dice_interval": np.percentile(samples, INTERVAL).tolist(),
        "iou": float(scores.column("iou")[chosen].mean()),
        "hd95": float(scores.column("hd95")[chosen].mean()),
        "polyps": polyps,
        "lesion_recall": found / polyps if polyps else None,
        "false_positives": float(scores.column("false_positives")[chosen].mean()),
    }


def frame_findings(scores: SetScores) -> dict[str, float | int | None]:
    """What a user of the whole system would notice.

    Returns:
        `empty_frames`; `specificity`, the share of them left without any predicted
        pixel (None without such frames); `lesion_recall`; `false_positives_per_image`;
        `ece`, the expected calibration error over all pixels.
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
