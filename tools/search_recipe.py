"""Compares LGPS training recipes under one small budget, on validation images only.

    python -m tools.search_recipe --data_path data/Kvasir-SEG data/CVC-ClinicDB \\
        --encoder_weights mobilenet_v2_imagenet.weights.h5

Each arm changes one thing of the base and is trained once per seed; the seed also
draws the validation part (whole video sequences), which arms of one seed share. Runs
that are finished are not repeated: stop it at any time and start it again. Prints a
Markdown table of what is there, with 95 % bootstrap intervals of the difference to
the base over whole sequences.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cli.command import UserError, command_parser, run_command
from evaluation.statistics import INTERVAL, cluster_weights
from training.options import VALIDATION_FILE

ROOT = Path(__file__).resolve().parents[1]
OUT_DIR = ROOT / "runs" / "search"
EPOCHS, IMAGE_SIZE = 5, 128
BASE = {
    "schedule": "cosine",
    "warmup_epochs": 1,
    "learning_rate": 1e-3,
    "min_learning_rate": 1e-5,
    "beta_1": 0.9,
    "augmentation": "mild",
    "ema": 0.98,
    "monitor": "last",
    "no_discriminator": True,
}
ADVERSARIAL = {"no_discriminator": False}
# What each arm changes of the base; None: takes the published value.
ARMS = {
    "base": {},
    "structure loss": {"loss": "structure"},
    "augmentation lgps": {"augmentation": "lgps"},
    "published recipe": {
        name: None for name in BASE if name not in ("no_discriminator", "monitor")
    },
    "weights not averaged": {"ema": None},
    "encoder at 0.3 of the rate": {"encoder_lr_factor": 0.3},
    "plateau schedule": {
        "schedule": None,
        "warmup_epochs": None,
        "min_learning_rate": None,
    },
    "statistics not re-estimated": {"bn_recalibrate": 0},
    "momentum 0.99, not re-estimated": {"bn_recalibrate": 0, "bn_momentum": 0.99},
    "momentum 0.9, not re-estimated": {"bn_recalibrate": 0, "bn_momentum": 0.9},
    "encoder statistics frozen": {"freeze_encoder_bn": True},
    "without squeeze-excitation": {"no_se": True},
    "no augmentation": {"augmentation": "none"},
    "first 96×96": {"image_size": None, "epochs": None, "stages": ["96:3", "128:2"]},
    "adversarial 0.01, published CRF": {**ADVERSARIAL, "adversarial_weight": 0.01},
    "adversarial 0.1, published CRF": {**ADVERSARIAL, "adversarial_weight": 0.1},
    "adversarial 0.01, mean-field CRF": {
        **ADVERSARIAL,
        "adversarial_weight": 0.01,
        "crf": "meanfield",
    },
    "adversarial 0.1, mean-field CRF": {
        **ADVERSARIAL,
        "adversarial_weight": 0.1,
        "crf": "meanfield",
    },
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--data_path", nargs="+", required=True, metavar="PATH")
    parser.add_argument("--encoder_weights", default="imagenet")
    parser.add_argument("--out_dir", type=Path, default=OUT_DIR)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--table", action="store_true", help="train nothing more")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Trains what is missing, then prints the table."""
    if not args.table:
        jobs = [(arm, seed) for seed in args.seeds for arm in args.arms]
        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(lambda job: train_arm(*job, args), jobs))
    print(table(args.out_dir, args.arms, args.seeds))


def folder_of(out_dir: Path, arm: str, seed: int) -> Path:
    """Where the run of an arm lies."""
    name = "".join(c if c.isalnum() or c == "." else "_" for c in arm)
    return out_dir / f"{name}_{seed}"


def train_arm(arm: str, seed: int, args: argparse.Namespace) -> None:
    """Trains an arm in a process of its own, unless that is done already."""
    folder = folder_of(args.out_dir, arm, seed)
    if (folder / VALIDATION_FILE).is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / "train.py"), "--out_dir", str(folder)]
    if (folder / "state.h5").is_file():
        command.append("--resume")
    else:
        command += ["--overwrite", "--verbose", "2", *flags(arm, seed, args)]
    print(f"{arm}, seed {seed}: {folder}\n", end="", flush=True)  # one write a line
    with open(folder / "output.log", "a") as log:
        code = subprocess.call(command, stdout=log, stderr=subprocess.STDOUT)
    if code:
        print(f"{arm}, seed {seed}: failed, see {log.name}\n", end="", flush=True)


def flags(arm: str, seed: int, args: argparse.Namespace) -> list[str]:
    """The command line of an arm, for `train.py`."""
    options = {
        "data_path": args.data_path,
        "encoder_weights": args.encoder_weights,
        "epochs": EPOCHS,
        "image_size": IMAGE_SIZE,
        "seed": seed,
        **BASE,
        **ARMS[arm],
    }
    words = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append(f"--{name}")
        if value is not True:
            words += map(str, value if isinstance(value, list) else [value])
    return words


def table(out_dir: Path, arms: Sequence[str], seeds: Sequence[int]) -> str:
    """The Markdown table of the runs that are finished, the most gained first."""
    scores = {arm: finished(out_dir, arm, seeds) for arm in arms}
    base = finished(out_dir, "base", seeds)
    rows = [_row(arm, found, base) for arm, found in scores.items() if found]
    if not rows:
        raise UserError(f"No finished run in {out_dir}")
    rows.sort(reverse=True)
    head = "| Arm | Dice | by seed | less the base's | 95 % interval |"
    return "\n".join([head, "|---|---|---|---|---|", *(row for _, row in rows)])


def finished(
    out_dir: Path, arm: str, seeds: Sequence[int]
) -> dict[int, list[tuple[str, str, float]]]:
    """Seed → name, group and Dice of each validation image, of finished runs."""
    found = {}
    for seed in seeds:
        path = folder_of(out_dir, arm, seed) / VALIDATION_FILE
        if path.is_file():
            found[seed] = json.loads(path.read_text())["per_image"]
    return found


def _row(arm: str, found: dict, base: dict) -> tuple[float, str]:
    means = [float(np.mean([dice for *_, dice in rows])) for rows in found.values()]
    cells = [arm, f"{np.mean(means):.4f}", ", ".join(f"{mean:.4f}" for mean in means)]
    gain = 0.0
    shared = sorted(found.keys() & base.keys())
    if arm == "base" or not shared:
        cells += ["", ""]
    else:
        pairs = [
            (f"{seed}/{group}", mine - its)
            for seed in shared
            for (_, group, mine), (_, _, its) in zip(
                found[seed], base[seed], strict=True
            )
        ]
        groups, differences = map(np.array, zip(*pairs, strict=True))
        samples = cluster_weights(groups) @ differences
        low, high = np.percentile(samples, INTERVAL)
        gain = float(differences.mean())
        cells += [f"{gain:+.4f}", f"{low:+.4f} to {high:+.4f}"]
    return gain, f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
