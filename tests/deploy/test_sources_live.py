"""Streams on the loopback address: fast, slow, breaking off, never answering."""

import contextlib
import csv
import functools
import http.server
import socket
import threading
import time

import cv2
import numpy as np
import pytest

import Predict
from cli.command import UserError
from deploy import sources
from deploy.predict import predict
from deploy.segment import FrameSegmenter
from deploy.sources import open_source
from deploy.threads import ahead, newest
from tests.deploy.conftest import green_square


class Stream(http.server.BaseHTTPRequestHandler):
    """Sends each connection its next run of JPEG pictures, then closes it."""

    def do_GET(self):
        runs = self.server.runs
        if not runs:
            return self.send_error(404)
        self.send_response(200)
        kind = "multipart/x-mixed-replace; boundary=frame"
        self.send_header("Content-Type", kind)
        self.end_headers()
        with contextlib.suppress(OSError):  # the reader has gone
            for picture in runs.pop(0):
                if picture is None:
                    self.server.may_end.wait(10)
                    return None
                self.wfile.write(
                    b"--frame\r\nContent-Type: image/jpeg\r\n"
                    b"Content-Length: %d\r\n\r\n%s\r\n" % (len(picture), picture)
                )
                time.sleep(self.server.period)

    def log_message(self, *args):
        """Nothing is printed."""


class QuietFolder(http.server.SimpleHTTPRequestHandler):
    """Serves files."""

    def log_message(self, *args):
        """Nothing is printed."""


@pytest.fixture
def serve():
    """Starts a server of runs of frames, which are `(H, W, 3)` or None to hang."""
    servers = []

    def start(*runs, period=0.001):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stream)
        server.runs = [
            [f if f is None else cv2.imencode(".jpg", f)[1].tobytes() for f in run]
            for run in runs
        ]
        server.period, server.may_end = period, threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://user:secret@127.0.0.1:{server.server_port}/scope"

    yield start
    for server in servers:
        server.may_end.set()
        server.shutdown()
        server.server_close()


def squares(count, height=96):
    return [green_square(height, 128, 32, number % 90, 32) for number in range(count)]


def run(source, detector, out_dir):
    segmenter = FrameSegmenter(detector, is_video=True)
    summary = predict(source, segmenter, out_dir)
    with open(out_dir / "predictions.csv") as stream:
        return summary, list(csv.DictReader(stream))


def test_stream_faster_than_the_model(tmp_path, serve, detector, monkeypatch):
    segment = detector.run

    def slow(frames):
        time.sleep(0.05)
        return segment(frames)

    monkeypatch.setattr(detector, "run", slow)
    source = open_source(serve(squares(100), period=0.005))
    summary, rows = run(source, detector, tmp_path)
    assert summary.frames + summary.dropped == source.captured == 100
    assert summary.frames == len(rows) and summary.dropped > 50
    assert rows[-1]["frame"] == "000099"
    names = [int(row["frame"]) for row in rows]
    assert names == sorted(set(names))
    # Three queues of four frames would make it 12 · 50 = 600 ms.
    assert 50 < np.median([float(row["age_ms"]) for row in rows]) < 300
    assert f"{summary.dropped} frames dropped" in str(summary)


def test_stream_slower_than_the_model(tmp_path, serve, detector):
    source = open_source(serve(squares(10), period=0.1))
    summary, rows = run(source, detector, tmp_path)
    # FFmpeg reads up to four frames at once to learn what the stream is.
    names = [int(row["frame"]) for row in rows]
    assert names[-6:] == [4, 5, 6, 7, 8, 9] and summary.dropped <= 4
    assert {row["count"] for row in rows} == {"1"}
    assert np.diff([float(row["seconds"]) for row in rows[-6:]]).min() > 0.05
    assert summary.problems == [f"{source.name} stopped after 10 frames"]


def test_late_frames_are_warned_of(tmp_path, serve, detector, monkeypatch):
    segment = detector.run
    monkeypatch.setattr(
        detector, "run", lambda frames: time.sleep(0.13) or segment(frames)
    )
    summary, _ = run(open_source(serve(squares(6), period=0.15)), detector, tmp_path)
    count = summary.frames
    assert f"warning: {count} of {count} frames were older than 120 ms" in str(summary)


def test_file_has_no_age_and_drops_nothing(tmp_path, detector):
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (128, 96))
    for frame in squares(10):
        writer.write(frame)
    writer.release()
    summary, rows = run(open_source(str(path)), detector, tmp_path / "out")
    assert [row["age_ms"] for row in rows] == [""] * 10
    assert "age" not in str(summary) and summary.dropped == 0


def test_stream_that_breaks_off_ends_the_run(tmp_path, serve, detector):
    source = open_source(serve(squares(5), squares(5)))
    summary, _ = run(source, detector, tmp_path)
    assert source.captured == 5
    assert summary.problems == [f"{source.name} stopped after 5 frames"]


def test_stream_that_comes_back_is_read_on(tmp_path, serve, detector, monkeypatch):
    monkeypatch.setattr(sources, "RETRY_SECONDS", 0.3)
    source = open_source(serve(squares(5), squares(7)), reconnect=1.0)
    summary, rows = run(source, detector, tmp_path)
    assert source.captured == 12 and rows[-1]["frame"] == "000011"
    gap, end = summary.problems
    assert "no frames from 0." in gap and end.endswith("stopped after 12 frames")
    seconds = [float(row["seconds"]) for row in rows]
    assert max(np.diff(seconds)) > 0.25


def test_waiting_for_a_stream_can_be_ended(serve):
    source = open_source(serve(squares(3)), reconnect=60)
    threading.Timer(0.5, source.close).start()
    began = time.perf_counter()
    assert len(list(source)) <= 3
    assert time.perf_counter() - began < 5


def test_stream_of_another_size_ends_the_run(tmp_path, serve, detector):
    address = serve(squares(3), squares(3, height=64))
    source = open_source(address, reconnect=3)
    summary, _ = run(source, detector, tmp_path)
    assert f"{source.name} changed from 128x96 to 128x64" in summary.problems


def test_frames_that_waited_for_the_model_are_left_out(serve, monkeypatch):
    monkeypatch.setattr(sources, "FRESH_SECONDS", 0)
    source = open_source(serve(squares(3), squares(6)))
    assert len(list(source)) and source.captured == 6


def test_server_that_never_answers(monkeypatch):
    monkeypatch.setattr(sources, "OPEN_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.perf_counter()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(
            UserError, match=r"127\.0\.0\.1_\d+ cannot be opened within"
        ):
            open_source(address)
        assert time.perf_counter() - began < 3


def test_stream_that_goes_silent(tmp_path, serve, detector, monkeypatch):
    monkeypatch.setattr(sources, "READ_SECONDS", 0.3)
    began = time.perf_counter()
    source = open_source(serve([*squares(4), None]))
    summary, _ = run(source, detector, tmp_path)
    assert summary.problems == [f"{source.name} stopped after 4 frames"]
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp", "http", "HTTPS"])
def test_address_without_a_server(scheme, capfd):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UserError, match=f"^127.0.0.1_{port}_a cannot be opened"):
        open_source(f"{scheme}://user:se@cret@127.0.0.1:{port}/a?token=secret")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("address", ["http://", "http://[", "rtsp://a b/\n"])
def test_address_that_is_none(address):
    with pytest.raises(UserError, match="cannot be opened"):
        open_source(address)


def test_recording_behind_an_address_is_refused(tmp_path):
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"MJPG"), 25, (128, 96))
    for frame in squares(10):
        writer.write(frame)
    writer.release()
    folder = functools.partial(QuietFolder, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), folder) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        with pytest.raises(UserError, match="film.avi is a recording, no live stream"):
            open_source(f"http://127.0.0.1:{server.server_port}/film.avi")
        server.shutdown()


def test_device_file_is_a_camera():
    with pytest.raises(UserError, match="camera _dev_video77 cannot be opened"):
        open_source("/dev/video77")


def test_reconnect_is_for_live_sources(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), green_square(32, 32, 8, 8, 8))
    args = Predict.parse_args(["--source", str(tmp_path), "--reconnect", "5"])
    with pytest.raises(UserError, match="--reconnect is for cameras and streams"):
        Predict.main(args)


def test_newest_item_replaces_older_ones():
    went_on = threading.Event()

    def items():
        yield 0
        yield from range(1, 5)
        went_on.set()

    reader = newest(items())
    assert went_on.wait(0.1) is False  # nothing runs before it is read
    first = next(reader)
    assert went_on.wait(5)
    assert list(reader) == ([4] if first < 4 else [])

    def broken():
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(newest(broken()))


def test_without_depth_nothing_is_begun_before_it_is_asked_for():
    begun = []

    def items():
        for number in range(3):
            begun.append(number)
            yield number

    reader = ahead(items(), depth=0)
    assert next(reader) == 0
    time.sleep(0.1)
    assert begun == [0, 1]  # the next one while the reader works, and no further
    assert list(reader) == [1, 2]
