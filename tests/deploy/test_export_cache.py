"""Exports that Predict.py makes once and keeps."""

import shutil

import numpy as np
import pytest

import Predict
from cli.command import UserError
from cli.files import sha256
from data.demo import draw_frame
from deploy import export_cache, export_run
from deploy.export_cache import cache_folder, cached_export
from deploy.runtimes import load_runtime


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder()


def test_first_run_exports_and_the_next_ones_do_not(network, monkeypatch, capfd, cache):
    path = cached_export(network)
    assert path == cache / sha256(network) / "tiny.xml"
    assert capfd.readouterr().out == f"exporting for OpenVINO, this once: {path}\n"
    assert [one.name for one in cache.iterdir()] == [sha256(network)]
    frame, _ = draw_frame(3, (64, 48))
    maps = [load_runtime(file)(frame) for file in (path, network)]
    np.testing.assert_allclose(*maps, atol=1e-5)

    monkeypatch.setattr(export_run, "export_checkpoint", None)
    assert cached_export(network) == path
    assert capfd.readouterr().out == f"running in OpenVINO: {path}\n"
    path.with_suffix(".bin").write_bytes(b"damaged")
    with pytest.raises(UserError, match="has changed since it was exported"):
        load_runtime(path)


def test_another_checkpoint_of_the_same_name_has_its_own_export(
    network, tmp_path, monkeypatch
):
    other = tmp_path / network.name
    shutil.copy(network, other)
    with open(other, "ab") as stream:
        stream.write(b"changed")

    def export(options):
        options.out.parent.mkdir()
        options.out.touch()
        return 0

    monkeypatch.setattr(export_run, "export_checkpoint", export)
    assert cached_export(network) != cached_export(other)


@pytest.mark.parametrize("end", ["refused", "full disk", "interrupted"])
def test_an_export_that_fails_leaves_nothing(network, monkeypatch, cache, end):
    def export(options):
        options.out.parent.mkdir()
        options.out.write_bytes(b"half")
        if end == "refused":
            return 1
        raise OSError(28, "No space left") if end == "full disk" else KeyboardInterrupt

    monkeypatch.setattr(export_run, "export_checkpoint", export)
    if end == "interrupted":
        with pytest.raises(KeyboardInterrupt):
            cached_export(network)
    else:
        assert cached_export(network) == network
    assert list(cache.iterdir()) == []


def test_without_tensorflow_the_message_names_what_helps(network, monkeypatch, cache):
    def missing():
        raise UserError("TensorFlow is not installed; run: pip install X")

    monkeypatch.setattr(export_cache, "import_tensorflow", missing)
    with pytest.raises(UserError, match="pip install X, or give --model_path a file"):
        cached_export(network)
    assert not cache.exists()


def test_without_openvino_the_checkpoint_is_run(network, monkeypatch):
    monkeypatch.setattr(export_cache, "find_spec", lambda name: None)
    assert cached_export(network) == network


@pytest.mark.parametrize("flags", [[], ["--unverified"], ["--model_path", "a.h5"]])
def test_predict_takes_it_for_the_shipped_weights(tmp_path, monkeypatch, flags):
    def load(model, *_, **__):
        raise UserError(f"asked for {model}")

    monkeypatch.setattr(export_cache, "cached_export", lambda path: "the cached file")
    monkeypatch.setattr("deploy.segmenter.load_segmenter", load)
    (tmp_path / "a.png").touch()
    args = Predict.parse_args(["--source", str(tmp_path), *flags])
    asked = str(args.model_path) if flags else "the cached file"
    with pytest.raises(UserError, match=f"asked for {asked}"):
        Predict.main(args)
