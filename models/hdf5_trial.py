"""Reads all of an HDF5 file once, in another process.

HDF5's library can hang or crash on a damaged file, and nothing inside its process can
prevent that. This file is also the script which that other process runs; it imports
nothing of the project, so that the process starts quickly.
"""

import subprocess
import sys
from pathlib import Path

import h5py

TRIAL_SECONDS = 60.0  # 180 MB, the largest checkpoint, took 2 on a busy machine


def try_reading(path: Path) -> None:
    """Waits until another process has read a file.

    Args:
        path: an HDF5 file.

    Raises:
        OSError: it cannot be read, or reading it does not end within `TRIAL_SECONDS`.
    """
    # -P: modules of this folder do not take the place of installed ones.
    command = [sys.executable, "-P", __file__, str(path)]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=TRIAL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise OSError(
            f"it is damaged, HDF5 did not finish reading it in {TRIAL_SECONDS:.0f} s"
        ) from None
    if done.returncode:
        lines = done.stderr.splitlines() or [f"exit code {done.returncode}"]
        raise OSError(f"HDF5 cannot read it ({lines[-1]})")


def read_everything(path: Path) -> None:
    """Reads every attribute and every array that lies in the file itself."""
    size = path.stat().st_size

    def read(item: h5py.Group | h5py.Dataset) -> None:
        dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            # What a file promises beyond its own size is not asked for.
            if item.id.get_storage_size() == item.nbytes <= size:
                item[()]

    with h5py.File(path) as file:
        read(file)
        file.visititems_links(lambda name, link: None)
        file.visititems(lambda name, item: read(item))


if __name__ == "__main__":
    try:
        read_everything(Path(sys.argv[1]))
    except Exception as error:  # a damaged file makes HDF5 raise anything
        print(str(error) or type(error).__name__, file=sys.stderr)
        raise SystemExit(1) from None
