"""How every command ends: a line instead of a traceback, and what it began undone."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.command import (
    UserError,
    command_parser,
    import_tensorflow,
    run_command,
)

ROOT = Path(__file__).resolve().parents[2]


def raises(error):
    raise error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(13, "Permission denied", "out.csv"), "out.csv: Permission"),
        (OSError(28, "No space left on device"), "No space left"),
        (OSError("unable to open"), "unable to open"),
    ],
)
def test_a_file_that_cannot_be_written_is_one_line(capsys, error, line):
    with pytest.raises(SystemExit, match="2"):
        run_command(lambda: raises(error))
    written = capsys.readouterr().err
    assert written.startswith(f"error: {line}") and written.count("\n") == 1


TERMINATED = """
import os, signal
from cli.command import run_command, sigterm_as_interrupt

@sigterm_as_interrupt()
def main():
    os.kill(os.getpid(), signal.SIGTERM)

before = signal.getsignal(signal.SIGTERM)
try:
    run_command(main)
finally:
    assert signal.getsignal(signal.SIGTERM) == before
"""


def test_termination_is_an_interruption():
    command = [sys.executable, "-c", TERMINATED]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")


def test_a_wrong_flag_is_one_line_and_exit_2(capsys):
    parser = command_parser("What it does.", prog="python X.py")
    parser.add_argument("--size", type=int)
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--size", "large"])
    written = capsys.readouterr().err
    assert written == (
        "error: argument --size: invalid int value: 'large' (see python X.py --help)\n"
    )


def test_missing_tensorflow_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UserError, match="TensorFlow is not installed"):
        import_tensorflow()
