"""Knows how to produce the next item of an iterator while the one before is used; knows nothing of the items."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from queue import Full, Queue
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")

POLL_SECONDS = 0.2
"""How often a producer that waits for its consumer looks whether it was abandoned."""


class _End(NamedTuple):
    error: BaseException | None


def ahead(items: Iterator[Item], *, depth: int = 1) -> Generator[Item]:
    """
    Yield the items of `items`, up to `depth` of them produced in advance by a thread.

    An error of the producer is raised where its item would have come. Leaving the iteration early (closing this generator)
    ends the producer after the item it is at, and waits for that.
    """
    queue: Queue[Item | _End] = Queue(maxsize=depth)
    abandoned = threading.Event()

    def put(entry: Item | _End) -> None:
        while not abandoned.is_set():
            with suppress(Full):
                queue.put(entry, timeout=POLL_SECONDS)
                return

    def produce() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                put(item)
                if abandoned.is_set():
                    return
        except BaseException as raised:  # noqa: BLE001 - handed to the consumer, who raises it
            error = raised
        put(_End(error))

    producer = threading.Thread(target=produce, name="ahead", daemon=True)
    producer.start()
    try:
        while not isinstance(entry := queue.get(), _End):
            yield entry
        if entry.error is not None:
            raise entry.error
    finally:
        abandoned.set()
        producer.join()
