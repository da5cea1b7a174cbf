"""Trains LGPS or PVTSeg on prepared datasets.

    python train.py                            # every prepared dataset under data/
    python train.py --data_path data/Kvasir-SEG data/CVC-ClinicDB
    python train.py --demo                     # on drawn frames, nothing to download
    python train.py --resume --name NAME       # take up a run that was stopped
    python train.py --model pvtseg --encoder pvt_v2_b0

Flags that are not given take the published values (training/recipes.py).
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import Field, fields

from cli.command import (
    INTERRUPTED_EXIT_CODE,
    UserError,
    command_parser,
    import_tensorflow,
    run_command,
)
from cli.ranges import Range, number
from data import demo
from data.arrays import find_damage, is_prepared
from training.options import TrainingOptions, flag_of
from training.recipes import (
    DEMO_PATH,
    PUBLISHED,
    default_name,
    new_options,
    run_folder,
)
from training.saved_options import saved_options


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line; flags that are not given are absent."""
    parser = command_parser(__doc__, argument_default=argparse.SUPPRESS)
    add = parser.add_argument
    add("--name", help="the run's name; default: model and time")
    add(
        "--out_dir",
        help="the run's folder (default runs/NAME); with --name, where that lies",
    )
    add("--resume", action="store_true", help="take up the run in that folder")
    add("--overwrite", action="store_true", help="replace a run in that folder")
    add(
        "--verify",
        action="store_true",
        help="first compare the prepared arrays with the SHA-256 in their manifests",
    )
    add("--verbose", type=int, choices=(0, 1, 2), help="1 bar, 2 a line per epoch")
    groups = {"run": parser}
    for option in fields(TrainingOptions):
        group = option.metadata["group"]
        if group not in groups:
            groups[group] = parser.add_argument_group(group)
        groups[group].add_argument(
            flag_of(option.name, option.default), **_argument(option)
        )
    return parser.parse_args(argv)


def _argument(option: Field) -> dict:
    """The keywords of `add_argument` for one option."""
    about = option.metadata
    if about["kind"] is None:
        value = not option.default
        return {
            "dest": option.name,
            "action": "store_const",
            "const": value,
            "help": about["help"],
        }
    defaults = {
        name: getattr(options, option.name)
        for name, options in PUBLISHED.items()
        if about["model"] in (None, name)
    }
    if about["group"] == "run" or len(set(defaults.values())) == 1:
        shown = f" (default: {option.default})"
    else:
        shown = f" ({', '.join(f'{name} {v}' for name, v in defaults.items())})"
    if about["many"] or option.default is None:
        shown = ""
    kind = about["kind"]
    if kind in (int, float):
        kind = number(kind, about["allowed"] or Range())
    return {
        "type": kind,
        "choices": about["choices"],
        "nargs": about["many"],
        "metavar": about["metavar"],
        "help": f"{about['help']}{shown}",
    }


def main(args: argparse.Namespace) -> int:
    """Trains; returns the exit code."""
    given = vars(args).copy()
    resume, overwrite = given.pop("resume", False), given.pop("overwrite", False)
    verify = given.pop("verify", False)
    run = run_folder(
        given.pop("name", None), given.pop("out_dir", None), default_name(given)
    )
    # A moving progress bar on a terminal, a line per epoch in a log file.
    verbose = given.pop("verbose", 1 if sys.stdout.isatty() else 2)
    options = saved_options(run, given) if resume else new_options(given)
    print(f"Run {run}\n{options.describe()}")

    import_tensorflow()
    from training.run import train

    if options.demo and not is_prepared(DEMO_PATH):
        demo.main(demo.parse_args(["--out_dir", str(DEMO_PATH), "--image_size", "96"]))
    if verify:
        verify_arrays((*options.data_path, *options.val_data_path))
    try:
        train(options, run, resume, overwrite, verbose)
    except KeyboardInterrupt:
        print(
            "\nInterrupted. Every finished epoch is saved; go on with: "
            f"python train.py --resume --out_dir {run}"
            if run.config.is_file()
            else "\nInterrupted before the first epoch; nothing was written"
        )
        return INTERRUPTED_EXIT_CODE
    return 0


def verify_arrays(paths: Iterable[str]) -> None:
    """Refuses prepared arrays that have changed since they were prepared.

    Raises:
        UserError: names each of them.
    """
    faults = [fault for path in paths for fault in find_damage(path)[1]]
    if faults:
        raise UserError("\n  ".join(["prepared arrays are damaged", *faults]))


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
