"""Imports run downwards only, and never in a circle.

All files are read with `ast`, so imports inside functions and under TYPE_CHECKING count
too. A package may import what stands in a line below its own; packages of one line do
not import each other.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = {path.stem for path in ROOT.glob("*.py")}
LEVELS = (
    {"tools", "web", *SCRIPTS},
    {"deploy", "training"},
    {"evaluation"},
    {"data"},
    {"models", "losses", "metrics"},
    {"cli"},
)
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}


def modules(root: Path, packages: set[str]) -> dict[str, Path]:
    """Finds the modules of packages and scripts: dotted name → file."""
    files = [root / f"{name}.py" for name in packages if (root / f"{name}.py").exists()]
    for name in packages:
        # The folders in data/ are datasets.
        files += (root / name).glob("*.py" if name == "data" else "**/*.py")
    names = {file: file.relative_to(root).with_suffix("").parts for file in files}
    return {
        ".".join(parts[:-1] if parts[-1] == "__init__" else parts): file
        for file, parts in names.items()
    }


def imported(file: Path, known: dict[str, Path]) -> Iterator[tuple[str, int]]:
    """Finds what a file imports of the known modules: name and line number."""
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import"
            # `from a.b import c`: the module a.b.c, or the name c of the module a.b.
            children = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [c if c in known else node.module for c in children]
        else:
            continue
        for name in dict.fromkeys(names):
            if name in known:
                yield name, node.lineno


def upward_imports(known: dict[str, Path]) -> list[str]:
    """Lists imports that run upwards, or between packages of one level."""
    faults = []
    for name, file in known.items():
        package = name.split(".")[0]
        for target, line in imported(file, known):
            other = target.split(".")[0]
            if other != package and LEVEL_OF[other] <= LEVEL_OF[package]:
                faults.append(f"{file}:{line}: {package} imports {target}")
    return faults


def circle(known: dict[str, Path]) -> list[str]:
    """Finds modules that import each other in a circle, the first also last."""
    graph = {
        name: {target for target, _ in imported(file, known)}
        for name, file in known.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.fixture(scope="module")
def project() -> dict[str, Path]:
    return modules(ROOT, set(LEVEL_OF))


def test_every_package_has_its_level():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages | SCRIPTS == set(LEVEL_OF)


def test_imports_run_downwards(project):
    assert "data.pairs" in project and "train" in project
    assert not (faults := upward_imports(project)), "\n".join(sorted(faults))


def test_no_file_is_part_of_a_circle(project):
    assert not (found := circle(project)), " -> ".join(found)


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("data/a.py", "import evaluation.b", "data imports evaluation.b"),
        ("data/a.py", "def f():\n    from tools import x", "data imports tools"),
        ("data/a.py", "from evaluation.b import x", "data imports evaluation.b"),
        ("data/a.py", "from evaluation import b", "data imports evaluation.b"),
        ("deploy/a.py", "if TYPE_CHECKING:\n    import training.b", "deploy imports"),
        ("tools/a.py", "import train", "tools imports train"),
        ("evaluation/b.py", "import data.a, models, json", None),
    ],
)
def test_the_test_finds(tmp_path, file, text, fault):
    for name in ("data/a.py", "evaluation/b.py", "training/b.py", "models/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("deploy/a.py", "tools/__init__.py", "train.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / file).write_text(text)
    faults = upward_imports(modules(tmp_path, set(LEVEL_OF)))
    assert len(faults) == bool(fault)
    if fault:
        assert file in faults[0] and fault in faults[0]


def test_the_test_finds_a_circle(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/__init__.py").touch()
    (tmp_path / "data/a.py").write_text("from data.b import x\n")
    (tmp_path / "data/b.py").write_text("def f():\n    from data import c\n")
    (tmp_path / "data/c.py").write_text("import json\n")
    known = modules(tmp_path, {"data"})
    assert circle(known) == []
    (tmp_path / "data/c.py").write_text("import data.a\n")
    assert set(circle(known)) == {"data.a", "data.b", "data.c"}
