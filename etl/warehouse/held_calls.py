"""Reads held calls and their children back, one batch of ids at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, TypeVar

import psycopg

from etl.audit.port import Batch, Version
from etl.model import CallRow, EventRow, MessageRow, ParticipantRow
from etl.records.rows import HeldCalls

_AS_TEXT = frozenset({"raw", "detail", "attributes", "data"})  # so that our decoder reads it, not the driver's

Row = TypeVar("Row", bound=tuple[Any, ...])


def read_held(driver: psycopg.Connection[Any], connection: str, *, after: str, limit: int) -> HeldCalls:
    """Return the next `limit` calls after the id `after` ("": from the first), and all children up to the last one's id."""
    calls = _rows(driver, CallRow, _CALLS, (connection, after, limit))
    upto = calls[-1].call_id if len(calls) == limit else None
    return HeldCalls(
        calls=calls,
        participants=_rows(driver, ParticipantRow, *_within("call_participants", connection, after, upto)),
        messages=_rows(driver, MessageRow, *_within("call_messages", connection, after, upto)),
        events=_rows(driver, EventRow, *_within("call_events", connection, after, upto)),
    )


def read_held_of(driver: psycopg.Connection[Any], connection: str, call_ids: Collection[str]) -> HeldCalls:
    """Return these calls as they are held, with all their children."""
    values = (connection, list(call_ids))
    return HeldCalls(
        calls=_rows(driver, CallRow, _AMONG.format(_selected(CallRow._fields), "calls"), values),
        participants=_rows(driver, ParticipantRow, _AMONG.format(_COLUMNS["call_participants"], "call_participants"), values),
        messages=_rows(driver, MessageRow, _AMONG.format(_COLUMNS["call_messages"], "call_messages"), values),
        events=_rows(driver, EventRow, _AMONG.format(_COLUMNS["call_events"], "call_events"), values),
    )


def read_batch(driver: psycopg.Connection[Any], connection: str, *, after: str, limit: int) -> Batch:
    """Return the same, and all versions up to the last call's id."""
    held = read_held(driver, connection, after=after, limit=limit)
    upto = held.calls[-1].call_id if len(held.calls) == limit else None
    versions: dict[str, list[Version]] = defaultdict(list)
    for call_id, *version in driver.execute(*_within("call_history", connection, after, upto)).fetchall():
        versions[call_id].append(Version(*version))
    return Batch(held=held, versions={call_id: sorted(found) for call_id, found in versions.items()})


def _rows(driver: psycopg.Connection[Any], kind: type[Row], statement: str, values: tuple[Any, ...]) -> list[Row]:
    """Return a statement's rows, made as `_make` does but without its length check: a million calls may pass here."""
    with driver.cursor(binary=True, row_factory=lambda _: partial(tuple.__new__, kind)) as cursor:
        return cursor.execute(statement, values).fetchall()


def _selected(names: Sequence[str]) -> str:
    return ", ".join(f"{name}::text" if name in _AS_TEXT else name for name in names)


_CALLS = (
    f"SELECT {_selected(CallRow._fields)} FROM public.calls "  # noqa: S608 - column names of ours
    "WHERE connection = %s AND call_id > %s ORDER BY call_id LIMIT %s"
)
_AMONG = "SELECT {} FROM public.{} WHERE connection = %s AND call_id = ANY(%s::text[])"
_COLUMNS = {
    "call_participants": _selected(ParticipantRow._fields),
    "call_messages": _selected(MessageRow._fields),
    "call_events": _selected(EventRow._fields),
    "call_history": _selected(("call_id", *Version._fields)),
}


def _within(table: str, connection: str, after: str, upto: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the query of a table for the ids after `after` up to and including `upto` (None: to the end)."""
    statement = f"SELECT {_COLUMNS[table]} FROM public.{table} WHERE connection = %s AND call_id > %s"  # noqa: S608 - as above
    if upto is None:
        return statement, (connection, after)
    return statement + " AND call_id <= %s", (connection, after, upto)
