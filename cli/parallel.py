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
    work: Callable[[Input], Output], inputs: Iterable[Input]
) -> Iterator[Output]:
    """Yields `work(value)` for each input, computed a few inputs ahead of the reader.

    Unlike `ThreadPoolExecutor.map`, it holds only some results at once.
    """
    with ThreadPoolExecutor(WORKERS) as pool:
        running = deque()
        for value in inputs:
            running.append(pool.submit(work, value))
            if len(running) >= 4 * WORKERS:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
