"""Knows how the next item of an iterator is produced while the one before is used; knows nothing of the items."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Future
from enum import Enum
from typing import TypeVar

from etl.effects import Threads

Item = TypeVar("Item")


class _End(Enum):
    END = "end"


def prefetch(items: Iterator[Item], *, threads: Threads) -> Generator[Item]:
    """
    Yield the items of `items`, the next one being produced in a thread while one is used.

    No more than that one: whatever is ahead is lost with a kill, and asked for again. An error of the producer is raised where
    its item would have come. Leaving the iteration early (closing this generator) waits for the item that is being produced.
    """
    with threads.pool("prefetch", 1) as producer:

        def produce() -> Future[Item | _End]:
            return producer.submit(next, items, _End.END)

        coming = produce()
        while not isinstance(item := coming.result(), _End):
            coming = produce()
            yield item
