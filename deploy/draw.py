"""Draws findings onto frames."""

import cv2
import numpy as np

from deploy.segment import Finding

CONTOUR = (70, 110, 255)  # RGB; told apart with any colour vision, rare in mucosa
HEAT_FROM = 0.25  # fainter probabilities are not painted
HEAT_STRENGTH = 0.4
# (256, 3) RGB, from dark to bright.
HEAT_COLOURS = cv2.applyColorMap(
    np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO
)[:, 0, ::-1]


def draw_overlay(frame: np.ndarray, finding: Finding) -> np.ndarray:
    """Returns a copy of a frame with heatmap, outline and area of what was found.

    Args:
        frame: `(H, W, 3)` uint8 RGB.
        finding: of the same size.
    """
    picture = frame.copy()
    warm = cv2.boundingRect((finding.probability > HEAT_FROM).astype(np.uint8))
    _paint_heat(picture, finding.probability, warm)
    contours, _ = cv2.findContours(
        finding.mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    thickness = max(1, round(max(frame.shape[:2]) / 320))
    cv2.drawContours(picture, contours, -1, CONTOUR, thickness, cv2.LINE_AA)
    if finding.boxes:
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


def _paint_heat(
    picture: np.ndarray, probability: np.ndarray, box: tuple[int, int, int, int]
) -> None:
    """Blends the heatmap in, in place, inside a box only: most frames are cold."""
    x, y, width, height = box
    if not width:
        return
    area = slice(y, y + height), slice(x, x + width)
    levels = np.uint8(255 * probability[area])
    heat = HEAT_COLOURS[levels]
    weight = HEAT_STRENGTH * np.clip(probability[area] / 0.5, 0, 1)[..., None]
    picture[area] = picture[area] + weight * (heat - picture[area].astype(np.float32))
