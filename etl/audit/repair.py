"""Knows how what an audit found is put right: from the row's own records where they tell, else by asking the provider again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from etl.audit.counts import END, SECOND, Located
from etl.audit.port import AuditWarehouse, Disagreement, MendingPage
from etl.audit.self_check import Wrong, restored
from etl.coverage import BEGINNING, Span, Spans
from etl.model import CallRow, Derived, Record
from etl.reading.orders import way_of
from etl.reading.walks.ascending import whole_second
from etl.reading.walks.way import Uncountable
from etl.runs.context import Task
from etl.runs.repeated import repeated
from etl.runs.state import StreamState
from etl.runs.stream import sync_stream
from etl.runs.terms import Want


def mend_batch(task: Task, warehouse: AuditWarehouse, wrong: Wrong) -> Iterator[Disagreement]:
    """Put right what needs no request, in one transaction; return everything but what is left for `read_damaged`."""
    if wrong.rewrite or wrong.erase:
        erased = [found.call_id for found in wrong.erase if found.call_id is not None]

        def rewrite(page: MendingPage) -> None:
            page.rewrite([entry for _, entry in wrong.rewrite])
            page.erase(erased)

        _mend(task, warehouse, rewrite)
    for found in (*(found for found, _ in wrong.rewrite), *wrong.erase):
        yield found._replace(mended=True)
    yield from wrong.versions


def read_damaged(
    task: Task, warehouse: AuditWarehouse, damaged: Sequence[tuple[Disagreement, CallRow]]
) -> Iterator[Disagreement]:
    """Read the list records again that are unusable here, each where its call stood; the call may have another id in truth."""
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
    """Write a damaged row anew from what the provider lists; answer whether that was possible."""
    if row.call_id in listed:
        entry = _anew(task, row, *listed[row.call_id])
        _mend(task, warehouse, lambda page: page.rewrite([entry]))
        return True
    others = [call_id for call_id in listed if call_id not in held]
    if len(others) != 1:
        return False
    entry = _anew(task, row._replace(call_id=others[0]), *listed[others[0]])

    def move(page: MendingPage) -> None:
        page.erase([row.call_id])
        page.restore([entry])

    _mend(task, warehouse, move)
    return True


def _mend(task: Task, warehouse: AuditWarehouse, work: Callable[[MendingPage], object]) -> None:
    """Do the work in one transaction, again where it collided with another one."""

    def transaction() -> None:
        with warehouse.page(task.account, run_id=task.run_id) as page:
            work(page)

    repeated(transaction, clock=task.clock)


def _anew(task: Task, row: CallRow, record: Record, at: datetime) -> Derived:
    return restored(task, row._replace(observed_at=at), record)


def read_again(task: Task, warehouse: AuditWarehouse, stream: str, located: Located, *, start: datetime | None) -> None:
    """Read the stretches that disagree again, as a sync of one range does, with all of its proofs before anything is deleted."""
    for stretch in Spans(located.stretches):
        state = warehouse.streams(task.connection).get(stream) or StreamState(start=None)
        task.want = Want(since=None if stretch.start == BEGINNING else stretch.start, until=stretch.end)
        sync_stream(task, stream, replace(state, start=start, closed_at=None))
    task.want = Want()
    if located.stale:
        stale, now = located.stale, task.clock.now()
        _mend(task, warehouse, lambda page: page.resolve(stream=stream, keys=stale, at=now))
