"""Writing files so that a kill never leaves half of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a place beside `path` to write to; it becomes `path` at the end.

    When writing fails, what was there before stays and nothing else does.

    Args:
        path: the file to write or replace; its suffix is kept meanwhile.
    """
    partial = path.with_name(f".partial.{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
