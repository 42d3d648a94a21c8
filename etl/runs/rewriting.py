"""
One batch of a replay's rows: held calls are derived again, and written if the result differs.

They are written in place: no version becomes history, because nothing changed at the provider.
"""

from __future__ import annotations

from typing import NamedTuple

from etl.records.rederive import rederive
from etl.runs.account import Account
from etl.runs.port import Departures, ReplayPage

ROWS = 1_000
"""The number of calls that are derived again in one transaction."""


class Rewritten(NamedTuple):
    """The result of one batch: its last id, and how many calls were seen, were written, and could not be written."""

    last: str
    seen: int
    written: int
    underivable: int
    refused: int
    departures: Departures


def rewrite_stretch(page: ReplayPage, account: Account, *, run_id: int, after: str) -> Rewritten | None:
    """Derive the next calls after an id again and write what differs; None if none is left."""
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
