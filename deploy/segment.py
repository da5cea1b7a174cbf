"""Finds polyps in frames of any size: view, network, smoothing, boxes."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from cli.ranges import PROBABILITY, SHARE
from data.images import resize_image
from deploy.runtimes import Runtime
from evaluation.video.regions import MIN_AREA, find_regions
from evaluation.video.tracking import Box
from evaluation.views import DEFAULT_VIEW, VIEWS

BLACK = 24  # brightest channel of what lies outside the scope's view, 0-255
THUMBNAIL = 96  # pixels; enough to find a border and to notice a cut
# Mean grey difference of neighbouring thumbnails at a cut. Between the sequences of
# CVC-ClinicDB 25 of 28 differ by more; neighbours of one video at 25 fps by far less.
CUT_DIFFERENCE = 24.0
MEAN_GREY = np.full((1, 3), 1 / 3, np.float32)


@dataclass(frozen=True)
class Finding:
    """The result of one frame.

    Attributes:
        probability: `(H, W)` float32 in [0, 1].
        mask: `(H, W)` uint8, 1 where the probability is above the threshold.
        boxes: (x, y, width, height) of each polyp in pixels, the largest first;
            specks smaller than `MIN_AREA` are in the mask, but have no box.
        area_percent: share of the frame, or of the scope's view where the frame is
            cropped to it, that is polyp.
    """

    probability: np.ndarray
    mask: np.ndarray
    boxes: list[tuple[int, int, int, int]]
    area_percent: float


@dataclass(frozen=True)
class Prepared:
    """A frame at the network's size, and how to go back to its own size.

    Attributes:
        small: `(h, w, 3)` uint8 RGB, what the network is shown, at its size.
        size: (H, W) of the frame in pixels.
        area: pixels of the frame, or of the scope's view.
        view: `(H, W)` bool, the scope's view in the frame, and the rows and columns
            that hold it; None when the network is shown the whole frame.
        thumbnail: small grey copy, by which cuts are noticed; None when nothing is
            smoothed.
    """

    small: np.ndarray
    size: tuple[int, int]
    area: int
    view: tuple[np.ndarray, tuple[slice, slice]] | None
    thumbnail: np.ndarray | None


class View:
    """Finds the scope's view among black borders, over the frames of one source.

    The view is where any frame so far was not black, so a dark lumen or a dark
    moment does not shrink it. Text in the border lies apart from it and is left out.

    Attributes:
        area: pixels in the view.
    """

    def __init__(self):
        self.area = 0
        self._brightest = None
        self._mask = None

    def update(self, frame: np.ndarray) -> tuple[np.ndarray, tuple[slice, slice]]:
        """Returns the view given one more frame.

        Args:
            frame: `(H, W, 3)` uint8.

        Returns:
            `(H, W)` bool mask of the view, and the rows and columns that hold it.
        """
        if self._mask is not None and self._mask.shape != frame.shape[:2]:
            self._brightest = self._mask = None  # frames of another size: begin anew
        red, green, blue = cv2.split(thumbnail(frame))
        small = cv2.max(cv2.max(red, green), blue)
        if self._brightest is None:
            self._brightest = np.zeros_like(small)
        brightest = cv2.max(small, self._brightest)
        changed = ((brightest > BLACK) != (self._brightest > BLACK)).any()
        self._brightest = brightest
        if self._mask is None or changed:
            self._find(frame.shape[:2])
        return self._mask, self._box

    def _find(self, shape: tuple[int, int]) -> None:
        bright = (self._brightest > BLACK).astype(np.uint8)
        # Thin things such as text do not survive opening; repeated edges keep the view
        # whole where it touches the picture's edge.
        bright = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        contours, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        view = np.zeros_like(bright)
        if contours:  # filled, so that a dark lumen belongs to it
            largest = max(contours, key=cv2.contourArea)
            cv2.drawContours(view, [largest], -1, 1, cv2.FILLED)
        if view.mean() < 0.05:  # all dark: nothing to go by
            view[:] = 1
        mask = cv2.resize(view, shape[::-1], interpolation=cv2.INTER_NEAREST)
        x, y, width, height = cv2.boundingRect(mask)
        self._mask = mask.astype(bool)
        self.area = int(mask.sum())
        self._box = slice(y, y + height), slice(x, x + width)


class FrameSegmenter:
    """Segments the frames of one source, in order.

    Args:
        runtime: the model.
        threshold: probability above which a pixel is polyp.
        smooth: share of the past in the smoothed probability, in [0, 1); 0 = off.
        is_video: whether the frames share one view; else each is its own picture.
        view: one of `VIEWS`: show the network the whole frame, or the frame cropped to
            the scope's view, with probability 0 outside it.
    """

    def __init__(
        self,
        runtime: Runtime,
        threshold: float = 0.5,
        smooth: float = 0.0,
        is_video: bool = False,
        view: str = DEFAULT_VIEW,
    ):
        if view not in VIEWS:
            raise ValueError(
                f"Argument `view` must be one of {', '.join(VIEWS)}. Received: {view}"
            )
        for name, value, allowed in (
            ("threshold", threshold, PROBABILITY),
            ("smooth", smooth, SHARE),
        ):
            if not isinstance(value, int | float | np.number) or value not in allowed:
                raise ValueError(
                    f"Argument `{name}` must be {allowed}. Received: {value}"
                )
        self.runtime = runtime
        self.threshold = threshold
        self.smooth = smooth
        self.is_video = is_video
        self.view = view
        self._view = View()
        self._thumbnail = None
        self._past = None

    def __call__(self, frame: np.ndarray) -> Finding:
        """Segments a frame `(H, W, 3)` uint8 RGB of any size.

        The three steps may run in threads of their own. `prepare` and `finish` must
        see the frames in order; `infer` may compute several at once.
        """
        prepared = self.prepare(frame)
        return self.finish(prepared, self.infer(prepared))

    def prepare(self, frame: np.ndarray) -> Prepared:
        """Brings a frame, or the scope's view in it, to the network's size."""
        height, width = size = frame.shape[:2]
        shown, area, view = frame, height * width, None
        if self.view == "cropped":
            finder = self._view if self.is_video else View()
            view = mask, box = finder.update(frame)
            shown, area = frame[box], finder.area
        small = resize_image(shown, self.runtime.image_size)
        grey = cv2.transform(thumbnail(frame), MEAN_GREY) if self.smooth else None
        return Prepared(small, size, area, view, grey)

    def infer(self, prepared: Prepared) -> np.ndarray:
        """Probabilities `(h, w)` at the network's size, not smoothed yet."""
        return self.runtime(prepared.small)

    def enlarge(self, prepared: Prepared, probability: np.ndarray) -> np.ndarray:
        """Brings probabilities `(h, w)` to the frame's own size, `(H, W)`."""
        if prepared.view is None:
            return _resize_map(probability, prepared.size)
        mask, box = prepared.view
        inside = mask[box]
        full = np.zeros(prepared.size, np.float32)
        enlarged = _resize_map(probability, inside.shape)
        full[box] = cv2.copyTo(enlarged, inside.view(np.uint8))
        return full

    def finish(self, prepared: Prepared, probability: np.ndarray) -> Finding:
        """Turns probabilities `(h, w)` into the finding at the frame's own size.

        With `smooth`, they are averaged with those of the frames before.
        """
        if self.smooth:
            probability = self._smoothed(probability, prepared.thumbnail)
        full = self.enlarge(prepared, probability)
        return find_polyps(full, self.threshold, prepared.area)

    def _smoothed(self, probability: np.ndarray, grey: np.ndarray) -> np.ndarray:
        """Exponential mean over the frames since the last cut."""
        if (
            self._past is not None
            and grey.shape == self._thumbnail.shape
            and cv2.absdiff(grey, self._thumbnail).mean() <= CUT_DIFFERENCE
        ):
            probability = self.smooth * self._past + (1 - self.smooth) * probability
        self._thumbnail, self._past = grey, probability
        return probability


def find_polyps(probability: np.ndarray, threshold: float, area: int) -> Finding:
    """Turns a probability map into a mask, boxes and an area.

    Args:
        probability: `(H, W)` float32 in [0, 1].
        threshold: pixels above it are polyp.
        area: pixels of the frame, or of the scope's view in it.
    """
    mask = (probability > threshold).view(np.uint8)
    regions = find_regions(mask, MIN_AREA * area)
    percent = 100 * float(regions.areas.sum()) / max(int(area), 1)
    return Finding(probability, mask, regions.boxes, percent)


def without_boxes(finding: Finding, boxes: list[Box]) -> Finding:
    """A finding less the regions of some of its boxes."""
    if not boxes:
        return finding
    regions = find_regions(finding.mask)
    hidden = [
        number
        for number, box in zip(regions.numbers, regions.boxes, strict=True)
        if box in boxes
    ]
    mask = finding.mask.copy()
    mask[regions.place][np.isin(regions.labels, hidden)] = 0
    # Specks have no box, and are not part of the area.
    area_of = dict(zip(regions.boxes, regions.areas.tolist(), strict=True))
    left = [box for box in finding.boxes if box not in boxes]
    share = sum(map(area_of.get, left)) / sum(map(area_of.get, finding.boxes))
    return replace(
        finding, mask=mask, boxes=left, area_percent=finding.area_percent * share
    )


def _resize_map(probability: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(probability, size[::-1], interpolation=cv2.INTER_LINEAR)


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """Takes every n-th pixel, so that the longer side is about `THUMBNAIL`."""
    step = max(1, max(frame.shape[:2]) // THUMBNAIL)
    return np.ascontiguousarray(frame[::step, ::step])
