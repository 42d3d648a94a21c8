"""Knows what a block of a test tells of events, as the host of the library gets them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields = vars(record)
        self.events.append({"event": fields["event"], "log_level": record.levelname.lower(), **fields["fields"]})


@contextmanager
def events_told() -> Iterator[list[dict[str, Any]]]:
    """Give the list of the events that follow, of every level, each with what belongs to it."""
    ours, kept = logging.getLogger("etl"), _Kept()
    before = ours.level
    ours.addHandler(kept)
    ours.setLevel(logging.DEBUG)
    try:
        yield kept.events
    finally:
        ours.setLevel(before)
        ours.removeHandler(kept)
