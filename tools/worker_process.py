"""Runs tasks in a process of its own, asked for over a pipe, for the benchmarks.

What is compared runs in separate processes: the thread pools of two frameworks disturb
each other in one process, and each process has its own peak memory.
"""

import multiprocessing
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cli.command import UserError

ANSWER_SECONDS = 300.0  # a process that is silent for longer counts as hung


class Tasks:
    """The tasks that a worker process can be asked for: methods of a subclass."""

    def peak_mb(self) -> float:
        """Peak memory of the process, MiB; `ru_maxrss` would count its parent's too."""
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024


class WorkerProcess:
    """Starts a process and asks it to do tasks, one at a time.

    Args:
        name: names the process in error messages.
        make_tasks: called in the process; returns its `Tasks`.
        details: the arguments of `make_tasks`.
    """

    def __init__(self, name: str, make_tasks: Callable[..., Tasks], *details: Any):
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, self._its_pipe = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(self._its_pipe, make_tasks, details), daemon=True
        )

    def start(self) -> float:
        """Starts the process and waits for its tasks; returns the seconds they took.

        Raises:
            UserError: as for `ask`.
        """
        self._process.start()
        self._its_pipe.close()  # else the end of the process would not be noticed
        return self._answer()

    def ask(self, task: str, *details: Any) -> Any:
        """Returns what the process answers to a task.

        Args:
            task: the name of a method of its `Tasks`.
            details: the arguments of that method.

        Raises:
            UserError: the task failed, or the process ended or does not answer.
        """
        try:
            self._pipe.send((task, *details))
        except ConnectionError:
            pass  # the process has ended; the answer says how
        return self._answer()

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        if self._process.pid is not None:
            self._process.kill()
            self._process.join()

    def _answer(self) -> Any:
        try:
            if not self._pipe.poll(ANSWER_SECONDS):
                raise UserError(f"{self.name}: no answer in {ANSWER_SECONDS:.0f} s")
            answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            raise UserError(
                f"{self.name}: the process ended early (exit code"
                f" {self._process.exitcode}; -9 means killed, often for lack of memory)"
            ) from None
        if isinstance(answer, Exception):
            raise UserError(f"{self.name}: {answer}")
        return answer


def _serve(pipe: Connection, make_tasks: Callable[..., Tasks], details: tuple) -> None:
    """Runs in the process: makes the tasks, then answers until it is stopped."""
    try:
        start = time.perf_counter()
        tasks = make_tasks(*details)
        pipe.send(time.perf_counter() - start)
        while True:
            task, *arguments = pipe.recv()
            pipe.send(getattr(tasks, task)(*arguments))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        pass  # the benchmark was stopped, and says so itself
    except UserError as error:
        pipe.send(error)
    except Exception as error:
        reason = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
        pipe.send(RuntimeError(reason))
