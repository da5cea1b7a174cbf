"""How every command starts and ends: parser, one-line errors, quiet start-up."""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator

INTERRUPTED_EXIT_CODE = 130
MISSING_TENSORFLOW = (
    "TensorFlow is not installed, which runs and exports checkpoints;"
    " run: pip install -r requirements.txt"
)


class UserError(ValueError):
    """The user's input is wrong; the message is one line that names what and where."""


class CommandParser(argparse.ArgumentParser):
    """A parser that answers a wrong flag with one line, and exit code 2."""

    def error(self, message: str):
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def command_parser(docstring: str, **kwargs) -> CommandParser:
    """Makes a command's parser.

    Args:
        docstring: the command's `__doc__`, shown by `--help` as it is written.
        **kwargs: as for `argparse.ArgumentParser`.
    """
    return CommandParser(
        description=docstring,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **kwargs,
    )


def import_tensorflow() -> None:
    """Imports TensorFlow with fast CPU operations and without its start-up's log lines.

    The operations are oneDNN's. TensorFlow leaves them off on processors without
    instructions for neural networks, though they halve the time of a training step
    there too. The log lines come before any log level is read, so the process's
    standard error is set aside meanwhile; it is shown when the import fails. Commands
    that need TensorFlow or Keras call this before they import either.

    Raises:
        UserError: TensorFlow is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()  # looks for CUDA, and says so
            tf.get_logger().setLevel("ERROR")
        except BaseException as error:
            held_back.seek(0)
            os.write(saved, held_back.read())
            if isinstance(error, ModuleNotFoundError) and error.name == "tensorflow":
                raise UserError(MISSING_TENSORFLOW) from None
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
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
