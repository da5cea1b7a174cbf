"""Checks of HDF5 files that need not be trusted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from cli.command import UserError
from models.hdf5_trial import try_reading


def array_sizes(path: Path) -> dict[str, int]:
    """Lists the arrays of a file, without reading any.

    Every array must be stored completely in the file. So no other file is read when
    they are, and no more memory is taken than the file is long.

    Args:
        path: an HDF5 file that `models.hdf5_trial.try_reading` could read.

    Returns:
        Name → number of values.

    Raises:
        UserError: the file links to other places, or an array does not lie in it.
    """
    links, sizes = [], {}

    def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        stored = item.id.get_storage_size()
        if item.external or item.is_virtual or stored != item.nbytes:
            raise UserError(f"{path} is refused: not all of its arrays lie in it")
        sizes[name] = item.size

    with h5py.File(path) as file:
        file.visititems_links(lambda _, link: links.append(link))
        if not all(isinstance(link, h5py.HardLink) for link in links):
            raise UserError(f"{path} is refused: it links to other places")
        file.visititems(add)
    return sizes


@contextmanager
def encoder_file(path: Path, encoder: str) -> Iterator[dict[str, int]]:
    """Names the file when its weights cannot be loaded, whatever the reason.

    Args:
        path: an HDF5 file, which need not be trusted.
        encoder: the name of the network that its weights are for.

    Yields:
        What `array_sizes` gives.

    Raises:
        ValueError: anything fails within the context.
    """
    try:
        try_reading(path)
        yield array_sizes(path)
    except Exception as error:  # a damaged file makes HDF5 and Keras raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"Encoder weights file {path} does not fit {encoder}: {reason}"
        ) from error
