"""
Knows one stretch of a replay: held calls are derived again, and written where they would be otherwise. Knows no API, no SQL.

What a mapping makes otherwise is written in place: no version becomes history, since nothing changed at the provider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from etl.records.rederive import rederive
from etl.records.rows import HeldCalls, Rewrite
from etl.runs.account import Account
from etl.runs.port import PageTransaction

ROWS = 1_000
"""The number of calls that are derived again in one transaction."""

Departures = Mapping[tuple[str, str], tuple[int, str]]
"""How often records depart from their documentation, by path and kind, with a sample."""


class Place(NamedTuple):
    """Where one reject stands among those of its connection."""

    stream: str
    record_key: str


FIRST = Place("", "")
"""Before every reject."""


class KeptReject(NamedTuple):
    """An open reject as it is kept."""

    stream: str
    record_key: str
    reason: str
    raw_text: str
    first_seen_at: datetime
    last_seen_at: datetime


class ReplayPage(PageTransaction, Protocol):
    """The transaction of one stretch of a replay: what a page's can do, and what only a replay asks for."""

    def held_after(self, call_id: str, *, limit: int) -> HeldCalls:
        """Return the calls of the connection whose ids follow `call_id` ("": the first), and what belongs to them."""
        ...

    def rewrite(self, rewrites: Sequence[Rewrite]) -> frozenset[str]:
        """Write held calls and their children in place, as far as they differ; return the ids of those that are refused."""
        ...

    def rejects_after(self, place: Place, *, limit: int) -> Sequence[KeptReject]:
        """Return the open rejects of the connection that follow `place`."""
        ...

    def gone(self, call_ids: Sequence[str]) -> Mapping[str, datetime]:
        """Return when those of the calls that were found gone at the provider were so last."""
        ...

    def resolve(self, *, stream: str, keys: Sequence[str], at: datetime) -> None:
        """Note that these rejects are none any more."""
        ...


class Rewritten(NamedTuple):
    """What deriving a stretch of calls did: the last id in it, how many were seen, written, and left as they were against it."""

    last: str
    seen: int
    written: int
    underivable: int
    refused: int
    departures: Departures


def rewrite_stretch(page: ReplayPage, account: Account, *, run_id: int, after: str) -> Rewritten | None:
    """Derive the calls after an id again and write what differs; None where there is none left."""
    held = page.held_after(after, limit=ROWS)
    if not held.calls:
        return None
    found = rederive(account.provider, held, currency=account.currency, run_id=run_id)
    refused = page.rewrite([rewrite for _, rewrite in found.differing])
    departures: dict[tuple[str, str], tuple[int, str]] = {}
    for note, count in found.drift.items():
        before, _ = departures.get((note.path, note.kind.value), (0, ""))
        departures[note.path, note.kind.value] = (before + count, note.sample)
    return Rewritten(
        last=held.calls[-1].call_id,
        seen=len(held.calls),
        written=len(found.differing) - len(refused),
        underivable=len(found.unlike),
        refused=len(refused),
        departures=departures,
    )
