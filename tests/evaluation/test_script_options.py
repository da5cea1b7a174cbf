"""The options of Test.py and New_Test.py, before anything is loaded."""

import subprocess
import sys

import pytest

import New_Test
import Test

HEAVY = {"numpy", "cv2", "scipy", "tensorflow", "keras", "matplotlib"}


@pytest.mark.parametrize("script", ["Test", "New_Test"])
def test_help_imports_no_heavy_package(script):
    code = (
        f"import sys, {script}\n"
        f"try: {script}.parse_args(['--help'])\n"
        f"finally: print('loaded:', *({HEAVY} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert "pvtseg" in result.stdout
    assert result.stdout.endswith("loaded:\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--view", "part"], "invalid choice: 'part'"),
        (["--threshold", "1"], "must be above 0 and below 1, received 1"),
        (["--threshold", "x"], "invalid threshold value: 'x'"),
        (["--protocol", "dice"], "invalid choice: 'dice'"),
        (["--model", "lgps"], "unrecognized arguments: --model lgps"),
    ],
)
@pytest.mark.parametrize("script", [Test, New_Test])
def test_wrong_values_are_named_in_one_line(script, flags, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.parse_args(["--data_path", "data", *flags])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_seeds_and_maps_are_checked(capsys):
    for flags, message in (
        (["--seeds"], "--seeds needs at least two"),
        (["--predictions", "maps", "--tta", "flips"], "need a model"),
        (["--predictions", "maps", "--view", "cropped"], "need a model"),
    ):
        with pytest.raises(SystemExit):
            New_Test.parse_args(["--data_path", "data", *flags])
        assert message in capsys.readouterr().err
