"""Pictures of one case: image, truth, prediction, heatmap, overlay."""

import cv2
import numpy as np

from evaluation.cases import Case
from evaluation.protocol import resize_map

PANEL_NAMES = ("image", "truth", "prediction", "heatmap", "overlay")
# Told apart by people with any colour vision, and rare in mucosa.
TRUTH_COLOUR = (0, 255, 120)
PREDICTION_COLOUR = (70, 110, 255)
HEATMAP = cv2.COLORMAP_INFERNO


def draw_panels(
    case: Case, size: int = 256, threshold: float = 0.5
) -> dict[str, np.ndarray]:
    """Draws a case's panels.

    Args:
        case: a predicted case.
        size: the longer side of each panel in pixels.
        threshold: the prediction is the map above it.

    Returns:
        panel name → `(h, w, 3)` uint8 RGB, all of one size.
    """
    height, width = case.truth.shape
    scale = size / max(height, width)
    shape = (max(1, round(height * scale)), max(1, round(width * scale)))
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(case.image, shape[::-1], interpolation=shrink)
    truth = cv2.resize(case.truth, shape[::-1], interpolation=cv2.INTER_NEAREST)
    probability = resize_map(case.probability, shape)
    prediction = (probability > threshold).astype(np.uint8)
    overlay = _outline(image, truth, TRUTH_COLOUR)
    return {
        "image": image,
        "truth": cv2.cvtColor(truth * 255, cv2.COLOR_GRAY2RGB),
        "prediction": cv2.cvtColor(prediction * 255, cv2.COLOR_GRAY2RGB),
        "heatmap": draw_heatmap(probability),
        "overlay": _outline(overlay, prediction, PREDICTION_COLOUR),
    }


def draw_heatmap(probability: np.ndarray) -> np.ndarray:
    """Colours a map: `(h, w)` in [0, 1] → `(h, w, 3)` uint8 RGB, 0 dark to 1 bright."""
    levels = np.rint(np.clip(probability, 0, 1) * 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, HEATMAP), cv2.COLOR_BGR2RGB)


def _outline(image: np.ndarray, mask: np.ndarray, colour: tuple) -> np.ndarray:
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    thickness = max(1, round(max(mask.shape) / 160))
    return cv2.drawContours(image.copy(), contours, -1, colour, thickness)
