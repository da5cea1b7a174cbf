"""Writes masks and overlays, as pictures or as videos that a killed run leaves whole.

A video is written in pieces that need nothing of what follows them: MP4 in fragments
and Matroska in short clusters, each handed to the system as soon as it is complete.
"""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np

from cli.command import UserError
from cli.files import replacing
from deploy.sources import Frame

INSTALL_COMMAND = "pip install -r requirements-deploy.txt"
OVERLAY_NAME, MASKS_NAME = "overlay.mp4", "masks.mkv"
TICKS = 1000  # a second; the finest that Matroska has by default
PIECE_SECONDS = 1  # longest piece of a video; what a kill can cost
BITS_PER_PIXEL = 1  # of overlays; the outline stays sharp
MAX_FPS = 120
CONTAINER_OPTIONS = {
    ".mp4": {
        "movflags": "empty_moov+default_base_moof",
        "frag_duration": str(PIECE_SECONDS * 1_000_000),
        "flush_packets": "1",
    },
    ".mkv": {
        "cluster_time_limit": str(PIECE_SECONDS * 1000),
        "flush_packets": "1",
        "fflags": "+bitexact",  # no random number: equal frames give equal files
    },
}


def import_pyav() -> ModuleType:
    """Returns the module `av`.

    Raises:
        UserError: it is not installed; the message names the command that does it.
    """
    try:
        import av
    except ImportError as error:
        raise UserError(
            f"videos are written with PyAV, which is not installed ({error}); run:"
            f" {INSTALL_COMMAND}"
        ) from None
    return av


class Recording:
    """One video file, whose frames each have their own time.

    Args:
        path: ends in `.mp4` or `.mkv`.
        codec: FFmpeg's name of it.
        pixel_format: of the file: `gray` or `yuv420p`.
        size: height and width of the frames.
        fps: frames a second, for the bit rate only; some streams state absurd ones.

    Raises:
        UserError: PyAV is not installed.
        OSError: the file cannot be written; also from `write` and `close`.
    """

    def __init__(
        self,
        path: Path,
        codec: str,
        pixel_format: str,
        size: tuple[int, int],
        fps: float,
    ):
        self._av = import_pyav()
        self._path = path
        self._container = self._av.open(
            str(path), "w", options=CONTAINER_OPTIONS[path.suffix]
        )
        height, width = size
        fps = min(max(1, round(fps)), MAX_FPS)
        self._stream = self._container.add_stream(codec, rate=fps)
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt = pixel_format
        self._stream.bit_rate = BITS_PER_PIXEL * height * width * fps
        self._stream.codec_context.time_base = Fraction(1, TICKS)
        self._stream.codec_context.thread_count = 1  # the network has the others
        self._last_tick = -1

    def write(self, pixels: np.ndarray, seconds: float) -> None:
        """Adds a frame.

        Args:
            pixels: uint8 as FFmpeg lays out the pixel format: `(H, W)` for `gray`,
                `(1.5 H, W)` for `yuv420p`.
            seconds: its time in the video.
        """
        frame = self._av.VideoFrame.from_ndarray(pixels, self._stream.pix_fmt)
        self._last_tick = max(round(TICKS * seconds), self._last_tick + 1)
        frame.pts, frame.time_base = self._last_tick, Fraction(1, TICKS)
        self._mux(frame)

    def close(self) -> None:
        """Writes what is left; what was written before stays, also when this fails."""
        try:
            self._mux(None)
            self._container.close()
        except self._av.FFmpegError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None

    def _mux(self, frame: object | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except self._av.FFmpegError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None


def picture_paths(out_dir: Path, name: str) -> tuple[Path, Path]:
    """Where the mask and the overlay of a picture are written."""
    return out_dir / "masks" / f"{name}.png", out_dir / "overlays" / f"{name}.jpg"


class PictureWriter:
    """Writes masks and overlays as files named by their frames.

    What is not kept is deleted where a run before has left it.
    """

    def __init__(self, out_dir: Path):
        self.out_dir = out_dir

    def write(
        self, frame: Frame, mask: np.ndarray | None, overlay: np.ndarray | None
    ) -> None:
        """Writes the results of a frame, each picture whole or not at all.

        Args:
            frame: gives their name.
            mask: `(H, W)` uint8 0/1; None where it is not kept.
            overlay: `(H, W, 3)` uint8 RGB; None where it is not kept.
        """
        mask_path, overlay_path = picture_paths(self.out_dir, frame.name)
        if mask is None:
            mask_path.unlink(missing_ok=True)
        else:
            self._write(mask_path, mask * 255)
        if overlay is None:
            overlay_path.unlink(missing_ok=True)
        else:
            self._write(overlay_path, overlay[..., ::-1])

    def _write(self, path: Path, picture: np.ndarray) -> None:
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as partial:
            if not cv2.imwrite(str(partial), picture):
                raise UserError(f"{path} cannot be written")

    def close(self) -> None:
        """Nothing is left open."""


class VideoWriter:
    """Writes the overlay as `overlay.mp4` and the masks, lossless, as `masks.mkv`.

    Those of a run before are deleted first.
    """

    def __init__(self, out_dir: Path, fps: float):
        import_pyav()  # before any frame is computed
        for name in (OVERLAY_NAME, MASKS_NAME):
            (out_dir / name).unlink(missing_ok=True)
        self.out_dir = out_dir
        self.fps = fps
        self._recordings: dict[str, Recording] = {}

    def write(
        self, frame: Frame, mask: np.ndarray | None, overlay: np.ndarray | None
    ) -> None:
        """Writes the results of a frame.

        Args:
            frame: gives their time.
            mask: `(H, W)` uint8 0/1; None where it is not kept.
            overlay: `(H, W, 3)` uint8 RGB; None where it is not kept.
        """
        if overlay is not None:
            # Colour has half the resolution in MP4: an odd last row or column is left
            # out.
            height, width = (side & ~1 for side in overlay.shape[:2])
            overlay = np.ascontiguousarray(overlay[:height, :width])
            pixels = cv2.cvtColor(overlay, cv2.COLOR_RGB2YUV_I420)
            recording = self._recording(OVERLAY_NAME, "mpeg4", "yuv420p", overlay)
            recording.write(pixels, frame.seconds)
        if mask is not None:
            recording = self._recording(MASKS_NAME, "ffv1", "gray", mask)
            recording.write(mask * 255, frame.seconds)

    def _recording(
        self, name: str, codec: str, pixel_format: str, picture: np.ndarray
    ) -> Recording:
        """The open file of a name; it is begun with the first picture."""
        if name not in self._recordings:
            path, size = self.out_dir / name, picture.shape[:2]
            self._recordings[name] = Recording(
                path, codec, pixel_format, size, self.fps
            )
        return self._recordings[name]

    def close(self) -> None:
        with ExitStack() as closes:  # all of them, also when one fails
            for recording in self._recordings.values():
                closes.callback(recording.close)
