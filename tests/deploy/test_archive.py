"""Many sources in one process: what is predicted, marked, resumed and refused."""

import csv
import itertools
import json
from pathlib import Path

import cv2
import pytest

import Predict
from cli.command import UserError
from deploy import jobs as jobs_module
from deploy.jobs import listed_sources, make_jobs
from tests.deploy.conftest import green_square

FRAMES = 12


@pytest.fixture(autouse=True)
def quick_model(monkeypatch, detector):
    monkeypatch.setattr("deploy.segmenter.load_runtime", lambda *_, **__: detector)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.xml"
    path.write_text("a model")
    return path


@pytest.fixture
def archive(tmp_path):
    """Three videos."""
    folder = tmp_path / "archive"
    for name, first in (("a", 0), ("b", 10), ("c", 20)):
        write_video(folder / f"{name}.avi", first)
    return folder


def write_video(path, first):
    """A green square that moves to the right, one pixel a frame."""
    path.parent.mkdir(exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (128, 96))
    for number in range(FRAMES):
        writer.write(green_square(96, 128, 32, first + number, 32))
    writer.release()


def run(source, model, out_dir, *flags):
    arguments = ["--source", source, "--model_path", model, "--out_dir", out_dir]
    return Predict.main(Predict.parse_args([*map(str, arguments), *flags]))


def rows_of(table):
    with table.open(newline="") as stream:
        return list(csv.DictReader(stream))


def results(out_dir):
    """All results: bytes, and tables without what depends on the time."""
    found = {}
    for file in sorted(out_dir.rglob("*")):
        name = str(file.relative_to(out_dir))
        if file.suffix == ".csv":
            found[name] = [
                {k: v for k, v in row.items() if not k.endswith(("_ms", "seconds"))}
                for row in rows_of(file)
            ]
        elif file.is_file() and file.name != "done.json":
            found[name] = file.read_bytes()
    return found


def times(folder):
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*.*")}


def test_each_video_is_predicted_as_if_alone(archive, model, tmp_path, capsys):
    assert run(archive, model, tmp_path / "all", "--smooth", "0.5") == 0
    assert "3 sources, 36 frames, 36 with polyp" in capsys.readouterr().out
    for name in "abc":
        alone = tmp_path / "alone" / name
        assert run(archive / f"{name}.avi", model, alone, "--smooth", "0.5") == 0
        assert not list(alone.glob("done.json")) + list(alone.glob("summary.csv"))
    found = results(tmp_path / "all")
    summary = found.pop("summary.csv")
    assert found == results(tmp_path / "alone")
    assert [Path(row["source"]).name for row in summary] == ["a.avi", "b.avi", "c.avi"]
    assert {row["frames"] for row in summary} == {str(FRAMES)}
    assert {row["polyp_frames"] for row in summary} == {str(FRAMES)}
    assert {row["polyps"] for row in summary} == {"1"}


def test_damaged_video_does_not_stop_the_others(archive, model, tmp_path, capsys):
    (archive / "a.avi").write_bytes(b"no video")
    content = (archive / "b.avi").read_bytes()
    (archive / "b.avi").write_bytes(content[:-3000])
    assert run(archive, model, tmp_path / "out") == 1
    first, second, third = rows_of(tmp_path / "out/summary.csv")
    assert "cannot be opened" in first["problems"] and first["frames"] == "0"
    assert "ends early" in second["problems"] and 0 < int(second["frames"]) < FRAMES
    assert third["problems"] == "" and third["frames"] == str(FRAMES)
    shown = capsys.readouterr().out
    assert (
        f"problem: {archive / 'a.avi'}: cannot be opened" in shown
        and "b.avi: " in shown
    )


def test_resume_does_what_is_missing(archive, model, tmp_path, detector, monkeypatch):
    """Ctrl-C in the second video, then on: the first is not predicted again."""
    assert run(archive, model, tmp_path / "whole") == 0
    segment, frame_numbers = detector.run, itertools.count(1)

    def interrupted(frames):
        if next(frame_numbers) == FRAMES + 5:  # several threads come here
            raise KeyboardInterrupt
        return segment(frames)

    out = tmp_path / "out"
    monkeypatch.setattr(detector, "run", interrupted)
    assert run(archive, model, out) == 1
    rows = rows_of(out / "summary.csv")
    assert [row["problems"] for row in rows][0] == ""
    assert all("not finished; --resume" in row["problems"] for row in rows[1:])
    before = times(out / "a")
    calls = []
    monkeypatch.setattr(
        detector, "run", lambda frames: calls.append(1) or segment(frames)
    )
    assert run(archive, model, out, "--resume") == 0
    assert len(calls) == 2 * FRAMES and times(out / "a") == before
    assert results(out) == results(tmp_path / "whole")


def test_resume_keeps_problems_and_notices_a_new_file(archive, model, tmp_path):
    content = (archive / "b.avi").read_bytes()
    (archive / "b.avi").write_bytes(content[:-3000])
    out = tmp_path / "out"
    assert run(archive, model, out) == 1
    before = times(out / "a"), times(out / "b")
    assert run(archive, model, out, "--resume") == 1
    assert (times(out / "a"), times(out / "b")) == before
    assert "ends early" in rows_of(out / "summary.csv")[1]["problems"]
    (archive / "b.avi").write_bytes(content)
    assert run(archive, model, out, "--resume") == 0
    assert times(out / "a") == before[0] and times(out / "b") != before[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--threshold", "0.6"], r"another threshold \(0.5, now 0.6\); --resume needs"),
        (["--hold", "2/3"], r"another hold \(1/1, now 2/3\)"),
        (["--tta", "flips"], r"another tta \(None, now flips\)"),
        (["--no_masks"], r"another masks \(True, now False\)"),
        ("model", r"another model \(\w{12}, now \w{12}\)"),
    ],
)
def test_resume_mixes_no_options(archive, model, tmp_path, change, message):
    out = tmp_path / "out"
    assert run(archive, model, out) == 0
    flags = [] if change == "model" else change
    if change == "model":
        model.write_text("another model")
    before = times(out)
    with pytest.raises(UserError, match=message):
        run(archive, model, out, "--resume", *flags)
    assert times(out) == before
    assert run(archive, model, out, *flags) == 0  # anew
    assert (out / "a/masks.mkv").exists() == ("--no_masks" not in flags)
    assert run(archive, model, out, "--resume", *flags) == 0


def test_a_run_anew_that_was_interrupted_is_resumed(
    archive, model, tmp_path, detector, monkeypatch
):
    """What the run before has completed with other options does not count."""
    out, anew = tmp_path / "out", ("--threshold", "0.6")
    assert run(archive, model, out) == 0

    def interrupted(frames):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(detector, "run", interrupted)
        assert run(archive, model, out, *anew) == 1
    assert run(archive, model, out, *anew, "--resume") == 0


def test_an_unexpected_error_does_not_stop_the_others(
    archive, model, tmp_path, detector, monkeypatch
):
    segment, calls = detector.run, []

    def fails_once(frames):
        calls.append(frames)
        if len(calls) == 3:
            raise ZeroDivisionError("a fault")
        return segment(frames)

    monkeypatch.setattr(detector, "run", fails_once)
    assert run(archive, model, tmp_path / "out") == 1
    problems = [row["problems"] for row in rows_of(tmp_path / "out/summary.csv")]
    assert problems == ["ZeroDivisionError: a fault", "", ""]
    assert not (tmp_path / "out/a/done.json").exists()


def test_a_run_of_one_video_unmarks_what_it_replaces(archive, model, tmp_path):
    out = tmp_path / "out"
    assert run(archive / "a.avi", model, out, "--resume") == 0
    assert (out / "done.json").exists() and (out / "summary.csv").exists()
    assert run(archive / "a.avi", model, out, "--threshold", "0.6") == 0
    assert not (out / "done.json").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_is_named_and_resumed(archive, model, tmp_path, capsys):
    out = tmp_path / "out"
    (out / "b").mkdir(parents=True)
    (out / "b/predictions.csv").symlink_to("/dev/full")
    assert run(archive, model, out) == 1
    assert "b.avi: stopped: " in (shown := capsys.readouterr().out)
    assert "No space left on device" in shown
    assert [path.parent.name for path in sorted(out.rglob("done.json"))] == ["a", "c"]
    (out / "b/predictions.csv").unlink()
    before = times(out / "a")
    assert run(archive, model, out, "--resume") == 0
    assert times(out / "a") == before and (out / "b/done.json").exists()


def test_a_summary_that_cannot_be_written_hides_no_problem(
    archive, model, tmp_path, capsys, monkeypatch
):
    def full(path, text):
        raise OSError(28, "No space left on device")

    (archive / "b.avi").write_bytes(b"no video")
    monkeypatch.setattr("deploy.archive.write_text", full)
    assert run(archive, model, tmp_path / "out") == 1
    printed = capsys.readouterr().out
    assert "summary.csv: not written (No space left on device)" in printed
    assert "b.avi: " in printed


def test_pictures_are_cut_into_parts_and_joined(model, tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(7):
        picture = green_square(60, 80, 8, 4 * number, 30 * (number % 2))
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    assert run(folder, model, tmp_path / "whole") == 0
    monkeypatch.setattr(jobs_module, "PART", 3)
    out = tmp_path / "out"
    (out / ".parts/0000000/masks").mkdir(parents=True)
    (out / ".parts/0000000/masks/stale.png").touch()  # of a killed run
    (folder / "3.png").write_bytes(b"damaged")
    assert run(folder, model, out, "--resume") == 1
    (row,) = rows_of(out / "summary.csv")
    assert row["frames"] == "6" and "3.png: is damaged" in row["problems"]
    found, expected = results(out), results(tmp_path / "whole")
    for name in ("masks/3.png", "overlays/3.jpg"):
        expected.pop(name)
    del expected["predictions.csv"][3], found["summary.csv"]
    assert found == expected
    assert (out / "predictions.csv").read_bytes().count(b"\r\n") == 7
    before = times(out / "masks")
    assert run(folder, model, out, "--resume") == 1
    assert times(out / "masks") == before
    (folder / "6.png").rename(folder / "7.png")
    assert run(folder, model, out, "--resume") == 1
    assert (out / "masks/7.png").exists()
    (out / "done.json").unlink()
    assert run(folder, model, out, "--resume", "--no_masks") == 1
    left = [file.name for file in (out / "masks").iterdir()]
    assert left == ["6.png"]  # of no source any more
    assert (out / "overlays/7.jpg").exists()


def test_a_part_that_is_complete_is_not_done_again(model, tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), green_square(60, 80, 8, 8, 30))
    monkeypatch.setattr(jobs_module, "PART", 2)
    out = tmp_path / "out"
    full = out / ".parts/0000002/predictions.csv"
    with monkeypatch.context() as patch:
        real_open = open

        def no_space(path, *args, **kwargs):
            if path == full:
                raise OSError(28, "No space left on device", str(path))
            return real_open(path, *args, **kwargs)

        patch.setattr("builtins.open", no_space)
        assert run(folder, model, out, "--resume") == 1
    (row,) = rows_of(out / "summary.csv")
    assert "No space left" in row["problems"] and row["frames"] == "2"
    done = out / ".parts/0000000/done.json"
    assert json.loads(done.read_text())["row"]["frames"] == 2
    before = (out / ".parts/0000000/masks/0.png").stat().st_mtime_ns
    assert run(folder, model, out, "--resume") == 0
    assert (out / "masks/0.png").stat().st_mtime_ns == before
    assert len(rows_of(out / "predictions.csv")) == 4 and not (out / ".parts").exists()


def test_sources_of_a_list(archive, model, tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, left in (("p", 4), ("q", 46)):  # smoothed, the second would be lost
        cv2.imwrite(str(photos / f"{name}.png"), green_square(60, 80, 8, left, 30))
    monkeypatch.chdir(tmp_path)
    lines = ["# an archive", "", "archive", "photos", " rtsp://me:secret@host/one "]
    (tmp_path / "list.txt").write_text("\n".join([*lines, "nowhere.mp4"]))
    sources = listed_sources("list.txt")
    videos = [f"archive/{name}.avi" for name in "abc"]
    assert sources == [*videos, "photos", "rtsp://me:secret@host/one", "nowhere.mp4"]
    folders = [job.out_dir.relative_to(tmp_path) for job in make_jobs(sources, Path())]
    names = "archive/a archive/b archive/c photos host_one nowhere"
    assert list(map(str, folders)) == names.split()
    (tmp_path / "list.txt").write_text("archive\nphotos\nnowhere.mp4\n")
    assert run("list.txt", model, tmp_path / "out", "--smooth", "0.5") == 1
    *rows, last = rows_of(tmp_path / "out/summary.csv")
    assert not any(row["problems"] for row in rows) and len(rows) == 4
    assert rows[3]["polyp_frames"] == "2"
    assert "found no picture" in last["problems"]
    assert (tmp_path / "out/photos/masks/p.png").exists()


def test_what_is_one_source(archive, tmp_path):
    cv2.imwrite(str(tmp_path / "p.png"), green_square(60, 80, 8, 8, 30))
    for source in (archive / "a.avi", tmp_path, tmp_path / "*.png", "0", "nowhere"):
        assert listed_sources(str(source)) == []
    assert len(listed_sources(str(tmp_path / "**/*.avi"))) == 3
    (archive / "._a.avi").touch()  # macOS leaves such files behind
    assert len(listed_sources(str(archive))) == 3


def test_lists_that_are_refused(archive, model, tmp_path):
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(UserError, match="empty.txt lists no source"):
        listed_sources(str(tmp_path / "empty.txt"))
    write_video(archive / "a.mp4.avi", 0)
    (archive / "a.mp4.avi").rename(archive / "a.mp4")
    with pytest.raises(UserError, match=r"a\.avi and .*a\.mp4 have one name"):
        run(archive, model, tmp_path / "out")
    (archive / "a.png").touch()
    with pytest.raises(UserError, match='holds pictures and videos.*as "\\*.avi"'):
        listed_sources(str(archive))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--show"], "--show is for one source"),
        (["--reconnect", "3"], "--reconnect is for cameras and streams"),
    ],
)
def test_flags_that_do_not_fit(archive, model, tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        run(archive, model, tmp_path / "out", *flags)
    assert not (tmp_path / "out").exists()


def test_test_time_augmentation_reaches_the_model(
    archive, model, tmp_path, monkeypatch, detector
):
    given = {}

    def load(*_, **arguments):
        given.update(arguments)
        return detector

    monkeypatch.setattr("deploy.segmenter.load_runtime", load)
    assert run(archive, model, tmp_path / "out", "--tta", "flips") == 0
    assert given["tta"] == "flips"


def test_a_missing_model_unmarks_nothing(archive, model, tmp_path):
    assert run(archive, model, tmp_path / "out") == 0
    with pytest.raises(UserError, match="Model not found: .*nowhere.xml"):
        run(archive, tmp_path / "nowhere.xml", tmp_path / "out")
    assert (tmp_path / "out/a/done.json").exists()


def test_a_damaged_marker_is_none(archive, model, tmp_path):
    assert run(archive, model, tmp_path / "out") == 0
    found = results(tmp_path / "out")
    for text in ("{", "[]", '{"settings": {}}'):
        (tmp_path / "out/a/done.json").write_text(text)
        assert run(archive, model, tmp_path / "out", "--resume") == 0
        assert results(tmp_path / "out") == found


def test_a_source_that_cannot_be_read_does_not_stop_the_others(
    archive, model, tmp_path, monkeypatch
):
    (tmp_path / "locked").mkdir()
    opened = jobs_module.open_source

    def refuse(source, *given):
        if source.endswith("locked"):
            raise PermissionError(13, "Permission denied", source)
        return opened(source, *given)

    monkeypatch.setattr(jobs_module, "open_source", refuse)
    listed = tmp_path / "list.txt"
    listed.write_text(f"{tmp_path / 'locked'}\n{archive / 'a.avi'}\n")
    assert run(listed, model, tmp_path / "out") == 1
    first, second = rows_of(tmp_path / "out/summary.csv")
    assert "Permission denied" in first["problems"]
    assert second["frames"] == str(FRAMES) and not second["problems"]


def test_what_is_secret_in_an_address_is_not_shown(model, tmp_path, capsys):
    listed = tmp_path / "list.txt"
    listed.write_text("rtsp://me:h1dden@127.0.0.1:1/scope?key=hidden\n")
    assert run(listed, model, tmp_path / "out") == 1
    shown = capsys.readouterr().out + (tmp_path / "out/summary.csv").read_text()
    assert "rtsp://127.0.0.1:1/scope" in shown
    assert "h1dden" not in shown and "?key" not in shown


def test_a_list_of_something_else(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"a.avi\0\n")
    with pytest.raises(UserError, match="list.txt is no text in UTF-8"):
        listed_sources(str(tmp_path / "list.txt"))
