"""Reads frames from pictures, a video file or a camera."""

import glob
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from cli.command import UserError
from data.images import read_image, silent_codecs
from data.pairs import IMAGE_SUFFIXES

TEXT = cv2.VideoWriter_fourcc(*"ansi")  # FFmpeg reads a text file as a video of it
DAMAGED_RUN = 25  # unreadable frames in a row after which a video counts as ended


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        name: the picture's name, or the number of the video frame.
        image: `(H, W, 3)` uint8 RGB.
        seconds: its time in the video, or since a camera's first frame; 0 for pictures.
        decode_ms: milliseconds it took to read.
    """

    name: str
    image: np.ndarray
    seconds: float
    decode_ms: float


@dataclass
class Source:
    """Frames in order.

    Attributes:
        name: for folders and titles.
        count: frames to expect; None when unknown.
        problems: what could not be read; filled while iterating.
    """

    name: str
    count: int | None
    problems: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Frame]:
        raise NotImplementedError


class Pictures(Source):
    """Image files. Their stems must differ, because results are named by them."""

    def __init__(self, name: str, paths: list[Path]):
        super().__init__(name, len(paths))
        path_of: dict[str, Path] = {}
        for path in paths:
            same = path_of.setdefault(path.stem, path)
            if same is not path:
                raise UserError(f"{same} and {path} have one name, so would their mask")
        self.paths = paths

    def __iter__(self) -> Iterator[Frame]:
        for path in self.paths:
            start = time.perf_counter()
            try:
                image = read_image(path)
            except UserError as error:
                self.problems.append(str(error))
                continue
            yield Frame(path.stem, image, 0.0, ms_since(start))


class Video(Source):
    """A video file, or a camera when `address` is its index."""

    def __init__(self, address: str | int):
        self.is_camera = isinstance(address, int)
        with silent_codecs():
            self._capture = cv2.VideoCapture(address)
        is_text = self._capture.get(cv2.CAP_PROP_FOURCC) == TEXT
        if is_text or not self._capture.isOpened():
            if self.is_camera:
                raise UserError(f"camera {address} cannot be opened")
            raise UserError(
                f"{address} cannot be opened: no picture or video, or cut off before"
                " its index"
            )
        name = f"camera {address}" if self.is_camera else Path(str(address)).stem
        frames = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        super().__init__(name, frames if frames > 0 and not self.is_camera else None)
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or 25.0

    def __iter__(self) -> Iterator[Frame]:
        number = lost = 0  # frames read, frames that could not be
        damaged = 0  # of these, since the last one read
        began = None  # when the first frame was read
        try:
            while damaged < (1 if self.is_camera else DAMAGED_RUN):
                start = time.perf_counter()
                is_read, image = self._capture.read()
                if not is_read:
                    damaged += 1
                    continue
                if damaged:
                    self.problems.append(
                        f"{self.name}: {damaged} damaged frame(s) after frame {number}"
                    )
                    lost, damaged = lost + damaged, 0
                seconds = number / self.fps
                if self.is_camera:  # drops frames when the model is slower
                    began = began or time.perf_counter()
                    seconds = time.perf_counter() - began
                image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                yield Frame(f"{number:06d}", image, seconds, ms_since(start))
                number += 1
        finally:
            self._capture.release()
        if self.is_camera:
            self.problems.append(f"{self.name} stopped after {number} frames")
        elif self.count and number + lost < self.count:
            self.problems.append(
                f"{self.name} ends early: {number} of {self.count} frames could be read"
            )


def open_source(source: str) -> Source:
    """Opens an image, a folder, a glob, a video file or a camera index.

    Raises:
        UserError: there is nothing to read.
    """
    path = Path(source)
    if source.isdigit() and not path.exists():
        return Video(int(source))
    if path.is_dir():
        paths = [
            file
            for file in sorted(path.iterdir())
            if file.suffix.lower() in IMAGE_SUFFIXES
        ]
    elif path.is_file():
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            return Video(source)
        paths = [path]
    else:
        paths = [Path(match) for match in sorted(glob.glob(source, recursive=True))]
        paths = [file for file in paths if file.suffix.lower() in IMAGE_SUFFIXES]
    if not paths:
        raise UserError(
            f"{source}: found no picture, video or camera there"
            " (an image, a folder, a quoted glob, a video file or a camera's number)"
        )
    return Pictures(path.resolve().stem if path.exists() else "glob", paths)


def ms_since(start: float) -> float:
    """Milliseconds since a moment that `time.perf_counter` gave."""
    return 1e3 * (time.perf_counter() - start)
