"""Reads frames from pictures, a video file, a camera or a stream."""

import glob
import re
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from cli.command import UserError
from data.images import read_image, refuse_unprintable, silent_codecs
from data.pairs import IMAGE_FOLDER, IMAGE_SUFFIXES
from deploy.threads import newest

TEXT = cv2.VideoWriter_fourcc(*"ansi")  # FFmpeg reads a text file as a video of it
DAMAGED_RUN = 25  # unreadable frames in a row after which a video counts as ended
ADDRESS = re.compile(r"(rtsp|rtmp|https?)://", re.IGNORECASE)
SECRETS = re.compile(r"^(\w+://)[^/]*@|[?#].*$")  # of an address; not to be shown
DEVICE = "/dev/video"
CAMERA = re.compile("[0-9]{1,4}")
OPEN_SECONDS = 10  # until a stream must have begun
READ_SECONDS = 5  # until the next frame of a stream must have come
RETRY_SECONDS = 0.5  # between two tries to open a stream again
FRESH_SECONDS = 1  # what an opened stream sends is used if it is read within them


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        name: the picture's name, or the number of the video frame.
        image: `(H, W, 3)` uint8 RGB.
        seconds: its time in the video, or since a live source's first frame; 0 for
            pictures.
        decode_ms: milliseconds it took to read, without waiting for it.
        captured: when a live source gave it, on the clock of `time.perf_counter`; None
            for files.
    """

    name: str
    image: np.ndarray
    seconds: float
    decode_ms: float
    captured: float | None = None


@dataclass
class Source(Iterable[Frame]):
    """Frames in order, to be read once.

    Attributes:
        name: for folders and titles.
        count: frames to expect; None when unknown.
        problems: what could not be read; filled while iterating.
        is_video: whether the frames follow one another in time.
        is_live: whether they come by themselves, so that a slow reader misses some.
    """

    is_video = False
    is_live = False
    name: str
    count: int | None
    problems: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Ends the waiting for frames, from any thread; only live sources wait."""


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
    """A video file: every frame, in order.

    Attributes:
        fps: frames a second.
    """

    is_video = True

    def __init__(self, path: str):
        refuse_unprintable(path)
        with silent_codecs():
            self._capture = cv2.VideoCapture(path)
        is_text = self._capture.get(cv2.CAP_PROP_FOURCC) == TEXT
        if is_text or not self._capture.isOpened():
            raise UserError(
                f"{path} cannot be opened: no picture or video, or cut off before"
                " its index"
            )
        frames = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        super().__init__(Path(path).stem, frames if frames > 0 else None)
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or 25.0

    def __iter__(self) -> Iterator[Frame]:
        number = lost = 0  # frames read, frames that could not be
        damaged = 0  # of these, since the last one read
        seconds = longest = 0.0  # of the last frame; between two frames
        try:
            while damaged < DAMAGED_RUN:
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
                image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                if number:
                    before, seconds = seconds, self._time(seconds)
                    longest = max(longest, seconds - before)
                yield Frame(f"{number:06d}", image, seconds, ms_since(start))
                number += 1
        finally:
            self._capture.release()
        # Some files state no number of frames, and OpenCV estimates it from the length.
        end, length = seconds + (longest or 1 / self.fps), (self.count or 0) / self.fps
        if number + lost < (self.count or 0) and end + 0.5 / self.fps < length:
            self.problems.append(
                f"{self.name} ends early: {end:.1f} of {length:.1f} s could be read"
            )

    def _time(self, before: float) -> float:
        """The time of the frame that was read last, in seconds."""
        stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return stamp if stamp > before else before + 1 / self.fps


class Live(Source):
    """A camera or a stream, of which a reader always gets the newest frame.

    Args:
        address: a camera's number or device file, or an address such as
            `rtsp://host/path`.
        reconnect: seconds for which to try again when it breaks off.

    Attributes:
        captured: frames that came so far, also those that no reader got.
        fps: frames a second, as the source states them.

    Raises:
        UserError: it cannot be opened, or is no live source.
    """

    is_video = is_live = True

    def __init__(self, address: str | int, reconnect: float = 0.0):
        self._address = address
        is_stream = bool(ADDRESS.match(str(address)))
        super().__init__(live_name(address), None)
        self.reconnect = reconnect
        self.captured = 0
        self._began = self._last = 0.0  # when the first and the last frame came
        self._shape = None
        self._closing = threading.Event()
        with silent_codecs():
            self._capture = self._open()
        if not self._capture.isOpened():
            limit = f" within {OPEN_SECONDS} s" if is_stream else ""
            raise UserError(f"{self.name} cannot be opened{limit}")
        if is_stream and self._capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
            raise UserError(
                f"{self.name} is a recording, no live stream; download it and give the"
                " file, so that every frame is read"
            )
        self._opened = time.perf_counter()
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or 25.0

    def __iter__(self) -> Iterator[Frame]:
        frames = newest(self._read())
        try:
            yield from frames
        finally:
            self.close()
            frames.close()

    def close(self) -> None:
        self._closing.set()

    def _open(self) -> cv2.VideoCapture:
        if isinstance(self._address, int):
            return cv2.VideoCapture(self._address)
        if not ADDRESS.match(self._address):
            return cv2.VideoCapture(self._address, cv2.CAP_V4L2)
        limits = {
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: OPEN_SECONDS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC: READ_SECONDS,
        }
        flat = [int(n) for prop, s in limits.items() for n in (prop, 1000 * s)]
        return cv2.VideoCapture(self._address, cv2.CAP_FFMPEG, flat)

    def _read(self) -> Iterator[Frame]:
        """All frames, over every connection."""
        try:
            if time.perf_counter() - self._opened > FRESH_SECONDS:
                self._reopen()  # the frames that waited meanwhile are old
            self._last = time.perf_counter()
            yield from self._read_connection()
            while (
                time.perf_counter() - self._last < self.reconnect
                and not self._closing.wait(RETRY_SECONDS)
            ):
                self._reopen()
                yield from self._read_connection()
        finally:
            self._capture.release()
        self.problems.append(f"{self.name} stopped after {self.captured} frames")

    def _reopen(self) -> None:
        self._capture.release()
        self._capture = self._open()

    def _read_connection(self) -> Iterator[Frame]:
        """The frames until the connection breaks off."""
        is_new = True
        while self._capture.grab():
            now = time.perf_counter()
            is_read, image = self._capture.retrieve()
            if not is_read:
                return
            if not self.captured:
                self._began, self._shape = now, image.shape
            elif is_new:
                gap = f"{self._last - self._began:.1f} to {now - self._began:.1f} s"
                self.problems.append(f"{self.name}: no frames from {gap}")
            if image.shape != self._shape:
                before, after = (f"{w}x{h}" for h, w, _ in (self._shape, image.shape))
                self.problems.append(f"{self.name} changed from {before} to {after}")
                self.close()
                return
            is_new, self._last = False, now
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            name, seconds = f"{self.captured:06d}", now - self._began
            self.captured += 1
            yield Frame(name, image, seconds, ms_since(now), now)


def open_source(source: str, reconnect: float = 0.0) -> Source:
    """Opens an image, a folder, a glob, a video file, a camera or a stream.

    Args:
        source: a path, a pattern, a camera's number or device file, or an address.
        reconnect: seconds for which to try again when a live source breaks off.

    Raises:
        UserError: there is nothing to read.
    """
    path = Path(source)
    if is_live(source):
        return Live(int(source) if source.isdigit() else source, reconnect)
    if path.is_dir():
        paths = [
            file
            for file in sorted(path.iterdir())
            if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
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
            " (an image, a folder, a quoted glob, a video file, a camera's number or"
            " device file, or an address that begins with rtsp, rtmp, http or https)"
        )
    return Pictures(source_name(source), paths)


def source_name(source: str) -> str:
    """The name of a source, for the folder of its results.

    The name of a folder such as `images/` says little: that of its parent comes before.
    """
    path = Path(source)
    if is_live(source):
        return live_name(int(source) if source.isdigit() else source)
    if not path.exists():  # a pattern
        return re.sub(r"[^\w.-]+", "_", source).strip("_.") or "pictures"
    path = path.resolve()
    if not path.is_dir():
        return path.stem
    is_images = IMAGE_FOLDER.fullmatch(path.name.lower())
    return f"{path.parent.name}_{path.name}" if is_images else path.name


def without_secrets(source: str) -> str:
    """A source as it was given, without the user, password and query of an address."""
    if not ADDRESS.match(source):
        return source
    return SECRETS.sub(r"\1", source)


def is_live(source: str) -> bool:
    """Whether a source is a camera's number or device file, or an address."""
    is_number = bool(CAMERA.fullmatch(source)) and not Path(source).exists()
    return is_number or source.startswith(DEVICE) or bool(ADDRESS.match(source))


def live_name(address: str | int) -> str:
    """Names a live source, for folders and messages, without what is secret in it."""
    is_stream = ADDRESS.match(str(address))
    name = f"camera {address}"
    if is_stream:
        _, _, name = without_secrets(address).partition("://")
    return re.sub(r"[^\w. -]+", "_", name).strip("_") or "stream"


def ms_since(start: float) -> float:
    """Milliseconds since a moment that `time.perf_counter` gave."""
    return 1e3 * (time.perf_counter() - start)
