"""Draws the result of a frame onto it: outline, area and, if wanted, a heatmap."""

import cv2
import numpy as np

from deploy.segment import Finding
from evaluation.report.panels import HEATMAP, PREDICTION_COLOUR

HEAT_FROM = 0.25  # fainter probabilities are not painted
HEAT_RISE = 0.25  # from there to full strength
HEAT_STRENGTH = 0.4
# Probabilities as the heatmap rounds them, (256, 1): OpenCV 4 takes an array of one
# dimension for a column, OpenCV 5 for a row.
LEVELS = np.arange(256, dtype=np.uint8)[:, None]
_WEIGHTS = HEAT_STRENGTH * np.clip((LEVELS / 255 - HEAT_FROM) / HEAT_RISE, 0, 1)
_COLOURS = cv2.applyColorMap(LEVELS, HEATMAP)[..., ::-1]  # (256, 1, 3)
# What a level adds to a pixel, RGB, and what it leaves of it, both 0-255.
HEAT_ADDED = np.round(_WEIGHTS[..., None] * _COLOURS).astype(np.uint8)
HEAT_KEPT = np.round(255 * (1 - _WEIGHTS)).astype(np.uint8)


def draw_overlay(
    frame: np.ndarray, finding: Finding, heatmap: bool = True
) -> np.ndarray:
    """Returns a copy of a frame with outline, number and area of what was found.

    The pixels outside what is drawn stay as they are in the frame.

    Args:
        frame: `(H, W, 3)` uint8 RGB.
        finding: its result, of the same size.
        heatmap: whether the probabilities are painted too.

    Returns:
        `(H, W, 3)` uint8 RGB.
    """
    picture = frame.copy()
    if heatmap:
        box = cv2.boundingRect((finding.probability > HEAT_FROM).view(np.uint8))
        _paint_heat(picture, finding.probability, box)
    if finding.boxes:
        thickness = max(1, round(max(frame.shape[:2]) / 320))
        contours = _outlines(finding)
        cv2.drawContours(picture, contours, -1, PREDICTION_COLOUR, thickness)
        scale = max(frame.shape[:2]) / 1000
        for colour, width in (((0, 0, 0), 3 * thickness), ((255, 255, 255), thickness)):
            cv2.putText(
                picture,
                f"{len(finding.boxes)} found, {finding.area_percent:.1f} %",
                (round(12 * scale), round(32 * scale)),
                cv2.FONT_HERSHEY_SIMPLEX,
                scale,
                colour,
                width,
            )
    return picture


def _outlines(finding: Finding) -> list[np.ndarray]:
    """The outlines of the polyps; specks that are too small for a box have none."""
    boxes = np.array(finding.boxes)
    left, top = boxes[:, :2].min(axis=0)
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    contours, _ = cv2.findContours(
        finding.mask[top:bottom, left:right],
        cv2.RETR_EXTERNAL,
        cv2.CHAIN_APPROX_SIMPLE,
        offset=(int(left), int(top)),
    )
    return [c for c in contours if cv2.boundingRect(c) in finding.boxes]


def _paint_heat(
    picture: np.ndarray, probability: np.ndarray, box: tuple[int, int, int, int]
) -> None:
    """Blends the heatmap into a picture, in place, inside a box (x, y, w, h) only."""
    x, y, width, height = box
    if not width:
        return
    area = slice(y, y + height), slice(x, x + width)
    levels = cv2.convertScaleAbs(probability[area], alpha=255)
    share = cv2.cvtColor(cv2.LUT(levels, HEAT_KEPT), cv2.COLOR_GRAY2RGB)
    kept = cv2.multiply(picture[area], share, scale=1 / 255)
    picture[area] = cv2.add(kept, cv2.applyColorMap(levels, HEAT_ADDED))
