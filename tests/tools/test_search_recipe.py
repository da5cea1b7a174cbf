"""The recipe search says which runs are missing from its table."""

import sys

from tools.search_recipe import parse_args, train_arm


def test_failed_run_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", "false")
    args = parse_args(["--data_path", "none", "--out_dir", str(tmp_path)])
    train_arm("no augmentation", 3, args)
    log = tmp_path / "no_augmentation_3" / "output.log"
    assert f"no augmentation, seed 3: failed, see {log}" in capsys.readouterr().out
