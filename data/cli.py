"""What every command of this project shares: one-line errors and quiet start-up."""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

INTERRUPTED_EXIT_CODE = 130
# Trained weights that come with this repository, by the name commands know them by.
SHIPPED_WEIGHTS = {
    "lgps": Path(__file__).resolve().parents[1] / "weights" / "lgps_kvasir_clinicdb.h5"
}


class UserError(ValueError):
    """The user's input is wrong; the message is one line that names what and where."""


def model_path(text: str) -> Path:
    """An argparse type: the path of a model; `lgps` stands for the shipped weights."""
    return SHIPPED_WEIGHTS.get(text, Path(text))


def quiet_tensorflow() -> None:
    """Imports TensorFlow without the log lines its C++ start-up writes.

    They come before any log level is read, so the process's standard error is set
    aside meanwhile; it is shown when the import fails. Commands that need
    TensorFlow or Keras call this before they import either.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()  # looks for CUDA, and says so
            tf.get_logger().setLevel("ERROR")
        except BaseException:
            held_back.seek(0)
            os.write(saved, held_back.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


@contextlib.contextmanager
def ends_tidily() -> Iterator[None]:
    """Treats SIGTERM, as `timeout` sends it, like Ctrl-C; also a decorator."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_command(main: Callable[[], int | None]) -> None:
    """Runs `main` as a process: exits 2 with one line on a user's mistake,
    or when a file cannot be read or written.

    Args:
        main: the command without arguments; returns an exit code or None (success).

    Raises:
        SystemExit: always, with the command's exit code.
    """
    try:
        code = main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED_EXIT_CODE) from None
    raise SystemExit(code or 0)
