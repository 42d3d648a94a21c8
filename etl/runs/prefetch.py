"""Produces the next item of an iterator in a thread while the current one is used."""

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
    Yield the items of `items`, producing the next one in a thread while the caller uses the current one.

    Only one item ahead: if the process is killed, whatever was fetched ahead is lost and has to be requested again. An error of
    the producer is raised where its item would have come. Closing this generator early waits for the item being produced.
    """
    with threads.pool("prefetch", 1) as producer:

        def produce() -> Future[Item | _End]:
            return producer.submit(next, items, _End.END)

        coming = produce()
        while not isinstance(item := coming.result(), _End):
            coming = produce()
            yield item
