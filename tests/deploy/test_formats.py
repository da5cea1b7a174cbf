"""Optional packages: how they are imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.command import UserError
from deploy.formats import require

ROOT = Path(__file__).resolve().parents[2]
REPORTING = """
try:
    import openvino_telemetry
except ImportError:
    sent = False
else:
    sent = True
import os
sent |= os.environ.get("ORT_DISABLE_TELEMETRY") != "1"
"""


def test_packages_do_not_report_their_use(tmp_path):
    (tmp_path / "openvino_telemetry.py").touch()
    (tmp_path / "reporting.py").write_text(REPORTING)
    code = "import sys; sys.path.insert(0, sys.argv[1]); "
    code += "from deploy.formats import require; sys.exit(require('reporting').sent)"
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, cwd=ROOT).returncode == 0


@pytest.mark.parametrize("package", ["openvino", "onnxruntime", "nncf"])
def test_packages_write_nothing_into_the_home_folder(package, tmp_path):
    pytest.importorskip(package)
    code = f"from deploy.formats import require; require({package!r})"
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **home})
    assert done.returncode == 0
    assert not list(tmp_path.rglob("*telemetry*")) and not (tmp_path / "intel").exists()
    assert not (tmp_path / "Microsoft").exists()


def test_missing_package_names_the_install_command():
    with pytest.raises(UserError, match="pip install -r requirements-export.txt"):
        require("no_such_package")
