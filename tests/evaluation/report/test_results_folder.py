"""The results folder: names, and what may not be overwritten."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from cli.command import UserError
from data.splits import LISTS
from evaluation.protocols import build_protocols
from evaluation.report.results_folder import (
    claim_folder,
    write_metrics,
    write_tables,
)
from evaluation.report.tables import escape_latex
from evaluation.scoring import score_cases
from models.shipped import SHIPPED_WEIGHTS


@pytest.fixture
def case_set(make_case, make_case_set):
    return make_case_set([make_case([[1, 0]], [[1, 0]])])


def write(root, case_set, source):
    maps = SimpleNamespace(
        label="m", source=source, checkpoint=source, view=None, images_per_second=None
    )
    folder = claim_folder(root, maps, case_set)
    scores = score_cases([case_set.read(0)], build_protocols(["pvtseg"]))
    return write_metrics(folder, maps, case_set, scores)


def test_same_checkpoint_may_write_again(tmp_path, case_set):
    source = tmp_path / "m.h5"
    source.touch()
    write(tmp_path / "out", case_set, source)
    write(tmp_path / "out", case_set, source)


def test_namesake_does_not_overwrite(tmp_path, case_set):
    one, other = tmp_path / "a" / "m.h5", tmp_path / "b" / "m.h5"
    for path in (one, other):
        path.parent.mkdir()
        path.touch()
    write(tmp_path / "out", case_set, one)
    with pytest.raises(UserError, match="holds the scores of .*a/m.h5.*--out_dir"):
        write(tmp_path / "out", case_set, other)
    one.unlink()  # nobody can mean the lost checkpoint any more
    write(tmp_path / "out", case_set, other)


def test_impossible_folder_is_named(tmp_path, case_set):
    (tmp_path / "out").write_text("a file, not a folder")
    with pytest.raises(UserError, match="out/m/toy: cannot be made"):
        write(tmp_path / "out", case_set, tmp_path / "m.h5")


def test_metrics_are_json_with_unrounded_floats(tmp_path, case_set):
    metrics = write(tmp_path / "out", case_set, tmp_path / "m.h5")
    expected = {"dataset": "toy", "model": "m", "images": 1}
    assert expected.items() <= metrics.items()
    assert metrics["protocols"]["pvtseg"]["dice"] == 1.0
    file = tmp_path / "out" / "m" / "toy" / "metrics.json"
    assert json.loads(file.read_text()) == metrics


@pytest.mark.parametrize(
    ("dataset", "file", "seen"),
    [
        ("Kvasir-SEG", "kvasir_official_val.txt", "111 of 120"),
        ("Kvasir-SEG", "pranet_test_Kvasir.txt", ""),
        ("CVC-ClinicDB", "pranet_train_CVC-ClinicDB.txt", "550 of 550"),
        ("CVC-ClinicDB-video", "pranet_train_CVC-ClinicDB.txt", "550 of 550"),
        ("ETIS", "pranet_train_CVC-ClinicDB.txt", ""),  # its images are numbers too
    ],
)
def test_images_the_shipped_weights_were_trained_on(
    dataset, file, seen, make_case, make_case_set, tmp_path
):
    case = make_case([[1, 0]], [[1, 0]])
    names = (LISTS / file).read_text().split()
    case_set = replace(make_case_set([case], dataset), names=names)
    scores = score_cases([case], build_protocols(["pvtseg"]))

    def note(source):
        maps = SimpleNamespace(
            label="m",
            source=source,
            checkpoint=source,
            view=None,
            images_per_second=None,
        )
        metrics = write_metrics(tmp_path, maps, case_set, scores)
        printed = write_tables(tmp_path, metrics, scores)
        assert metrics["note"] in printed
        assert printed in (tmp_path / "README.md").read_text(encoding="utf-8")
        return metrics["note"]

    assert note(tmp_path / "my.h5") == ""
    assert note(SHIPPED_WEIGHTS["lgps"]).split(" images")[0] == seen


def test_latex_reads_no_character_as_a_command():
    assert escape_latex("a_1 & 5 %") == r"a\_1 \& 5 \%"
    shown = r"\textasciicircum{}b\textbackslash{}c\textasciitilde{}\{"
    assert escape_latex("^b\\c~{") == shown
