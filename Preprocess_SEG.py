"""Prepares Kvasir-SEG: writes 256x256 training and test arrays, and a manifest.

python Preprocess_SEG.py
python Preprocess_SEG.py --data_path /elsewhere/Kvasir-SEG --split pranet
"""

import argparse

from cli.command import run_command
from data.prepare import PublicDataset, main, parse_dataset_args

KVASIR_SEG = PublicDataset(
    name="Kvasir-SEG",
    folders="images/ and masks/",
    splits=("official", "pranet", "random"),
    download="https://datasets.simula.no/kvasir-seg/",
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    return parse_dataset_args(__doc__, KVASIR_SEG, argv)


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
