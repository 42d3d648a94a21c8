"""The protocol of the API that reading needs, and its answers. `etl.http` implements it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from etl.model import JSON, DriftNote


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    One successful response: status 2xx, and not an error body.

    `records` holds each record's JSON text as UTF-8, valid on its own and free of NUL characters and lone surrogates;
    `cleaned` the indexes of those that had to be cleaned. `fields` holds the body's other top-level keys, decoded.
    `headers` has lower-case names. `date` is the server's clock (`Date` header), `sent_at` ours when the attempt was sent.
    `departures` lists what differs from HTTP, JSON or the provider's documentation but was understood. `stated` is false where an
    empty list was only inferred, from null or from a response without content.
    """

    records: tuple[bytes, ...]
    fields: Mapping[str, JSON]
    headers: Mapping[str, str]
    date: datetime | None
    sent_at: datetime
    cleaned: frozenset[int] = frozenset()
    departures: frozenset[DriftNote] = frozenset()
    stated: bool = True


class Eraser(Protocol):
    """One account at one provider, of which calls can be deleted."""

    def delete(self, path: str) -> None:
        """Delete what is there. Raises NotFound if there is nothing, ConnectionFailed and BudgetSpent."""
        ...


class Api(Protocol):
    """One account at one provider. Every request is throttled, retried and checked. Safe to share between threads."""

    def get_list(self, path: str, params: Mapping[str, str], records: tuple[str, ...], body: JSON = None) -> Answer:
        """
        Request a page, by POST if there is a `body` to send as JSON.

        Its records stand under the first of the keys `records` that is present (empty: the body is the list).

        Null in place of the list, or a response without content, counts as an empty list. A body without the list is retried like
        an unreadable one. Raises ConnectionFailed and its subclasses, and BudgetSpent.
        """
        ...

    def get_one(self, path: str, record: str | None, body: JSON = None) -> Answer:
        """
        Request one object, by POST if there is a `body`, under the key `record` (None: the body).

        The answer's `records` has one element.
        """
        ...

    def check_link(self, url: str) -> None:
        """Raise ForeignLink if a link, which is never followed, leads neither to the configured origin nor the documented."""
        ...

    @property
    def requests(self) -> int:
        """Requests sent so far, retries included."""
        ...

    @property
    def retries(self) -> int:
        """How many of the requests sent so far were retries."""
        ...
