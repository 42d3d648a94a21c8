"""
Derives held calls again: from their own records, from a newer list record, or from a detail. Pure functions.

Sync, replay, audit and repair all use these, so that none of them writes a row that another would write differently.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from etl.model import OPEN_STATUSES, CallRow, Context, Derived, DriftNote, Record
from etl.provider import Provider, all_of
from etl.records.asking import due_where_worth
from etl.records.columns import in_bulk
from etl.records.content import same_content
from etl.records.derive import derive
from etl.records.differences import KINDS, Family, differing_columns, differing_kinds, differing_places, families
from etl.records.identify import identify, identify_all, is_detail_of
from etl.records.rows import HeldCalls, Rewrite, Stored

FEWEST = 32
"""Groups of up to this size that cannot be made columns are derived one by one; larger ones are halved and tried again."""


class Unlike(NamedTuple):
    """A held call whose list record cannot become its row: `record`, as identified now, is a reject or another call's."""

    held: CallRow
    record: Record


@dataclass(slots=True)
class Rederived:
    """The result of deriving held calls again: those that differ, those that cannot be derived, and all drift."""

    differing: list[tuple[CallRow, Rewrite]] = field(default_factory=list)
    unlike: list[Unlike] = field(default_factory=list)
    drift: Counter[DriftNote] = field(default_factory=Counter)


def rederive(provider: Provider, held: HeldCalls, *, currency: str, run_id: int) -> Rederived:
    """Derive held calls again and compare. Most are as they should be, which is established in bulk."""
    found = Rederived()
    usable: dict[str, list[tuple[CallRow, Record]]] = defaultdict(list)  # by stream; calls with a detail under ""
    for row, record in zip(held.calls, _records(provider, held.calls), strict=True):
        if record.rejection is not None or record.call_id != row.call_id:
            found.unlike.append(Unlike(row, record))
        else:
            usable[provider.home_of(row.stream) if row.detail is None else ""].append((row, record))
    one_by_one = usable.pop("", [])
    for stream, some in usable.items():
        context = Context(connection=some[0][0].connection, stream=stream, currency=currency, run_id=run_id)
        one_by_one += _doubtful(provider, context, some, held)
    one_by_one.sort(key=lambda pair: pair[0].call_id)
    theirs = families(held, {row.call_id for row, _ in one_by_one})
    for row, record in one_by_one:
        entry = derived_again(provider, row, record._replace(digest=row.content_hash), currency=currency, run_id=run_id)
        columns, kinds = differing_columns(row, entry.call), differing_kinds(theirs.get(row.call_id, Family()), entry)
        if columns or kinds:
            found.differing.append((row, Rewrite(entry, columns, kinds)))
        found.drift.update(entry.drift)
    return found


def _doubtful(
    provider: Provider, context: Context, some: Sequence[tuple[CallRow, Record]], held: HeldCalls
) -> Iterable[tuple[CallRow, Record]]:
    """Return the calls, of some without a detail, that may differ; the others are as they should be, without drift."""
    if len(some) <= FEWEST:
        return some
    # Any instant will do for `observed_at`: it is not compared.
    bulk = in_bulk(provider, context, [record for _, record in some], observed_at=some[0][0].observed_at, detail_due_at=None)
    if bulk is not None:
        return [some[place] for place in sorted(differing_places([row for row, _ in some], held, bulk))]
    half = len(some) // 2
    return [*_doubtful(provider, context, some[:half], held), *_doubtful(provider, context, some[half:], held)]


def derived_again(provider: Provider, row: CallRow, record: Record, *, currency: str, run_id: int) -> Derived:
    """
    Derive a held call from `record`, keeping its instants and its detail.

    If the held detail is another call's, it is dropped from the row, and the call's own detail is due at once.
    """
    detail = own_detail(provider, row.call_id, row.detail) if row.detail_observed_at is not None else None
    return derive(
        provider,
        Context(connection=row.connection, stream=provider.home_of(row.stream), currency=currency, run_id=run_id),
        record,
        observed_at=row.observed_at,
        detail=detail,
        detail_observed_at=row.detail_observed_at if detail is not None else None,
        # "At once" by any clock: no answer of this run may have shown the provider's clock yet.
        detail_due_at=row.detail_due_at if detail is not None or row.detail is None else min(row.cursor_at, row.observed_at),
        first_seen_at=row.first_seen_at,
        last_changed_at=row.last_changed_at,
    )


def changed(
    provider: Provider, context: Context, record: Record, held: Stored, *, observed_at: datetime, due_at: datetime | None
) -> Derived | None:
    """
    Derive a held call from a list record; None if the row is already as the record has it.

    A record that is the same as before is still news where a detail that was observed after it says otherwise.
    """
    if same_content(provider, identify(provider, held.raw.encode(), cleaned=False).value, record.value):
        return _seen_again(provider, context, record, held, observed_at=observed_at, due_at=due_at)
    return relisted(provider, context, record, held, observed_at=observed_at, due_at=due_at)


def relisted(
    provider: Provider, context: Context, record: Record, held: Stored, *, observed_at: datetime, due_at: datetime | None
) -> Derived:
    """Derive a held call from a list record that says something else, or stands in another stream, and from its own detail."""
    detail = own_detail(provider, record.call_id or "", held.detail)
    entry = derive(
        provider,
        context,
        record,
        observed_at=observed_at,
        detail=detail,
        detail_observed_at=held.detail_observed_at if detail is not None else None,
        detail_due_at=due_at,
        last_changed_at=observed_at,
    )
    return due_where_worth(provider, entry, record, detail)


def _seen_again(
    provider: Provider, context: Context, record: Record, held: Stored, *, observed_at: datetime, due_at: datetime | None
) -> Derived | None:
    """
    Derive a held call from the list record that is held, seen again after a detail; None if that changes nothing.

    A call that it reopens is asked for; else the detail stays as due as it was, so that a list and details that never agree cost
    no requests. Volatile values are always different, and no reason to write.
    """
    detail = own_detail(provider, record.call_id or "", held.detail)
    asked_at = held.detail_observed_at
    if detail is None or asked_at is None or not held.observed_at <= asked_at < observed_at:
        return None
    was = with_detail(provider, context, held, detail, observed_at=asked_at)
    entry = derive(
        provider,
        context,
        record,
        observed_at=observed_at,
        detail=detail,
        detail_observed_at=asked_at,
        last_changed_at=observed_at,
    )
    volatile = {field.column for field in provider.fields if not provider.volatile.isdisjoint(all_of(field.key))}
    if _same_children(was, entry) and volatile.issuperset(differing_columns(was.call, entry.call)):
        return None
    reopened = entry.call.status in OPEN_STATUSES and held.detail_due_at is None
    return entry._replace(call=entry.call._replace(detail_due_at=due_at if reopened else held.detail_due_at))


def with_detail(provider: Provider, context: Context, held: Stored, detail: Record, *, observed_at: datetime) -> Derived:
    """Derive a held call from its held list record and a detail."""
    record = identify(provider, held.raw.encode(), cleaned=False)._replace(digest=held.content_hash)
    return derive(
        provider,
        context,
        record,
        observed_at=held.observed_at,
        detail=detail,
        detail_observed_at=observed_at,
        last_changed_at=observed_at,
    )


def holds_what_it_says(
    provider: Provider, context: Context, call_id: str, held: Stored, detail: Record, *, observed_at: datetime
) -> bool:
    """
    Whether a detail says the same as the held one, and the held row is as it would be with the detail observed at `observed_at`.

    It is not if the list record was observed after the held detail and disagrees with it.
    """
    before = own_detail(provider, call_id, held.detail)
    if before is None or held.detail_observed_at is None or not same_content(provider, before.value, detail.value):
        return False
    if held.detail_observed_at >= held.observed_at:
        return True
    was = with_detail(provider, context, held, before, observed_at=held.detail_observed_at)
    becomes = with_detail(provider, context, held, before, observed_at=observed_at)
    return _same_children(was, becomes) and not differing_columns(was.call, becomes.call)


def _same_children(one: Derived, other: Derived) -> bool:
    return all(getattr(one, kind) == getattr(other, kind) for kind in KINDS)


def own_detail(provider: Provider, call_id: str, text: str | None) -> Record | None:
    """Return a call's held detail; None if there is none, or it is another call's."""
    if text is None:
        return None
    record = identify(provider, text.encode(), cleaned=False)
    return record if is_detail_of(provider, record, call_id) else None


def _records(provider: Provider, rows: Sequence[CallRow]) -> Sequence[Record]:
    return identify_all(provider, [row.raw.encode() for row in rows]) if rows else ()
