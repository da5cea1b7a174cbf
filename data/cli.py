"""What every command of this project shares: one-line errors and quiet logs."""

import logging
import os
import sys
from collections.abc import Callable

INTERRUPTED_EXIT_CODE = 130


class UserError(ValueError):
    """The user's input is wrong; the message is one line that names what and where."""


def quiet_tensorflow() -> None:
    """Silences TensorFlow's start-up log lines. Call before TensorFlow is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def run_command(main: Callable[[], int | None]) -> None:
    """Runs `main` as a process: exits 2 with one line on a user's mistake.

    Args:
        main: the command without arguments; returns an exit code or None (success).

    Raises:
        SystemExit: always, with the command's exit code.
    """
    quiet_tensorflow()
    try:
        code = main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED_EXIT_CODE) from None
    raise SystemExit(code or 0)
