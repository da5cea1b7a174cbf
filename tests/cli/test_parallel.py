"""Work in threads comes back in order, with the errors where they belong."""

import threading
import time

import pytest

from cli.parallel import map_in_order


def test_results_come_in_order_whatever_takes_longest():
    def work(value):
        time.sleep(0.01 if value % 3 == 0 else 0)
        return value

    assert list(map_in_order(work, range(20), workers=3)) == list(range(20))


def test_as_many_run_at_once_as_there_are_workers():
    both = threading.Barrier(2, timeout=10)  # breaks where they wait for one another
    assert list(map_in_order(lambda value: both.wait() < 2, range(4), workers=2))


def test_an_error_of_the_inputs_comes_after_what_was_read():
    def broken():
        yield from range(5)
        raise OSError("gone")

    results = map_in_order(str, broken(), workers=2)
    assert [next(results) for _ in range(5)] == list("01234")
    with pytest.raises(OSError, match="gone"):
        next(results)


def test_an_error_of_the_work_comes_at_its_place():
    results = map_in_order(lambda value: 1 // (2 - value), range(5), workers=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
