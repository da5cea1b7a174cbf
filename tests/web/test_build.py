"""Building the page, and its server."""

import http.client
import json
import subprocess
import threading

import pytest

from cli.command import UserError
from models.shipped import SHIPPED_WEIGHTS
from web import bench, build, serve


@pytest.fixture
def without_export(monkeypatch):
    """Stands in for the export, which takes half a minute."""

    def write(model, image_size, folder):
        (folder / build.MODEL).write_bytes(b"model")
        return {"model": "lgps", "parameters": 1234}

    monkeypatch.setattr(build, "export_model", write)


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """Stands in for ONNX Runtime Web as npm installs it."""
    folder = tmp_path / "onnxruntime-web"
    folder.mkdir()
    (folder / build.RUNTIME_SCRIPT).write_text("script")
    (folder / build.RUNTIME_CODE).write_bytes(bytes(5000))
    monkeypatch.setattr(build, "RUNTIME", folder)


@pytest.fixture
def dist(tmp_path, without_export, runtime):
    build.build(SHIPPED_WEIGHTS["lgps"], None, tmp_path / "dist")
    return tmp_path / "dist"


def test_build_holds_everything_the_page_asks_for(dist):
    about = json.loads((dist / "about.json").read_text())
    assert about["model"] == "lgps" and about["parameters"] == 1234
    code = (dist / f"{build.RUNTIME_CODE}.gz").stat().st_size
    assert about["download_bytes"] == code + len(b"model")
    assert code < 500  # compressed
    assert [sample["name"] for sample in about["samples"]] == list(build.SAMPLES)
    files = {str(path.relative_to(dist)) for path in dist.rglob("*") if path.is_file()}
    samples = {sample["file"] for sample in about["samples"]}
    source = build.WEB / "src"
    assert files == samples | {path.name for path in source.iterdir()} | {
        build.MODEL,
        build.RUNTIME_SCRIPT,
        f"{build.RUNTIME_CODE}.gz",
        "about.json",
    }


def test_build_again_replaces_it(dist, without_export, runtime):
    (dist / "page.js").write_text("old")
    build.build(SHIPPED_WEIGHTS["lgps"], None, dist)
    assert (dist / "page.js").read_text() != "old"


def test_missing_runtime_names_the_command(tmp_path, without_export, monkeypatch):
    monkeypatch.setattr(build, "RUNTIME", tmp_path / "nowhere")
    with pytest.raises(UserError, match="npm ci --prefix web"):
        build.build(SHIPPED_WEIGHTS["lgps"], None, tmp_path / "dist")
    assert list((tmp_path / "dist").iterdir()) == []  # nothing half done


@pytest.mark.slow
def test_failed_export_is_passed_on(tmp_path, runtime):
    with pytest.raises(UserError, match=r"absent\.h5"):
        build.build(tmp_path / "absent.h5", None, tmp_path / "dist")


def test_a_killed_export_is_named(tmp_path, monkeypatch):
    ended = subprocess.CompletedProcess([], -9, "", "")
    monkeypatch.setattr(build.subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(UserError, match="Export.py ended with code -9"):
        build.export_model(tmp_path / "best.h5", None, tmp_path)


def test_version_of_the_runtime_is_pinned():
    package = json.loads((build.WEB / "package.json").read_text())
    lock = json.loads((build.WEB / "package-lock.json").read_text())
    version = package["dependencies"]["onnxruntime-web"]
    assert version[0].isdigit()
    locked = lock["packages"]["node_modules/onnxruntime-web"]
    assert locked["version"] == version
    assert all("resolved" not in package for package in lock["packages"].values())


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("index.html", "text/html"),
        ("page.js", "text/javascript"),
        (build.RUNTIME_SCRIPT, "text/javascript"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_server_isolates_the_page(dist, file, kind):
    with serve.make_server(dist, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
        connection.request("GET", f"/{file}")
        response = connection.getresponse()
        assert response.status == 200
        assert response.read() == (dist / file).read_bytes()
        assert response.getheader("Content-Type") == kind
        assert response.getheader("Cross-Origin-Opener-Policy") == "same-origin"
        assert response.getheader("Cross-Origin-Embedder-Policy") == "require-corp"
        server.shutdown()


def test_server_says_what_is_wrong(dist, tmp_path):
    with pytest.raises(UserError, match="holds no page; python -m web.build"):
        serve.make_server(tmp_path, 0)
    with serve.make_server(dist, 0) as server:
        with pytest.raises(UserError, match=f"port {server.server_port} cannot be"):
            serve.make_server(dist, server.server_port)


def test_benchmark_compares_minimum_and_median():
    row = bench.summarise(browser=[30.0, 20.0, 60.0], python=[10.0, 5.0, 12.0])
    assert row["browser_min"] == 20 and row["browser_p50"] == 30
    assert row["python_p95"] == pytest.approx(11.8)
    assert row["ratio_min"] == 4 and row["ratio_p50"] == 3
    head, _, line = bench.table([{"threads": 2} | row]).splitlines()
    assert head.startswith("| threads | browser_min |")
    assert line.startswith("| 2 | 20.0 | 30.0 |")
