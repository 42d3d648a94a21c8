"""
One batch of a replay's rejects: each is tried again, and loaded if it can become a row now.

It is loaded like any other record, with the instant at which it was last seen as its time of observation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from etl.model import Record, Rejection
from etl.records.draft import derive_each
from etl.records.identify import identify
from etl.records.rederive import changed
from etl.runs.account import Account
from etl.runs.erasing import shield_records
from etl.runs.loading import context_of
from etl.runs.port import KeptReject, Place, ReplayPage

REJECTS = 200
"""The number of rejects that are tried again in one transaction; a reject can be large."""


class Tried(NamedTuple):
    """The result of one batch: its last reject, and how many were seen, became calls, and are no longer rejects."""

    last: Place
    seen: int
    inserted: int
    updated: int
    resolved: int


def try_rejects(page: ReplayPage, account: Account, *, run_id: int, after: Place, now: datetime) -> Tried | None:
    """Try the next open rejects after a place; None if none is left."""
    found = page.rejects_after(after, limit=REJECTS)
    if not found:
        return None
    provider = account.provider
    records = {kept: identify(provider, kept.raw_text.encode(), cleaned=False) for kept in found}
    usable = {kept: record for kept, record in records.items() if record.rejection is None}
    call_ids = [record.call_id for record in usable.values() if record.call_id is not None]
    gone, held = page.gone(call_ids), page.held(call_ids)
    past: list[KeptReject] = []
    batches: dict[tuple[str, datetime], list[tuple[KeptReject, Record]]] = defaultdict(list)
    for kept, record in usable.items():
        call_id = record.call_id or ""
        if call_id in gone and gone[call_id] > kept.last_seen_at and kept.reason != Rejection.ID_IN_TWO_STREAMS:
            past.append(kept)  # found gone later than this was seen; in another stream, that says nothing of this one
        elif kept.reason == Rejection.DATABASE_REFUSED and provider.detail is not None and call_id in held:
            continue  # may be a detail rather than a list record; a sync asks for it again
        else:
            batches[kept.stream, kept.last_seen_at].append((kept, record))
    inserted = updated = 0
    for (stream, seen_at), batch in batches.items():
        due_at = now if provider.detail is not None else None
        came, altered, right = _load(page, account, stream, seen_at, batch, run_id=run_id, due_at=due_at)
        inserted, updated = inserted + came, updated + altered
        past += right
    by_stream: dict[str, list[str]] = defaultdict(list)
    for kept in past:
        by_stream[kept.stream].append(kept.record_key)
    for stream, keys in by_stream.items():
        page.resolve(stream=stream, keys=keys, at=now)
    last = found[-1]
    return Tried(
        last=Place(last.stream, last.record_key), seen=len(found), inserted=inserted, updated=updated, resolved=len(past)
    )


def _load(
    page: ReplayPage,
    account: Account,
    stream: str,
    seen_at: datetime,
    batch: Sequence[tuple[KeptReject, Record]],
    *,
    run_id: int,
    due_at: datetime | None,
) -> tuple[int, int, list[KeptReject]]:
    """Load rejects last seen at the same instant; return how many calls are new and changed, and the rejects resolved."""
    provider, context = account.provider, context_of(account, stream, run_id=run_id)
    if page.erasing is not None:
        left = shield_records(page.erasing, account, [record for _, record in batch], run_id=run_id)
        batch = [(kept, record) for (kept, _), record in zip(batch, left, strict=True)]
    latest = {record.call_id: (kept, record) for kept, record in batch}
    compared = page.compare([record for _, record in latest.values()], stream=stream, observed_at=seen_at)
    new = [
        entry._replace(call=entry.call._replace(first_seen_at=latest[entry.call.call_id][0].first_seen_at))
        for entry in derive_each(provider, context, compared.new, observed_at=seen_at, due_at=due_at)
    ]
    updates = [
        entry
        for record, held in compared.differing
        if (entry := changed(provider, context, record, held, observed_at=seen_at, due_at=due_at)) is not None
    ]
    refused = page.insert(new) | page.update(updates)
    still = refused.union(one.record.call_id for one in compared.elsewhere if one.record.call_id is not None)
    right = [kept for kept, record in batch if record.call_id not in still]
    came = sum(entry.call.call_id not in refused for entry in new)
    return came, sum(entry.call.call_id not in refused for entry in updates), right
