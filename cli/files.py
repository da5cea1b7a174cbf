"""Writing files and folders so that a kill never leaves half of one; their SHA-256."""

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli.command import UserError


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


@contextmanager
def replacing_files(folder: Path) -> Iterator[Path]:
    """Gives a place to write to; its files and folders move into `folder` at the end.

    When writing fails, what was there before stays and nothing else does.

    Args:
        folder: holds the files to write or replace; others in it are kept.
    """
    partial = folder / ".partial"
    shutil.rmtree(partial, ignore_errors=True)  # of a command that was killed
    partial.mkdir()
    try:
        yield partial
        for new in partial.iterdir():
            if new.is_dir():
                shutil.rmtree(folder / new.name, ignore_errors=True)
            new.replace(folder / new.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def picture_path(text: str) -> Path:
    """An argparse type: a picture file to be written."""
    path = Path(text)
    if path.suffix.lower() not in (".png", ".jpg"):
        raise argparse.ArgumentTypeError(f"must end in .png or .jpg, received {text}")
    return path


def read_lines(path: Path) -> list[str]:
    """Reads a text file: its lines, stripped, without empty ones.

    Raises:
        ValueError: it is no text in UTF-8.
    """
    text = path.read_text(encoding="utf-8-sig")  # as editors of Windows save it
    if "\0" in text:
        raise ValueError(f"{path} is no text")
    return [line.strip() for line in text.splitlines() if line.strip()]


def write_text(path: Path, text: str) -> None:
    """Writes a text file, ended by a line break, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(
            text if text.endswith("\n") else f"{text}\n", encoding="utf-8"
        )


def write_json(path: Path, content: Any) -> None:
    """Writes JSON, whole or not at all; raises `ValueError` for NaN and infinity."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False))


def printable(path: Path | str) -> str:
    r"""A path for messages: bytes that are not UTF-8 as `\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def parse_json(text: str) -> Any:
    """Reads JSON; raises `ValueError` for all that is none, however deeply nested."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def sha256(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder in order, in hexadecimal."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if not file.is_dir():
            with file.open("rb") as stream:
                hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()


def make_folder(folder: Path) -> None:
    """Makes a folder; `UserError` where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror})") from None
