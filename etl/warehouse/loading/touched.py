"""
Marks the days whose roll-ups a page makes out of date (`sync.touched_days`), and the agents that its calls name.

A call touches every day from `occurred_at` to its end, in the reporting time zone, which only the server knows exactly. For new
calls the program sends the hours at which they begin and end, which are few; for held ones the server looks at what is replaced.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import repeat
from operator import floordiv, sub
from typing import NamedTuple

from sqlalchemy import Connection, DateTime, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from etl.model import JSON, CallRow
from etl.records.rows import Columns, Same

CHANGED = "changed_calls"
"""The session's temporary table of rows that are about to replace held ones."""

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
REACH = 7 * 24
"""The number of hours after which a call touches no further day."""

STRIDE = 12
"""No day is shorter, so that one hour in so many is enough to meet every day of a long call."""

TAKEN = (
    "ON CONFLICT (connection, day) DO UPDATE SET people_only = false, being_made = false "
    "WHERE touched_days.people_only OR touched_days.being_made"
)

_MARK_HOURS = text(
    f"""
    INSERT INTO sync.touched_days AS touched_days (connection, day)
    SELECT DISTINCT CAST(:connection AS text), ends.day
    FROM unnest(:hours) AS hour
    CROSS JOIN LATERAL (
        VALUES (sync.reporting_day(hour)), (sync.reporting_day(hour + interval '59 minutes 59.999999 seconds'))
    ) AS ends (day)
    {TAKEN}
    """  # noqa: S608 - words of ours
).bindparams(bindparam("hours", type_=ARRAY(DateTime(timezone=True))))

DAYS = """
    CROSS JOIN LATERAL generate_series(
        sync.reporting_day(occurred_at)::timestamp,
        sync.reporting_day(
            least(
                greatest(
                    occurred_at, started_at, answered_at,
                    coalesce(ended_at, occurred_at + duration_seconds * interval '1 second')
                ),
                occurred_at + interval '7 days'
            )
        )::timestamp,
        interval '1 day'
    ) AS touched (day)
"""
"""Joins calls, by the names of their columns, with the days that each touches."""

_COLUMNS = "occurred_at, started_at, answered_at, ended_at, duration_seconds"

_MARK_CHANGED = text(
    f"""
    INSERT INTO sync.touched_days AS touched_days (connection, day)
    SELECT DISTINCT CAST(:connection AS text), touched.day::date
    FROM (
        SELECT {_COLUMNS} FROM pg_temp.{CHANGED}
        UNION ALL
        SELECT {", ".join(f"c.{name}" for name in _COLUMNS.split(", "))}
        FROM pg_temp.{CHANGED} n
        JOIN public.calls c ON c.connection = :connection AND c.call_id = n.call_id
    ) AS written
    {DAYS}
    {TAKEN}
    """  # noqa: S608 - words of ours
)

_MARK_HELD = text(
    f"""
    INSERT INTO sync.touched_days AS touched_days (connection, day)
    SELECT DISTINCT connection, touched.day::date
    FROM (
        SELECT connection, {_COLUMNS} FROM public.calls WHERE connection = :connection AND call_id = ANY(:call_ids)
    ) AS held
    {DAYS}
    {TAKEN}
    """  # noqa: S608 - words of ours
).bindparams(bindparam("call_ids", type_=ARRAY(Text)))

_NAME_AGENTS = text(
    """
    INSERT INTO public.agents AS known (connection, agent_id, first_seen_at, last_seen_at)
    SELECT :connection, agent_id, CAST(:now AS timestamptz), CAST(:now AS timestamptz)
    FROM unnest(:agent_ids) AS agent_id
    ON CONFLICT (connection, agent_id) DO NOTHING
    """
).bindparams(bindparam("agent_ids", type_=ARRAY(Text)))


class Traces(NamedTuple):
    """What new calls leave besides their rows: the hours since `EPOCH` at which they begin and end, and their agents' ids."""

    hours: frozenset[int] = frozenset()
    agent_ids: frozenset[str] = frozenset()


def traces_of(columns: Columns, count: int) -> Traces:
    """Return the traces of `count` calls that are given as columns of `CallRow`."""
    if not count:
        return Traces()
    agents = _given(columns, "agent_id", count)
    return Traces(_hours(columns, count), frozenset(agents) - {None} if agents else frozenset())


def traces_of_rows(rows: Sequence[CallRow]) -> Traces:
    """Return the traces of these calls."""
    if not rows:
        return Traces()
    return traces_of(dict(zip(CallRow._fields, zip(*rows, strict=True), strict=True)), len(rows))


def _hours(columns: Columns, count: int) -> frozenset[int]:
    occurred = _given(columns, "occurred_at", count) or ()
    first = list(map(floordiv, map(sub, occurred, repeat(EPOCH)), repeat(HOUR)))
    others = [column for name in ("started_at", "answered_at") if (column := _given(columns, name, count)) is not None]
    ended, lasts = _given(columns, "ended_at", count), _given(columns, "duration_seconds", count)
    # The plain case in C: every call has an end, and begins when it occurred.
    if ended is not None and type(None) not in set(map(type, ended)) and all(one is occurred for one in others):
        return _filled(first, list(map(floordiv, map(sub, ended, repeat(EPOCH)), repeat(HOUR))))
    nothing: Sequence[JSON] = (None,) * count
    ends = [
        _last(at, end, seconds, later)
        for at, end, seconds, *later in zip(occurred, ended or nothing, lasts or nothing, *others, strict=True)
    ]
    return _filled(first, ends)


def _last(occurred: datetime, ended: datetime | None, seconds: int | None, later: Iterable[datetime | None]) -> int:
    """Return the last hour that a call touches, before it is cut off."""
    if ended is None and seconds:
        ended = occurred + min(timedelta(seconds=seconds), REACH * HOUR)
    return (max([occurred, *(at for at in (ended, *later) if at is not None)]) - EPOCH) // HOUR


def _filled(first: Sequence[int], last: Sequence[int]) -> frozenset[int]:
    """Return these hours, with one in between wherever a day might lie there, none further on than a call reaches."""
    hours = set(first)
    stays = list(map(sub, last, first))
    if min(stays) >= 0 and max(stays) <= STRIDE:
        return frozenset(hours.union(last))
    for start, stay in zip(first, stays, strict=True):
        reach = min(max(stay, 0), REACH)
        hours.update(range(start, start + reach, STRIDE))
        hours.add(start + reach)
    return frozenset(hours)


def _given(columns: Columns, name: str, count: int) -> Sequence[JSON] | None:
    column = columns.get(name)
    if column is None or (isinstance(column, Same) and column.value is None):
        return None
    return (column.value,) * count if isinstance(column, Same) else column


def mark_hours(connection: Connection, name: str, hours: Collection[int]) -> None:
    """Mark the days in which these hours lie."""
    if hours:
        instants = [EPOCH + hour * HOUR for hour in sorted(hours)]
        connection.execute(_MARK_HOURS, {"connection": name, "hours": instants})


def mark_changed(connection: Connection, name: str) -> None:
    """Mark the days of the rows in the temporary table, and of the held rows that they are about to replace."""
    connection.execute(_MARK_CHANGED, {"connection": name})


def mark_held(connection: Connection, name: str, call_ids: Collection[str]) -> None:
    """Mark the days of held calls that are about to be removed, or whose children are replaced."""
    if call_ids:
        connection.execute(_MARK_HELD, {"connection": name, "call_ids": list(call_ids)})


def name_agents(connection: Connection, name: str, agent_ids: Collection[str], *, now: datetime) -> None:
    """Make a row for every agent that has none; those of others are left as they are."""
    if agent_ids:
        connection.execute(_NAME_AGENTS, {"connection": name, "agent_ids": sorted(agent_ids), "now": now})


def joined(one: Traces, other: Traces) -> Traces:
    """Return the traces of both."""
    return Traces(one.hours | other.hours, one.agent_ids | other.agent_ids)
