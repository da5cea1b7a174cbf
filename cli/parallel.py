"""Runs a function over many inputs on all cores, in order and in flat memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Input = TypeVar("Input")
Output = TypeVar("Output")

# Threads suffice: OpenCV and hashlib release Python's lock while they work.
WORKERS = os.cpu_count() or 1


def map_in_order(
    work: Callable[[Input], Output],
    inputs: Iterable[Input],
    workers: int | None = None,
) -> Iterator[Output]:
    """Yields `work(value)` for each input, computed a few inputs ahead of the reader.

    Unlike `ThreadPoolExecutor.map`, it holds only some results at once. An error in
    reading the inputs is raised after the results of those before.

    Args:
        work: what to compute.
        inputs: read in the thread of the reader.
        workers: threads; default: one for each core.
    """
    workers = workers or WORKERS
    with ThreadPoolExecutor(workers) as pool:
        running = deque()
        inputs, error = iter(inputs), None
        while True:
            try:
                value = next(inputs)
            except StopIteration:
                break
            except Exception as raised:
                error = raised
                break
            running.append(pool.submit(work, value))
            if len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
        if error:
            raise error
