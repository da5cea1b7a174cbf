"""A process that is asked over a pipe: its answers, and how each failure is told."""

import os

import pytest

from cli.command import UserError
from tools import worker_process
from tools.worker_process import Tasks, WorkerProcess


class Sums(Tasks):
    """Adds to a number; ends or hangs when asked to."""

    def __init__(self, first: int):
        if first == 0:
            raise UserError("nothing to add to")
        self.first = first + 0  # a TypeError for anything but a number

    def plus(self, second: int) -> int:
        return self.first + second

    def end(self) -> None:
        os._exit(7)


@pytest.fixture
def start():
    started = []

    def start_one(first: object) -> WorkerProcess:
        worker = WorkerProcess("sums", Sums, first)
        started.append(worker)
        return worker

    yield start_one
    for worker in started:
        worker.stop()
        assert not worker._process.is_alive()


def test_it_answers_one_task_after_the_other(start):
    worker = start(2)
    assert worker.start() >= 0
    assert [worker.ask("plus", second) for second in (3, 5)] == [5, 7]
    assert worker.ask("peak_mb") > 1


def test_a_failure_is_one_line_that_names_the_process(start):
    with pytest.raises(UserError, match=r"^sums: TypeError: [^\n]*$"):
        start("two").start()
    with pytest.raises(UserError, match="^sums: nothing to add to$"):
        start(0).start()
    worker = start(2)
    worker.start()
    with pytest.raises(UserError, match="^sums: AttributeError: .*minus"):
        worker.ask("minus")


def test_a_process_that_ended_is_told_with_its_exit_code(start):
    worker = start(2)
    worker.start()
    for task in ("end", "plus"):  # the second is asked of a process that is gone
        with pytest.raises(UserError, match=r"^sums: .*ended early \(exit code 7"):
            worker.ask(task)


def test_a_silent_process_is_not_waited_for(start, monkeypatch):
    worker = start(2)
    monkeypatch.setattr(worker_process, "ANSWER_SECONDS", 0.01)
    with pytest.raises(UserError, match="^sums: no answer in 0 s"):
        worker.start()


def test_one_that_was_never_started_can_be_stopped(start):
    start(2)
