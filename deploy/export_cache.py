"""Exports a checkpoint for OpenVINO once, and keeps the file for later runs."""

import contextlib
import io
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

from cli.command import UserError, import_tensorflow
from cli.files import sha256

CACHE_NAME = "polyp-segmentation-keras"


def cached_export(checkpoint: Path) -> Path:
    """Finds a checkpoint's OpenVINO file in the cache, or exports it there first.

    The file is in a folder that is named after the checkpoint's SHA-256 and appears
    only once it is complete. One line on the screen says what is run.

    Args:
        checkpoint: a `.h5`.

    Returns:
        The `.xml`, with its card beside it; the checkpoint itself where OpenVINO is not
        installed, the export fails or differs from Keras, or the cache cannot be
        written.

    Raises:
        UserError: TensorFlow is not installed, and there is no export yet.
    """
    if find_spec("openvino") is None:
        return checkpoint
    try:
        folder = cache_folder() / sha256(checkpoint)
    except RuntimeError:  # this user has no home folder
        print("there is no folder to export to, so Keras is run")
        return checkpoint
    path = folder / f"{checkpoint.stem}.xml"
    if path.exists():
        print(f"running in OpenVINO: {path}")
        return path
    try:
        import_tensorflow()
    except UserError as error:
        raise UserError(
            f"{error}, or give --model_path a file that Export.py wrote elsewhere"
        ) from None
    print(f"exporting for OpenVINO, this once: {path}")
    try:
        if not _export(checkpoint, path):
            print("its export for OpenVINO differs, so Keras is run")
            return checkpoint
    except OSError as error:
        print(f"{folder} cannot be written ({error.strerror}), so Keras is run")
        return checkpoint
    except UserError as error:
        print(f"{error}; so Keras is run")
        return checkpoint
    return path


def cache_folder() -> Path:
    """Where exports are kept: `$XDG_CACHE_HOME`, by default `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / CACHE_NAME


def _export(checkpoint: Path, path: Path) -> bool:
    """Runs Export.py's work; says whether the export passed and is at `path`."""
    from deploy.export_options import ExportOptions
    from deploy.export_run import export_checkpoint

    root = path.parent.parent
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=root) as partial:
        staged = Path(partial) / path.parent.name
        options = ExportOptions(checkpoint, out=staged / path.name)
        with contextlib.redirect_stdout(io.StringIO()):
            code = export_checkpoint(options)
        if code == 0 and not path.exists():  # another process may have been faster
            staged.rename(path.parent)
    return code == 0
