"""Prepares CVC-ClinicDB: writes 256x256 training and test arrays, and a manifest.

    python Preprocess_CVC_CliniCDB.py
    python Preprocess_CVC_CliniCDB.py --data_path /elsewhere/CVC-ClinicDB --split pranet

The frames are video. The default split keeps all frames of a video sequence, and so all
frames of a polyp, on one side. The splits of the published scores do not.
"""

import argparse

from cli.command import run_command
from data.prepare import PublicDataset, main, parse_dataset_args

CVC_CLINICDB = PublicDataset(
    name="CVC-ClinicDB",
    folders="Original/ and Ground Truth/, or TIF/ or PNG/ with these",
    splits=("by-sequence", "pranet", "random"),
    download="https://polyp.grand-challenge.org/CVCClinicDB/",
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    return parse_dataset_args(__doc__, CVC_CLINICDB, argv)


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
