"""Knows how to produce the next item of an iterator while the one before is used; knows nothing of the items."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")


class _End(NamedTuple):
    error: BaseException | None


def prefetch(items: Iterator[Item], *, depth: int = 1) -> Generator[Item]:
    """
    Yield the items of `items`, up to `depth` of them produced in advance by a thread.

    An error of the producer is raised where its item would have come. Leaving the iteration early (closing this generator)
    ends the producer after the item it is at, and waits for that.
    """
    queue: SimpleQueue[Item | _End] = SimpleQueue()
    room = Semaphore(depth)
    abandoned = Event()

    def produce() -> None:
        error: BaseException | None = None
        try:
            room.acquire()
            for item in items:
                queue.put(item)
                room.acquire()  # before the next one is begun: whatever is ahead is lost with a kill, and asked for again
                if abandoned.is_set():
                    return
        except BaseException as raised:  # noqa: BLE001 - handed to the consumer, who raises it
            error = raised
        queue.put(_End(error))

    producer = Thread(target=produce, name="prefetch", daemon=True)
    producer.start()
    try:
        while not isinstance(entry := queue.get(), _End):
            room.release()
            yield entry
        if entry.error is not None:
            raise entry.error
    finally:
        abandoned.set()
        room.release()
        producer.join()
