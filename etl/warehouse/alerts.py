"""Alerts on Postgres, as `etl.alerts.port.Book` asks for them: what is remembered (`sync.alerts`), and how connections stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from etl.alerts.changes import REMEMBERED_PAUSES, Alert, Change, Kind, State
from etl.alerts.port import Facts
from etl.warehouse.database import Database
from etl.warehouse.tables import alerts, texts

# Of runs, audits and calls a few entries of indexes are read, however many there are. A connection that no sync got through for
# yet has been read as far as its first sync tried, or as its streams were last written: a long first backfill is not behind.
_FACTS = text(
    """
    SELECT f.connection, f.fresh_until, f.proof, f.proved_at, f.unclosable_gaps, ended.error_code AS last_error,
           CASE WHEN f.last_success IS NULL THEN greatest(f.fresh_until, written.updated_at, began.started_at, ended.partial_at)
                ELSE coalesce(f.fresh_until, f.last_success) END AS read_until,
           newest.cursor_at AS newest_call
    FROM public.data_freshness f
    LEFT JOIN LATERAL (
        SELECT r.started_at FROM sync.runs r WHERE r.connection = f.connection AND r.kind = 'sync' ORDER BY r.id LIMIT 1
    ) AS began ON true
    LEFT JOIN LATERAL (
        SELECT r.error_code, CASE WHEN r.status = 'partial' THEN r.finished_at END AS partial_at
        FROM sync.runs r
        WHERE r.connection = f.connection AND r.kind = 'sync' AND r.status <> 'running' ORDER BY r.id DESC LIMIT 1
    ) AS ended ON true
    LEFT JOIN LATERAL (SELECT max(s.updated_at) AS updated_at FROM sync.state s WHERE s.connection = f.connection) AS written
        ON true
    LEFT JOIN LATERAL (
        SELECT max(k.cursor_at) AS cursor_at
        FROM sync.state s
        CROSS JOIN LATERAL (
            SELECT c.cursor_at FROM public.calls c
            WHERE c.connection = s.connection AND c.stream = s.stream AND c.cursor_at <= :now
            ORDER BY c.cursor_at DESC LIMIT 1
        ) AS k
        WHERE s.connection = f.connection
    ) AS newest ON true
    WHERE f.connection = ANY (CAST(:connections AS text[]))
    ORDER BY f.connection
    """
)

# The call before these four weeks counts too: a pause that began before them and ended in them was one of theirs.
_LONGEST_PAUSE = text(
    """
    SELECT max(cursor_at - before) AS pause
    FROM (
        SELECT cursor_at, lag(cursor_at) OVER (ORDER BY cursor_at) AS before
        FROM (
            SELECT c.cursor_at FROM sync.state s
            JOIN public.calls c ON c.connection = s.connection AND c.stream = s.stream
            WHERE s.connection = :connection AND c.connection = :connection AND c.cursor_at > :first AND c.cursor_at <= :newest
            UNION ALL
            SELECT k.cursor_at FROM sync.state s
            CROSS JOIN LATERAL (
                SELECT c.cursor_at FROM public.calls c
                WHERE c.connection = :connection AND c.stream = s.stream AND c.cursor_at <= :first
                ORDER BY c.cursor_at DESC LIMIT 1
            ) AS k
            WHERE s.connection = :connection
        ) AS instants
    ) AS pauses
    WHERE cursor_at > :first
    """
)


class Alerts:
    """Implements `Book`, whose methods are documented there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def alerts(self) -> list[tuple[Alert, datetime]]:
        with self._database.begin() as session:
            rows = session.execute(select(alerts).order_by(alerts.c.connection, alerts.c.kind)).all()
        return [(_alert(row), row.looked_at) for row in rows]

    def facts(self, connections: Sequence[str], *, now: datetime) -> list[Facts]:
        with self._database.begin() as session:
            rows = session.execute(_FACTS, {"connections": list(connections), "now": now}).all()
        return [
            Facts(
                connection=row.connection,
                read_until=row.read_until,
                fresh_until=row.fresh_until,
                last_error=row.last_error,
                proof=row.proof,
                proved_at=row.proved_at,
                lost_gaps=row.unclosable_gaps,
                newest_call=row.newest_call,
            )
            for row in rows
        ]

    def longest_pause(self, connection: str, *, before: datetime) -> timedelta | None:
        given = {"connection": connection, "newest": before, "first": before - REMEMBERED_PAUSES}
        with self._database.begin() as session:
            pause: timedelta | None = session.execute(_LONGEST_PAUSE, given).scalar_one()
        return pause

    def note(self, alert: Alert, *, instead_of: Alert | None, now: datetime) -> None:
        values = {**_columns(alert), "looked_at": now}
        with self._database.begin() as session:
            if instead_of is None:
                key = {"connection": alert.connection, "kind": alert.kind.value}
                session.execute(insert(alerts).values(**key, **values).on_conflict_do_nothing())
            else:
                session.execute(update(alerts).where(_still(instead_of)).values(**values))

    def tell(self, told: Sequence[Change], send: Callable[[Sequence[Change]], None], *, now: datetime) -> None:
        with self._database.begin() as session:
            left = [
                change
                for change in sorted(told, key=lambda change: (change.before.connection, change.before.kind))
                if session.execute(
                    select(alerts.c.kind).where(_still(change.before)).with_for_update(skip_locked=True)
                ).one_or_none()
            ]
            if left:
                send(left)
            for change in left:
                values = {**_columns(change.after), "looked_at": now}
                session.execute(update(alerts).where(_still(change.before)).values(**values))

    def looked_at(self, connections: Sequence[str], *, now: datetime, before: datetime) -> None:
        ours = alerts.c.connection == func.any(texts(connections))
        with self._database.begin() as session:
            session.execute(update(alerts).where(ours, alerts.c.looked_at < before).values(looked_at=now))

    def forget(self, connection: str, *, before: datetime) -> None:
        with self._database.begin() as session:
            session.execute(delete(alerts).where(alerts.c.connection == connection, alerts.c.looked_at < before))


def _still(alert: Alert) -> ColumnElement[bool]:
    """Return the condition that a row is what was remembered of it."""
    return and_(
        alerts.c.connection == alert.connection,
        alerts.c.kind == alert.kind.value,
        alerts.c.state == alert.state.value,
        alerts.c.since == alert.since,
        alerts.c.notified_at.is_not_distinct_from(alert.notified_at),
        alerts.c.number == alert.number,
    )


def _columns(alert: Alert) -> dict[str, Any]:
    return {"state": alert.state.value, "since": alert.since, "notified_at": alert.notified_at, "number": alert.number}


def _alert(row: Any) -> Alert:
    return Alert(
        connection=row.connection,
        kind=Kind(row.kind),
        state=State(row.state),
        since=row.since,
        notified_at=row.notified_at,
        number=row.number,
    )
