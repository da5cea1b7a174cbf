"""Segments images and videos in Python.

from deploy import load_segmenter

finding = load_segmenter("lgps").segment("photo.jpg")
finding.mask  # (H, W) uint8, 1 = polyp
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from cli.command import import_tensorflow
from data.images import read_image
from deploy.runtimes import load_runtime
from deploy.segment import Finding, FrameSegmenter
from evaluation.views import DEFAULT_VIEW
from models.shipped import model_path

Image = np.ndarray | str | Path


class Segmenter(FrameSegmenter):
    """Segments images of any size; made by `load_segmenter`."""

    def segment(self, image: Image) -> Finding:
        """Finds the polyps of one image.

        Args:
            image: `(H, W, 3)` uint8 **RGB** (OpenCV's own order is BGR), or the path of
                an image file.

        Returns:
            Mask, probability and boxes at the image's own size; see `Finding`.

        Raises:
            ValueError: the array has another shape or type.
            UserError: the file is missing, damaged or not an image.
        """
        if isinstance(image, str | Path):
            return self(read_image(image))
        kind = getattr(image, "dtype", type(image).__name__)
        shape = getattr(image, "shape", ())
        if kind != np.uint8 or shape[2:] != (3,) or 0 in shape:
            raise ValueError(
                "Argument `image` must be an array (H, W, 3) of uint8 RGB values. "
                f"Received: {kind}, shape {shape}"
            )
        return self(image)

    def segment_all(self, images: Iterable[Image]) -> Iterator[Finding]:
        """Finds the polyps of many images, one after the other, in flat memory.

        Args:
            images: a batch `(N, H, W, 3)`, a list of files, a generator of frames, …;
                each as in `segment`.

        Yields:
            One finding per image, in order.
        """
        for image in images:
            yield self.segment(image)


def load_segmenter(
    model: str | Path = "lgps",
    threshold: float = 0.5,
    smooth: float = 0.0,
    is_video: bool = False,
    threads: int | None = None,
    view: str = DEFAULT_VIEW,
    verify: bool = True,
    at_once: int = 1,
    tta: str | None = None,
) -> Segmenter:
    """Loads a trained network.

    Args:
        model: `"lgps"` for the weights of this repository, a checkpoint such as a
            run's `best.h5`, or a file of `Export.py`.
        threshold: a pixel is polyp where its probability is above it.
        smooth: for videos, the share of the frames before in the probability, at least
            0 and below 1.
        is_video: whether the images are the frames of one video, which share the
            scope's view; else each image is independent.
        threads: CPU threads; default: all cores.
        view: `"whole"`: the network sees whole frames; `"cropped"`: the part of each
            within the scope's black surround.
        verify: refuse a file that has changed since it was scored or exported.
        at_once, tta: as in `load_runtime`.

    Raises:
        UserError: the file is missing, no model, or its runtime is not installed.
    """
    path = model_path(str(model))
    if (path.suffix == ".h5" and path.is_file()) or (path / "saved_model.pb").is_file():
        import_tensorflow()
    runtime = load_runtime(path, threads, verify=verify, at_once=at_once, tta=tta)
    return Segmenter(runtime, threshold, smooth, is_video, view)
