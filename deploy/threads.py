"""Runs generators in threads of their own, with few or no items in between."""

import queue
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from typing import TypeVar

import cv2

Item = TypeVar("Item")
DEPTH = 4  # items waiting between two stages
SWITCH_SECONDS = 5e-4  # after which a thread gives up Python's lock; 5e-3 by default


def leave_cores_to_stages() -> None:
    """Sets OpenCV and Python up for a pipeline, whose stages fill the cores already.

    OpenCV's functions stay in the thread that calls them, and a thread waits less for
    Python's lock.
    """
    cv2.setNumThreads(1)
    sys.setswitchinterval(SWITCH_SECONDS)


def ahead(items: Iterable[Item], depth: int = DEPTH) -> Iterator[Item]:
    """Iterates in a thread of its own, a few items ahead of the reader.

    Chained generators become a pipeline: `ahead(draw(ahead(segment(ahead(read())))))`
    reads, segments and draws three frames at once. NumPy, OpenCV and the runtimes
    work without Python's lock.

    Args:
        items: what to iterate; its exceptions are raised in the reader.
        depth: how many items may wait beside the newest; with 0, the next item is only
            begun when the reader has taken the one before.

    Yields:
        The items, in order.
    """
    return _in_thread(items, queue.Queue(), threading.Semaphore(depth + 1))


def newest(items: Iterable[Item]) -> Iterator[Item]:
    """Iterates in a thread of its own, without a pause, for the newest item only.

    Args:
        items: what to iterate; its exceptions are raised in the reader.

    Yields:
        Each time the item that came last, waiting when there is no new one. Items in
        between are left out; the last of all is always given.
    """
    return _in_thread(items, _NewestItem(), None)


class _NewestItem(queue.Queue):
    """Holds one item, which a newer one replaces, and how the items ended."""

    def _put(self, item: object) -> None:
        if isinstance(item, tuple):
            self.queue.clear()
        self.queue.append(item)


def _in_thread(
    items: Iterable[Item], waiting: queue.Queue, room: threading.Semaphore | None
) -> Iterator[Item]:
    """Iterates in a thread; each item passes through a queue as a tuple of one.

    Args:
        items: what to iterate.
        waiting: holds the tuples, and at the end None or the exception.
        room: for how many items there is room; None for any number.
    """
    stop = threading.Event()

    def run() -> None:
        error = None
        try:
            iterator = iter(items)
            while True:
                if room:
                    room.acquire()
                if stop.is_set():
                    break
                waiting.put((next(iterator),))
        except StopIteration:
            pass
        except BaseException as raised:  # raised again in the reader
            error = raised
            traceback.clear_frames(raised.__traceback__)  # ends the stages before
        finally:
            if hasattr(items, "close"):
                items.close()
        waiting.put(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while isinstance(item := waiting.get(), tuple):
            if room:
                room.release()
            yield item[0]
        if item is not None:
            raise item
    finally:
        stop.set()
        if room:
            room.release()
        thread.join()
