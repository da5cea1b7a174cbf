"""Signals that a test sends to its own process."""

import signal
import threading


def interrupt(number: signal.Signals) -> None:
    """Sends a signal to the main thread, the one that Python's handlers run in.

    `os.kill` sends it to the process: another thread may then take it, later, when the
    handler under test is no longer there.

    Args:
        number: such as `signal.SIGTERM`.
    """
    signal.pthread_kill(threading.main_thread().ident, number)
