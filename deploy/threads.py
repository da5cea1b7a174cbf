"""Runs generators in threads of their own, with a few items in between."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
DEPTH = 4  # items waiting between two stages


def ahead(items: Iterable[Item], depth: int = DEPTH) -> Iterator[Item]:
    """Iterates in a thread of its own, a few items ahead of the reader.

    Chained generators become a pipeline: `ahead(draw(ahead(segment(ahead(read())))))`
    reads, segments and draws three frames at once. NumPy, OpenCV and the runtimes
    work without Python's lock.

    Args:
        items: what to iterate; its exceptions are raised in the reader.
        depth: how many items may wait.

    Yields:
        The items, in order.
    """
    waiting: queue.Queue = queue.Queue(depth)
    stop, end = threading.Event(), object()

    def put(item: object) -> None:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def run() -> None:
        result: object = end
        try:
            for item in items:
                put((item,))
                if stop.is_set():
                    break
        except BaseException as error:  # raised again in the reader
            result = error
        finally:
            if hasattr(items, "close"):
                items.close()
        put(result)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while isinstance(item := waiting.get(), tuple):
            yield item[0]
        if isinstance(item, BaseException):
            raise item
    finally:
        stop.set()
        thread.join()
