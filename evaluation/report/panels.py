"""Pictures of one image and its segmentation: truth, prediction, heatmap, overlay."""

import cv2
import numpy as np

from evaluation.cases import resize_map

# RGB. Distinct with any form of colour vision, and rare in mucosa.
TRUTH_COLOUR = (0, 255, 120)
PREDICTION_COLOUR = (70, 110, 255)
HEATMAP = cv2.COLORMAP_INFERNO
HEATMAP_NAME = "inferno"  # the same in Matplotlib


def draw_panels(
    image: np.ndarray,
    truth: np.ndarray,
    probability: np.ndarray,
    size: int = 256,
    threshold: float = 0.5,
) -> dict[str, np.ndarray]:
    """Draws an image, its truth and its prediction as panels of one size.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        truth: `(H, W)` uint8, 1 = polyp.
        probability: `(h, w)` float32 map in [0, 1], of any size.
        size: the longer side of each panel in pixels.
        threshold: probabilities above it are predicted to be polyp.

    Returns:
        `image`, `truth`, `prediction`, `heatmap` and `overlay`, in this order, each
        `(height, width, 3)` uint8 RGB. The overlay outlines truth and prediction.
    """
    height, width = truth.shape
    scale = size / max(height, width)
    shape = (max(1, round(height * scale)), max(1, round(width * scale)))
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(image, shape[::-1], interpolation=shrink)
    truth = cv2.resize(truth, shape[::-1], interpolation=cv2.INTER_NEAREST)
    probability = resize_map(probability, shape)
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
