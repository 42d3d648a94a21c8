"""
Turns details into rows: looks up what is held, asks `etl.records` what follows, writes all of them together.

Runs inside a page's transaction, which holds the fence: nobody else writes to the connection.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from etl.model import Derived, Record, Rejection
from etl.records.identify import as_reject, identify
from etl.records.rederive import holds_what_it_says, with_detail
from etl.records.rows import Stored
from etl.runs.account import Account
from etl.runs.erasing import shielded_detail
from etl.runs.loading import context_of
from etl.runs.port import Due, ErasingPage, PageTransaction
from etl.runs.terms import Loaded, Reject


class Told(NamedTuple):
    """What a provider told of one call, and when it was asked."""

    stream: str
    call_id: str
    detail: Record
    observed_at: datetime


def load_details(page: PageTransaction, account: Account, told: Sequence[Told], *, run_id: int, due: Due) -> list[Loaded]:
    """
    Update held calls from their details, one of each call, and return what came of each.

    If a row is already as the detail has it, only the time to ask again changes. A detail that is the same as before is still
    news where a list record that was observed after it says otherwise.
    """
    held, came = page.held([one.call_id for one in told]), {one.call_id: Loaded() for one in told}
    newer: list[Told] = []
    for one in told:
        if (row := held.get(one.call_id)) is None:
            continue
        if row.detail_observed_at is not None and row.detail_observed_at > one.observed_at:
            came[one.call_id] = Loaded(older_by=row.detail_observed_at - one.observed_at)
        else:
            newer.append(one)
    says = {one.call_id: one.detail for one in newer}
    if page.erasing is not None and newer:
        says = _shielded(page.erasing, account, newer, held, run_id=run_id)
        held = page.held(says)  # some may have been cut just now
    same: dict[datetime | None, list[str]] = defaultdict(list)
    updates: dict[str, Derived] = {}
    for one in newer:
        given = (account.provider, context_of(account, one.stream, run_id=run_id))
        row, detail = held[one.call_id], says[one.call_id]
        entry = with_detail(*given, row, detail, observed_at=one.observed_at)
        due_at = due(entry, one.detail.value)  # whether its late parts came is told by what came
        if holds_what_it_says(*given, one.call_id, row, detail, observed_at=one.observed_at):
            same[due_at].append(one.call_id)
            came[one.call_id] = Loaded(unchanged=1)
        else:
            updates[one.call_id] = entry._replace(call=entry.call._replace(detail_due_at=due_at))
    for due_at, call_ids in same.items():
        page.ask_for(call_ids, due_at=due_at)
    refused = page.update(list(updates.values()))
    came |= {call_id: Loaded(rejected=1) if call_id in refused else Loaded(updated=1) for call_id in updates}
    page.detail_came([call_id for call_id in says if held[call_id].detail_failures and call_id not in refused])
    for one in told:
        _note(page, account, one, refused=says[one.call_id] if one.call_id in refused else None, entry=updates.get(one.call_id))
    return [came[one.call_id] for one in told]


def _shielded(
    erasing: ErasingPage, account: Account, told: Sequence[Told], held: Mapping[str, Stored], *, run_id: int
) -> dict[str, Record]:
    """Return the details without what is erased of them."""
    shown: dict[str, Record] = {}
    for one in told:
        cursor = identify(account.provider, held[one.call_id].raw.encode(), cleaned=False).cursor
        shown[one.call_id] = shielded_detail(erasing, account, one.call_id, one.detail, cursor=cursor, run_id=run_id)
    return shown


def _note(page: PageTransaction, account: Account, one: Told, *, refused: Record | None, entry: Derived | None) -> None:
    """Note a detail that the database refused, or what was unexpected in one that it took."""
    if refused is not None:
        reject = Reject(as_reject(account.provider, refused._replace(call_id=one.call_id)), Rejection.DATABASE_REFUSED)
        page.note(stream=one.stream, rejects=[reject], drift=Counter(), observed_at=one.observed_at)
        return
    page.came_right([one.call_id], stream=one.stream, observed_at=one.observed_at, reason=Rejection.DATABASE_REFUSED)
    if entry is not None and entry.drift:
        page.note(stream=one.stream, rejects=(), drift=Counter(entry.drift), observed_at=one.observed_at)
