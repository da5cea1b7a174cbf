"""An evaluation's results folder is replaced as a whole or not at all."""

from types import SimpleNamespace

import pytest

import evaluation.evaluate
from evaluation.evaluate import evaluate
from evaluation.protocols import build_protocols


def test_interrupted_evaluation_leaves_what_was_there(
    tmp_path, make_case, make_case_set, monkeypatch
):
    cases = [make_case([[1, 0]], [[1, score]], f"case{score}") for score in (0, 1)]

    def run(cases):
        maps = SimpleNamespace(
            label="m",
            source=tmp_path,
            checkpoint=tmp_path,
            view=None,
            images_per_second=None,
        )
        maps.cases = lambda _, shown=None: [
            cases[i] for i in shown or range(len(cases))
        ]
        protocols = build_protocols(["pvtseg"])
        evaluate(maps, make_case_set(cases), protocols, folder)

    def content():
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    run(cases)
    before = content()
    assert {"notes.txt", "report.html", "cases/00001.jpg"} < set(before)
    with monkeypatch.context() as patch:
        patch.setattr(evaluation.evaluate, "write_report", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(cases[:1])
    assert content() == before
    run(cases[:1])
    assert set(before) - set(content()) == {"cases/00001.jpg"}


def interrupt(*_):
    raise KeyboardInterrupt
