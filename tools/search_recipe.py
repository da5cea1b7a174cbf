"""Compares LGPS training recipes under one budget, on images that are not reported.

    python -m tools.search_recipe --data_path data/Kvasir-SEG data/CVC-ClinicDB \\
        --external data/BKAI-IGH-500 --encoder_weights imagenet

Each arm changes one thing of the base and is trained once per seed; the seed also
draws the validation part (whole video sequences), which arms of one seed share. A run
is scored by protocol `pranet` on that part and on the external sets, which it never
saw; the mean over the sets counts. Finished runs are not repeated: stop it at any time
and start it again. Prints a Markdown table of what is there, with 95 % bootstrap
intervals of the difference to the base over whole sequences.
"""

import argparse
import csv
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cli.command import UserError, command_parser, run_command, sigterm_as_interrupt
from cli.files import write_text
from cli.ranges import AT_LEAST_ONE, number
from data.pairs import find_pairs
from data.storage import read_manifest
from evaluation.analysis.statistics import INTERVAL, cluster_weights
from metrics.polyp_size import SIZE_BINS
from models.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
OUT_DIR = ROOT / "runs" / "search"
SCORE = "pranet.mean_dice"
VALIDATION_SET = "validation"
RUNNING: set[subprocess.Popen] = set()  # trainings and scorings under way
FLAGS_FILE = "flags.txt"  # of train.py, one a line, in the folder of a run
SIZES = "128=20,160=40,192=40"  # mean 168 pixels
BASE = {
    "stages": [f"{SIZES}:25"],
    "image_size": 192,
    "augmentation": "strong",
    "loss": "structure_dice",
    "deep_supervision": True,
    "schedule": "cosine",
    "warmup_epochs": 2,
    "learning_rate": 1e-3,
    "min_learning_rate": 1e-5,
    "beta_1": 0.9,
    "weight_decay": 1e-2,
    "clipvalue": 0,
    "clipnorm": 5,
    "ema": 0.995,
    "monitor": "last",
    "no_discriminator": True,
}
# What each arm changes of the base.
ARMS = {
    "base": {},
    "half-way": {"augmentation": "halfway"},
    # As much work as the others: each image twice in a step, in half of the epochs.
    "half-way, two views": {
        "augmentation": "halfway",
        "consistency": 1,
        "batch_size": 8,
        "stages": [f"{SIZES}:13"],
    },
    "mild": {"augmentation": "mild"},
    "strong, mild in the last quarter": {
        "stages": [f"{SIZES}:19", f"{SIZES}:6:mild"],
    },
    "published loss": {"loss": "lgps"},
    "without Dice per image": {"loss": "structure"},
    "without heads": {"deep_supervision": False},
    "strong colour alone": {"augmentation": "strong_colour"},
    "strong geometry alone": {"augmentation": "strong_geometry"},
    "strong, polyps smaller": {"augmentation": "strong_far"},
    "without colour exchange": {"augmentation": "strong_no_exchange"},
    "fixed size": {"stages": ["192:25"]},
    "without squeeze-and-excitation": {"no_se": True},
}


@dataclass(frozen=True)
class Scores:
    """Per-image scores of one run on one set: name, group, Dice and polyp's area."""

    names: list[str]
    groups: list[str]
    dice: np.ndarray
    areas: np.ndarray


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = command_parser(__doc__)
    add = parser.add_argument
    add(
        "--data_path",
        nargs="+",
        required=True,
        type=Path,
        metavar="PATH",
        help="prepared sets",
    )
    add(
        "--external",
        nargs="*",
        default=[],
        type=Path,
        metavar="PATH",
        help="raw datasets to score on, none of whose images is trained on",
    )
    add("--encoder_weights", default="imagenet")
    add("--out_dir", type=Path, default=OUT_DIR)
    add("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM")
    add("--seeds", nargs="+", type=number(int), default=[0, 1])
    add("--jobs", type=number(int, AT_LEAST_ONE), default=2, help="runs at a time")
    add("--table", action="store_true", help="train nothing more")
    return parser.parse_args(argv)


@sigterm_as_interrupt()
def main(args: argparse.Namespace) -> int:
    """Trains and scores what is missing, then prints the table.

    Returns:
        The exit code: 1 if an arm failed.
    """
    succeeded = True
    if not args.table:
        for path in args.data_path:
            source_of(path)
        for path in args.external:
            find_pairs(path)
        jobs = [(arm, seed) for seed in args.seeds for arm in args.arms]
        for arm, seed in jobs:
            refuse_other_flags(arm, seed, args)
        with ThreadPoolExecutor(args.jobs) as pool:
            try:
                succeeded = all(list(pool.map(lambda job: run_arm(*job, args), jobs)))
            except BaseException:
                # What is under way is stopped too, and can be resumed later.
                for process in list(RUNNING):
                    process.terminate()
                raise
    print(table(args.out_dir, args.arms, args.seeds))
    return 0 if succeeded else 1


def refuse_other_flags(arm: str, seed: int, args: argparse.Namespace) -> None:
    """Raises `UserError` when the run of an arm was begun with other flags."""
    file = folder_of(args.out_dir, arm, seed).path / FLAGS_FILE
    wanted = flags(arm, seed, args)
    if file.is_file() and file.read_text("utf-8").splitlines() != wanted:
        raise UserError(
            f"{file.parent} was begun with other options, which {file.name} lists; "
            "give another --out_dir"
        )


def folder_of(out_dir: Path, arm: str, seed: int) -> RunFolder:
    """Where the run of an arm lies."""
    name = "".join(c if c.isalnum() or c == "." else "_" for c in arm)
    return RunFolder(out_dir / f"{name}_{seed}")


def run_arm(arm: str, seed: int, args: argparse.Namespace) -> bool:
    """Trains and scores an arm in processes of their own, unless that is done.

    Returns:
        Whether all went well.
    """
    run = folder_of(args.out_dir, arm, seed)
    run.path.mkdir(parents=True, exist_ok=True)
    write_text(run.path / FLAGS_FILE, "\n".join(flags(arm, seed, args)))
    commands = []
    if not run.validation.is_file():
        command = ["train.py", "--out_dir", str(run)]
        resumed = ["--resume"] if run.state.is_file() else ["--overwrite"]
        command += resumed if run.state.is_file() else resumed + flags(arm, seed, args)
        commands.append([*command, "--verbose", "2"])
    print(f"{arm}, seed {seed}: {run}\n", end="", flush=True)  # one write a line
    with open(run.path / "output.log", "a") as log:
        for command in commands:
            if not _succeeds(command, log):
                print(f"{arm}, seed {seed}: failed, see {log.name}\n", end="")
                return False
        for command in scoring_commands(run, args):
            if not _succeeds(command, log):
                print(f"{arm}, seed {seed}: not scored, see {log.name}\n", end="")
                return False
    return True


def _succeeds(command: Sequence[str], log) -> bool:
    script, *words = command
    # With one thread a run repeats to the bit, and two runs take less time together.
    one_thread = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / script), *words],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **one_thread},
    )
    RUNNING.add(process)
    try:
        return process.wait() == 0
    finally:
        RUNNING.discard(process)


def flags(arm: str, seed: int, args: argparse.Namespace) -> list[str]:
    """The command line of an arm, for `train.py`."""
    options = {
        "data_path": args.data_path,
        "encoder_weights": args.encoder_weights,
        "seed": seed,
        **BASE,
        **ARMS[arm],
    }
    words = []
    for name, value in options.items():
        if value is False:
            continue
        words.append(f"--{name}")
        if value is not True:
            words += map(str, value if isinstance(value, list) else [value])
    return words


def scoring_commands(run: RunFolder, args: argparse.Namespace) -> list[list[str]]:
    """The `New_Test.py` commands that a trained run still lacks."""
    commands = []
    by_set: dict[str, list[str]] = {}
    for name, *_ in run.read_validation().per_image:
        dataset, image = name.split("/", 1)
        by_set.setdefault(dataset, []).append(image)
    sources = dict(map(source_of, args.data_path))
    for dataset, names in by_set.items():
        listed = run.path / f"{VALIDATION_SET}.txt"
        listed = listed.with_name(f"{dataset}-{listed.name}")
        write_text(listed, "\n".join(names))
        commands.append([sources[dataset], "--names", str(listed)])
    commands += [[str(path)] for path in args.external]
    scored = {file.parent.name for file in _score_files(run)}
    head = ["New_Test.py", "--model_path", str(run.best), "--protocol", "pranet"]
    head += ["--out_dir", str(run.path / "results"), "--data_path"]
    return [
        [*head, *command] for command in commands if _result_name(command) not in scored
    ]


def source_of(path: str) -> tuple[str, str]:
    """The name of a prepared dataset, and the folder that it was prepared from.

    Raises:
        UserError: that folder is not there, so that its images cannot be scored.
    """
    manifest = read_manifest(Path(path))
    if manifest is None:
        raise UserError(
            f"{path}: holds no prepared arrays; make them with `python -m data.prepare`"
        )
    source = manifest.get("source")
    if not source or not Path(source).is_dir():
        raise UserError(f"{path}: the folder that it was prepared from is not there")
    return manifest["dataset"], source


def _result_name(command: Sequence[str]) -> str:
    name = find_pairs(command[0]).name
    return f"{name}-{Path(command[2]).stem}" if len(command) > 1 else name


def _score_files(run: RunFolder) -> list[Path]:
    return sorted(run.path.glob("results/*/*/per_image.csv"))


def finished(out_dir: Path, arm: str, seed: int) -> dict[str, Scores]:
    """The scores of a run by set; the validation parts of all datasets are one set."""
    parts: dict[str, list[dict]] = {}
    for file in _score_files(folder_of(out_dir, arm, seed)):
        name = file.parent.name
        kind = VALIDATION_SET if name.endswith(f"-{VALIDATION_SET}") else name
        with file.open(newline="", encoding="utf-8") as stream:
            rows = [row | {"set": name} for row in csv.DictReader(stream)]
        parts.setdefault(kind, []).extend(rows)
    return {
        kind: Scores(
            [f"{row['set']}/{row['name']}" for row in rows],
            [f"{row['set']}/{row['group']}" for row in rows],
            np.array([float(row[SCORE]) for row in rows]),
            np.array([float(row["polyp_pixels"]) for row in rows]),
        )
        for kind, rows in parts.items()
    }


def table(out_dir: Path, arms: Sequence[str], seeds: Sequence[int]) -> str:
    """The Markdown table of the runs that are finished, the most gained first."""
    base = {seed: finished(out_dir, "base", seed) for seed in seeds}
    rows = []
    sets = sorted({kind for scores in base.values() for kind in scores})
    for arm in arms:
        found = {seed: finished(out_dir, arm, seed) for seed in seeds}
        found = {
            seed: scores
            for seed, scores in found.items()
            if sets and scores.keys() >= set(sets)
        }
        if found:
            rows.append(_row(arm, found, base, sets))
    if not rows:
        missing = "" if sets else ", or none of the base, with which all are compared"
        raise UserError(f"No finished run in {out_dir}{missing}")
    rows.sort(reverse=True)
    heads = ["Arm", "mean", "by seed", *sets, "small polyps", "less the base's"]
    lines = [[*heads, "95 % interval"], ["---"] * (len(heads) + 1)]
    return "\n".join(f"| {' | '.join(c)} |" for c in [*lines, *(r for _, r in rows)])


def _row(
    arm: str,
    found: dict[int, dict[str, Scores]],
    base: dict[int, dict[str, Scores]],
    sets: Sequence[str],
) -> tuple[float, list[str]]:
    means = {
        seed: [float(scores[kind].dice.mean()) for kind in sets]
        for seed, scores in found.items()
    }
    by_seed = [float(np.mean(values)) for values in means.values()]
    cells = [arm, f"{np.mean(by_seed):.4f}", ", ".join(f"{m:.4f}" for m in by_seed)]
    cells += [f"{value:.4f}" for value in np.mean(list(means.values()), axis=0)]
    every = [scores[kind] for scores in found.values() for kind in sets]
    small = np.concatenate(
        [s.dice[(s.areas > 0) & (s.areas <= SIZE_BINS["small"])] for s in every]
    )
    cells.append(f"{small.mean():.4f}" if small.size else "–")
    shared = [seed for seed in found if base[seed]]
    if arm == "base" or not shared:
        return 0.0, [*cells, "", ""]
    # Every set counts the same, whatever the number of its images.
    samples, gains = [], []
    for kind in sets:
        differences, groups = [], []
        for seed in shared:
            mine, its = found[seed][kind], base[seed][kind]
            if mine.names != its.names:
                raise UserError(f"{arm}, seed {seed}: other images of {kind} than base")
            differences.append(mine.dice - its.dice)
            groups += [f"{seed}/{group}" for group in mine.groups]
        joined = np.concatenate(differences)
        samples.append(cluster_weights(np.array(groups)) @ joined)
        gains.append(joined.mean())
    gain = float(np.mean(gains))
    low, high = np.percentile(np.mean(samples, axis=0), INTERVAL)
    return gain, [*cells, f"{gain:+.4f}", f"{low:+.4f} to {high:+.4f}"]


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
