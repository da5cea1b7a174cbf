"""Many videos on Ray: the results of a run without it, also when something dies."""

import csv
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

import Predict
from cli.command import UserError
from deploy import cluster
from deploy.jobs import Options, Row, make_job
from tests.deploy.conftest import green_square

needs_ray = pytest.mark.skipif(
    not find_spec("ray") or not find_spec("openvino"),
    reason="needs: pip install -r requirements-cluster.txt -r requirements-export.txt",
)
ROOT = Path(__file__).resolve().parents[2]
FRAMES = 1500  # a second or more of work, so that a video can be interrupted
VIDEOS = 4
SECONDS = 240  # for anything that is waited for
# Of the test's own clusters, so that no one else on the network can use them.
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}


def make_model(path):
    """An OpenVINO file that gives 1 where a frame is pure green: it loads at once."""
    import openvino
    from openvino import opset13 as ops

    frames = ops.parameter([1, 32, 32, 3], np.uint8)
    red, green = (
        ops.gather(ops.convert(frames, "f32"), [channel], 3) for channel in (0, 1)
    )
    is_green = ops.logical_and(
        ops.greater(green, np.float32(180)), ops.less(red, np.float32(100))
    )
    model = openvino.Model([ops.convert(is_green, "f32")], [frames])
    openvino.save_model(model, path, compress_to_fp16=False)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A model, a folder of videos, and their results without Ray."""
    folder = tmp_path_factory.mktemp("cluster")
    make_model(folder / "green.xml")
    (folder / "archive").mkdir()
    for video in range(VIDEOS):
        path = str(folder / f"archive/{video}.avi")
        code = cv2.VideoWriter_fourcc(*"MJPG")
        writer = cv2.VideoWriter(path, code, 25, (128, 96))
        for number in range(FRAMES):
            writer.write(green_square(96, 128, 32, (number + 20 * video) % 90, 32))
        writer.release()
    finish(predict(folder, folder / "expected"))
    return folder


def predict(work, out_dir, *flags, source="archive", token=TOKEN):
    """Starts Predict.py; its process group holds the Ray it starts."""
    command = [sys.executable, ROOT / "Predict.py", "--source", work / source]
    command += ["--model_path", work / "green.xml", "--out_dir", out_dir]
    return subprocess.Popen(
        [*map(str, command), "--threads", "1", "--smooth", "0.5", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **token},
    )


def finish(process, code=0):
    """Waits for the end, and for the exit code; the output, without noise of Ray."""
    output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == code, output + errors
    lines = [line for line in errors.splitlines() if not line.startswith("error: ")]
    assert not lines, errors
    return output + errors


def results(out_dir):
    """All results: bytes, and tables without what depends on the time."""
    found = {}
    for file in sorted(out_dir.rglob("*")):
        name = str(file.relative_to(out_dir))
        if file.suffix == ".csv":
            with file.open(newline="") as stream:
                rows = list(csv.DictReader(stream))
            for row in rows:
                for column in [name for name in row if name.endswith("_ms")]:
                    del row[column]
                if name == "summary.csv":
                    del row["seconds"]
            found[name] = rows
        elif file.is_file() and file.name != "done.json":
            found[name] = file.read_bytes()
    return found


def wait_until(condition):
    """Polls until there is something; returns it."""
    end = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return found


def ray_tasks(ancestor):
    """Process ids of the workers below a process that run a task now."""
    parent_of, tasks = {}, []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            status = (entry / "stat").read_text().rpartition(")")[2].split()
            parent_of[int(entry.name)] = int(status[1])
            if (entry / "cmdline").read_bytes().startswith(b"ray::_run"):
                tasks.append(int(entry.name))
        except OSError:  # it has ended
            continue

    def is_below(pid):
        while pid > 1 and pid != ancestor:
            pid = parent_of.get(pid, 0)
        return pid == ancestor

    return [pid for pid in tasks if is_below(pid)]


def begun(out_dir):
    """The videos some of whose masks are written, but not marked as complete."""
    tables = out_dir.glob("*/predictions.csv")
    return [
        table.parent
        for table in tables
        if table.stat().st_size > 5000 and not (table.parent / "done.json").exists()
    ]


def times(folders):
    return {
        file: file.stat().st_mtime_ns for folder in folders for file in folder.iterdir()
    }


@contextmanager
def node(*flags, **environment):
    """A Ray node of its own, as `ray start` makes one, until the end of the block."""
    ray = Path(sys.executable).with_name("ray")
    command = [ray, "start", "--block", "--disable-usage-stats", *flags]
    process = subprocess.Popen(
        list(map(str, [*command, "--object-store-memory", 10**8])),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **TOKEN, **environment},
    )
    try:
        assert any("Ray runtime started" in line for line in process.stdout)
        yield process
    finally:
        process.terminate()
        process.wait(SECONDS)


@contextmanager
def head(cores):
    """The first node of a cluster, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    flags = ("--head", "--port", port, "--node-ip-address", "127.0.0.1")
    flags += ("--num-cpus", cores, "--include-dashboard", "false")
    with node(*flags):
        yield address


@contextmanager
def second_node(address, cores, **environment):
    """Another node on this machine."""
    flags = ("--address", address, "--num-cpus", cores)
    flags += ("--min-worker-port", 20000, "--max-worker-port", 20999)
    with node(*flags, **environment) as process:
        yield process


@needs_ray
@pytest.mark.slow
def test_results_are_those_without_ray(work, tmp_path):
    output = finish(predict(work, tmp_path / "out", "--cluster", "local"))
    assert f"{VIDEOS} sources, {VIDEOS * FRAMES} frames" in output
    assert results(tmp_path / "out") == results(work / "expected")


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])  # as `ray stop` does
def test_killed_worker_is_replaced(work, tmp_path, how):
    out = tmp_path / "out"
    process = predict(work, out, "--cluster", "local")
    wait_until(lambda: list(out.glob("*/done.json")) and begun(out))
    complete = [marker.parent for marker in out.glob("*/done.json")]
    before = times(complete)
    killed = ray_tasks(process.pid)
    for pid in killed:
        os.kill(pid, how)
    output = finish(process)
    assert killed and "problem" not in output and "raylet" not in output
    assert times(complete) == before
    assert results(out) == results(work / "expected")


def test_complete_results_are_not_predicted_again(tmp_path):
    """Ray gives a job again when its worker dies between the marker and the answer."""
    model = tmp_path / "green.xml"
    model.write_bytes(b"loaded by no one")
    (tmp_path / "video.avi").write_bytes(b"read by no one")
    job, options = make_job(str(tmp_path / "video.avi"), tmp_path), Options(model, 1)
    row = Row(job.source, frames=7)
    job.complete(row, options, job.files_hash())
    assert cluster._run(job, options, None, 0) == row


@needs_ray
@pytest.mark.slow
def test_video_that_kills_every_worker_is_given_up(work, tmp_path):
    process = predict(work, tmp_path, "--cluster", "local", source="archive/0.avi")
    killed = set()
    while process.poll() is None:
        for pid in set(ray_tasks(process.pid)) - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        time.sleep(0.1)
    output = finish(process, code=1)
    assert len(killed) == 4 and "0.avi: its worker died 4 times" in output


@needs_ray
@pytest.mark.slow
def test_killed_driver_is_resumed(work, tmp_path):
    out = tmp_path / "out"
    process = predict(work, out, "--cluster", "local")
    wait_until(lambda: list(out.glob("*/done.json")) and begun(out))
    process.kill()
    process.communicate()
    complete = [marker.parent for marker in out.glob("*/done.json")]
    assert 0 < len(complete) < VIDEOS
    before = times(complete)
    finish(predict(work, out, "--cluster", "local", "--resume"))
    assert times(complete) == before
    assert results(out) == results(work / "expected")


@needs_ray
@pytest.mark.slow
def test_what_is_damaged_or_cannot_be_written_is_named(work, tmp_path):
    """A damaged video, a full disk for another; the rest, and then the other too."""
    out, archive = tmp_path / "out", work / "broken"
    shutil.copytree(work / "archive", archive)
    (archive / "0.avi").write_bytes(b"no video")
    (out / "1").mkdir(parents=True)
    (out / "1/predictions.csv").symlink_to("/dev/full")
    run = {"source": "broken"}
    output = finish(predict(work, out, "--cluster", "local", **run), code=1)
    assert "0.avi: cannot be opened" in output
    assert "1.avi: stopped: " in output and "No space left on device" in output
    assert output.count("problem: ") == 2
    (out / "1/predictions.csv").unlink()
    flags = ("--cluster", "local", "--resume")
    output = finish(predict(work, out, *flags, **run), code=1)
    assert output.count("problem: ") == 1
    found, expected = results(out), results(work / "expected")
    for name in expected:
        assert name.startswith(("0/", "summary")) or found[name] == expected[name]


@needs_ray
@pytest.mark.slow
def test_two_machines_one_of_which_dies(work, tmp_path):
    """Two nodes of one core each; the second is stopped in the middle of a video."""
    out = tmp_path / "out"
    with head(cores=1) as address, second_node(address, cores=1) as second:
        process = predict(work, out, "--cluster", address)
        wait_until(lambda: len(begun(out)) == 2)
        (lost,) = ray_tasks(second.pid)
        second.terminate()
        output = finish(process)
        assert not Path(f"/proc/{lost}").exists()
    assert "problem" not in output
    assert results(out) == results(work / "expected")


@needs_ray
@pytest.mark.slow
def test_machine_without_the_runtime_is_named(work, tmp_path):
    lacking = tmp_path / "lacking/openvino"
    lacking.mkdir(parents=True)
    text = "raise ModuleNotFoundError(\"No module named 'openvino'\")"
    (lacking / "__init__.py").write_text(text)
    environment = {"PYTHONPATH": str(lacking.parent)}
    with head(cores=0) as address, second_node(address, cores=1, **environment):
        process = predict(work, tmp_path / "out", "--cluster", address)
        output = finish(process, code=2)
        assert output == (
            f"error: {socket.gethostname()}: openvino is not installed (No module named"
            " 'openvino'); run: pip install -r requirements-export.txt\n"
        )
        other = {**TOKEN, "RAY_AUTH_TOKEN": "another"}
        process = predict(work, tmp_path / "out", "--cluster", address, token=other)
        output = finish(process, code=2)
        assert output.startswith("error: this machine cannot use the Ray cluster at")
        assert "with the same token" in output and output.count("\n") == 1
        too_many = ("--cluster", address, "--threads", "3")
        output = finish(predict(work, tmp_path / "out", *too_many), code=2)
        assert "--threads 3: no machine of the cluster offers more than 1" in output


@needs_ray
@pytest.mark.slow
def test_no_cluster_at_the_address(work, tmp_path):
    process = predict(work, tmp_path / "out", "--cluster", "127.0.0.1:9")
    output = finish(process, code=2)
    assert "error: no Ray cluster answers at 127.0.0.1:9 (" in output
    assert output.endswith("start one with: ray start --head --port 9\n")


def test_missing_ray_is_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    cv2.imwrite(str(tmp_path / "a.png"), green_square(64, 64, 8, 8, 16))
    (tmp_path / "model.xml").touch()
    flags = ["--source", str(tmp_path), "--cluster", "local"]
    flags += ["--model_path", str(tmp_path / "model.xml")]
    with pytest.raises(UserError, match="pip install -r requirements-cluster.txt"):
        Predict.main(Predict.parse_args([*flags, "--out_dir", str(tmp_path / "out")]))


def test_ray_is_imported_only_when_asked_for(tmp_path):
    code = "import sys, Predict, deploy.cluster; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize(
    "address", ["remote", "ray://head:10001", "head:", ":1", "a b:1"]
)
def test_addresses_that_are_refused(address, capsys):
    with pytest.raises(SystemExit) as caught:
        Predict.parse_args(["--source", "archive", "--cluster", address])
    assert caught.value.code == 2
    assert "must be local or HOST:PORT, received" in capsys.readouterr().err
