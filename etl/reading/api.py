"""Knows what reading asks of the outside: an API that answers page by page. The warehouse's side is in `etl.runs.port`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from etl.model import JSON, DriftNote


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    One response that was read and understood (status 2xx and no error body).

    `records` holds each record's JSON text as UTF-8, valid on its own and free of NUL characters and lone surrogates;
    `cleaned` the indexes of those that had to be cleaned. `fields` holds the body's other top-level keys, decoded.
    `headers` has lower-case names. `date` is the server's clock (`Date` header), `sent_at` ours when the attempt was sent.
    `departures` is what was not as HTTP, JSON or the provider have it, and was understood all the same.
    """

    records: tuple[bytes, ...]
    fields: Mapping[str, JSON]
    headers: Mapping[str, str]
    date: datetime | None
    sent_at: datetime
    cleaned: frozenset[int] = frozenset()
    departures: frozenset[DriftNote] = frozenset()


class Api(Protocol):
    """One account at one provider; every call is throttled, retried and checked before it returns. Safe to share by threads."""

    def get_list(self, path: str, params: Mapping[str, str], records: tuple[str, ...]) -> Answer:
        """
        Ask for a page; its records stand under the first of the keys `records` that is there (empty: the body is the list).

        Null in its place, or a response without content, is an empty list. A body without such a list is retried like an
        unreadable one. Raises the family of `ConnectionFailed`, `BudgetSpent`.
        """
        ...

    def get_one(self, path: str, record: str | None) -> Answer:
        """Ask for one object, under the key `record` (None: the body itself); `records` of the answer has one element."""
        ...

    def check_link(self, url: str) -> None:
        """Raise ForeignLink where a link of the provider, which nobody follows, leads to another host or port than configured."""
        ...

    @property
    def requests(self) -> int:
        """Requests sent so far, retries included."""
        ...

    @property
    def retries(self) -> int:
        """Requests sent again so far."""
        ...

    def request_log(self) -> JSON:
        """What the limiter and the daily budget must remember across runs."""
        ...
