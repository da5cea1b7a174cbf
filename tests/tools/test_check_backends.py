"""Networks and losses need Keras only, and the comparison of backends finds faults."""

import ast
from pathlib import Path

import numpy as np
import pytest

from cli.command import UserError
from tools import check_backends
from tools.check_backends import difference, parse_args

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = {"tensorflow", "jax", "torch"}


def test_only_the_fused_kernel_is_tensorflows():
    """Its import stands inside a function that asks for the backend first."""
    found = {}
    for package in ("models", "losses"):
        for file in (ROOT / package).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module]
                else:
                    continue
                if BACKENDS & {name.split(".")[0] for name in names}:
                    found[file.name] = node.col_offset
    assert list(found) == ["batch_normalization.py"]
    assert found["batch_normalization.py"] > 4  # inside `if backend() == …:`


def test_difference():
    small, large = np.float32([0.5, 0.25]), np.float32([100, 50])
    assert difference(small, small) == 0
    assert difference(small + np.float32([0, 0.25]), small) == 0.25  # absolute
    assert difference(large + 1, large) == pytest.approx(0.01)  # of the largest value
    assert difference(small * np.nan, small) == np.inf
    assert difference(small[:1], small) == np.inf


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"loss": np.float32(0.5)}, 0),
        ({"loss": np.float32(0.5001)}, 1),
        ({"loss": np.float32(np.nan)}, 1),
        ({}, 1),  # nothing was compared
    ],
)
def test_exit_code(tmp_path, monkeypatch, capsys, values, code):
    np.savez(tmp_path / "values.npz", loss=np.float32(0.5))
    monkeypatch.setattr(check_backends, "compute_values", lambda _: values.items())
    args = parse_args(["--compare", str(tmp_path)])
    assert check_backends.main(args) == code
    assert capsys.readouterr().out.endswith("FAIL\n" if code else "pass\n")


def test_folder_without_values(tmp_path):
    with pytest.raises(UserError, match="make it with --write"):
        check_backends.main(parse_args(["--compare", str(tmp_path)]))
