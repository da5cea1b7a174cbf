"""The recipe search: its table, and what it says of a run that failed."""

import json
import sys

from tools.search_recipe import folder_of, parse_args, table, train_arm


def test_failed_run_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", "false")
    args = parse_args(["--data_path", "none", "--out_dir", str(tmp_path)])
    train_arm("no augmentation", 3, args)
    log = tmp_path / "no_augmentation_3" / "output.log"
    assert f"no augmentation, seed 3: failed, see {log}" in capsys.readouterr().out


def test_arms_are_ranked_by_what_they_gain_on_the_base_of_their_seeds(tmp_path):
    scores = {
        ("base", 0): [0.2, 0.4],
        ("base", 1): [0.8, 0.8],
        ("no augmentation", 0): [0.3, 0.5],
        ("structure loss", 0): [0.1, 0.3],
        ("structure loss", 1): [0.8, 0.8],
    }
    for (arm, seed), dice in scores.items():
        folder = folder_of(tmp_path, arm, seed)
        folder.mkdir()
        rows = [[f"image{i}", f"sequence{i}", value] for i, value in enumerate(dice)]
        (folder / "validation.json").write_text(json.dumps({"per_image": rows}))
    rows = table(tmp_path, ["base", "structure loss", "no augmentation"], [0, 1])
    cells = [[c.strip() for c in row.split("|")[1:5]] for row in rows.splitlines()[2:]]
    assert cells == [
        ["no augmentation", "0.4000", "0.4000", "+0.1000"],
        ["base", "0.5500", "0.3000, 0.8000", ""],
        ["structure loss", "0.5000", "0.2000, 0.8000", "-0.0500"],
    ]
