"""Knows how held calls are read back a stretch at a time, with all that belongs to them; writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg

from etl.audit.port import Batch, Version
from etl.model import CallRow, EventRow, MessageRow, ParticipantRow
from etl.records.rows import HeldCalls

_AS_TEXT = frozenset({"raw", "detail", "attributes", "data"})  # so that the one decoder reads it

Row = TypeVar("Row", bound=tuple[Any, ...])


def read_held(driver: psycopg.Connection[Any], connection: str, *, after: str, limit: int) -> HeldCalls:
    """Return the next `limit` calls behind the id `after` ("": the first), and the children of all ids up to the last of them."""
    with driver.cursor(binary=True) as cursor:
        rows = cursor.execute(_CALLS, (connection, after, limit)).fetchall()
        calls = list(map(CallRow._make, rows))
        upto = calls[-1].call_id if len(calls) == limit else None

        def children(table: str, kind: Callable[[Any], Row]) -> Sequence[Row]:
            return list(map(kind, cursor.execute(*_within(table, connection, after, upto)).fetchall()))

        return HeldCalls(
            calls=calls,
            participants=children("call_participants", ParticipantRow._make),
            messages=children("call_messages", MessageRow._make),
            events=children("call_events", EventRow._make),
        )


def read_batch(driver: psycopg.Connection[Any], connection: str, *, after: str, limit: int) -> Batch:
    """Return the same with the versions of all ids up to the last call's."""
    held = read_held(driver, connection, after=after, limit=limit)
    upto = held.calls[-1].call_id if len(held.calls) == limit else None
    versions: dict[str, list[Version]] = defaultdict(list)
    for call_id, *version in driver.execute(*_within("call_history", connection, after, upto)).fetchall():
        versions[call_id].append(Version(*version))
    return Batch(held=held, versions={call_id: sorted(found) for call_id, found in versions.items()})


def _selected(names: Sequence[str]) -> str:
    return ", ".join(f"{name}::text" if name in _AS_TEXT else name for name in names)


_CALLS = (
    f"SELECT {_selected(CallRow._fields)} FROM public.calls "  # noqa: S608 - column names of ours
    "WHERE connection = %s AND call_id > %s ORDER BY call_id LIMIT %s"
)
_COLUMNS = {
    "call_participants": _selected(ParticipantRow._fields),
    "call_messages": _selected(MessageRow._fields),
    "call_events": _selected(EventRow._fields),
    "call_history": _selected(("call_id", *Version._fields)),
}


def _within(table: str, connection: str, after: str, upto: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the statement for what a table holds of a range of ids, the last one included; None: to the end."""
    statement = f"SELECT {_COLUMNS[table]} FROM public.{table} WHERE connection = %s AND call_id > %s"  # noqa: S608 - as above
    if upto is None:
        return statement, (connection, after)
    return statement + " AND call_id <= %s", (connection, after, upto)
