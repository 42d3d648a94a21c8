"""Repairs what an audit found: from the row's own records if possible, else by asking the provider again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from etl.audit.counts import END, SECOND, Located
from etl.audit.port import AuditWarehouse, Disagreement, MendingPage
from etl.audit.self_check import Wrong
from etl.coverage import BEGINNING, Span, Spans
from etl.model import CallRow, Record
from etl.reading.orders import way_of
from etl.reading.walks.ascending import whole_second
from etl.reading.walks.way import Uncountable
from etl.records.differences import KINDS
from etl.records.rederive import derived_again
from etl.records.rows import Rewrite
from etl.runs.context import Task
from etl.runs.erasing import shielded_row
from etl.runs.repeated import repeated
from etl.runs.state import StreamState
from etl.runs.stream import sync_stream
from etl.runs.terms import Want


def mend_batch(task: Task, warehouse: AuditWarehouse, wrong: Wrong) -> Iterator[Disagreement]:
    """Repair, in one transaction, what needs no request; return all disagreements except those left to `read_damaged`."""
    if wrong.rewrite or wrong.erase:

        def mend(page: MendingPage) -> Collection[str]:
            refused = page.rewrite([rewrite for _, rewrite in wrong.rewrite])
            page.erase([found.call_id for found in wrong.erase if found.call_id is not None])
            return refused

        refused = _mended(task, warehouse, mend)
        for found in (*(found for found, _ in wrong.rewrite), *wrong.erase):
            yield found._replace(mended=found.call_id not in refused)
    yield from wrong.versions


def read_damaged(
    task: Task, warehouse: AuditWarehouse, damaged: Sequence[tuple[Disagreement, CallRow]]
) -> Iterator[Disagreement]:
    """Read damaged list records again from where their calls stood in the list; a call's real id may be another."""
    by_stream: dict[str, list[tuple[Disagreement, CallRow]]] = defaultdict(list)
    for found, row in damaged:
        by_stream[found.stream].append((found, row))
    for stream, rows in by_stream.items():

        def expected(instant: datetime, stream: str = stream) -> int:
            return warehouse.count_in(connection=task.connection, stream=stream, span=Span(instant, END))

        try:
            side = way_of(task.account.provider).side(task.access(stream), expected=expected)
        except Uncountable:
            yield from (found for found, _ in rows)
            continue
        for found, row in rows:
            task.check_stop()
            start = whole_second(row.cursor_at)
            listed = {
                record.call_id: (record, at)
                for record, at in side.records(Span(start, start + SECOND))
                if record.rejection is None and record.call_id is not None
            }
            held = warehouse.held_ids(task.connection, list(listed))
            yield found._replace(mended=_replace(task, warehouse, row, listed, held))


def _replace(
    task: Task, warehouse: AuditWarehouse, row: CallRow, listed: dict[str, tuple[Record, datetime]], held: frozenset[str]
) -> bool:
    """Rewrite a damaged row from what the provider lists now; return whether that was possible."""
    others = [row.call_id] if row.call_id in listed else [call_id for call_id in listed if call_id not in held]
    if len(others) != 1:
        return False
    call_id = others[0]
    record, at = listed[call_id]
    account = task.account
    row_now = row._replace(call_id=call_id, observed_at=at)

    def replace_row(page: MendingPage) -> bool:
        held, left = row_now, record
        if page.erasing is not None:
            held, left = shielded_row(page.erasing, account, row_now, record, run_id=task.run_id)
        entry = derived_again(account.provider, held, left, currency=account.currency, run_id=task.run_id)
        if call_id == row.call_id:
            return not page.rewrite([Rewrite(entry, CallRow._fields, KINDS)])
        page.erase([row.call_id])
        return not page.insert([entry])

    return _mended(task, warehouse, replace_row)


Result = TypeVar("Result")


def _mended(task: Task, warehouse: AuditWarehouse, work: Callable[[MendingPage], Result]) -> Result:
    """Do the work in one transaction, again where it collided with another one, and return what it returned."""

    def transaction() -> Result:
        with warehouse.page(task.account, run_id=task.run_id) as page:
            return work(page)

    return repeated(transaction, clock=task.clock)


def read_again(task: Task, warehouse: AuditWarehouse, stream: str, located: Located, *, start: datetime | None) -> None:
    """Read ranges that disagree again as a sync of a range does, with the same proofs before anything is deleted."""
    for stretch in Spans(located.stretches):
        state = warehouse.streams(task.connection).get(stream) or StreamState(start=None)
        task.want = Want(since=None if stretch.start == BEGINNING else stretch.start, until=stretch.end)
        sync_stream(task, stream, replace(state, start=start, closed_at=None))
    task.want = Want()
    if located.stale:
        stale, now = located.stale, task.clock.now()
        _mended(task, warehouse, lambda page: page.resolve(stream=stream, keys=stale, at=now))
