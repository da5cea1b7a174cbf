"""The notebook runs from its first cell to its last, in a copy of the project."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"
NEEDED = ("cli", "data", "models", "losses", "metrics", "evaluation", "training")
NEEDED += ("deploy", "weights", "notebooks")


def _copy_of_the_project(folder: Path) -> None:
    """Code and weights without anybody's datasets, runs or results."""
    for name in NEEDED:
        (folder / name).mkdir()
        for file in (ROOT / name).rglob("*"):
            place = folder / file.relative_to(ROOT)
            if name == "data" and file.is_relative_to(ROOT / "data"):
                inner = file.relative_to(ROOT / "data").parts
                if len(inner) > 1 and inner[0] != "splits":
                    continue
            if file.is_file() and "__pycache__" not in file.parts:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)
    for script in ROOT.glob("*.py"):
        shutil.copyfile(script, folder / script.name)


@pytest.mark.slow
def test_every_cell_runs(tmp_path):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    _copy_of_the_project(tmp_path)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=600,
        resources={"metadata": {"path": str(tmp_path / "notebooks")}},
    )
    client.execute()
    text = "\n".join(
        output.get("text", "") for cell in notebook.cells for output in _outputs(cell)
    )
    assert "Traceback" not in text and "error:" not in text, text
    assert (tmp_path / "runs" / "notebook" / "best.h5").is_file(), text
    assert "(288, 384)" in text  # the exported network's mask


def _outputs(cell) -> list:
    return cell.get("outputs", [])
