"""
Makes all roll-ups again, over every connection that holds rows, whether it is configured or not; also for a new time zone.

In the same zone it goes connection by connection, day by day: readers see exact numbers meanwhile. A new zone is taken on in one
transaction, after the locks of all connections: readers see the old days or the new ones, and never half of them.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from threading import Event
from typing import NamedTuple

from sqlalchemy import Connection, text

from etl.errors import AlreadyRunning, EtlError, FenceLost
from etl.runs.terms import Outcome, RunKind, RunStatus, Trigger
from etl.warehouse import schema
from etl.warehouse.database import Database
from etl.warehouse.loading.fence import take
from etl.warehouse.loading.touched import DAYS, TAKEN
from etl.warehouse.postgres import PostgresWarehouse
from etl.warehouse.rollups.remaking import parts_of, remake
from etl.warehouse.tables.rollups import OF_CALLS, pair_weekly, person_daily, talk_time_monthly

_HOLDERS = text(
    """
    SELECT held.connection, coalesce(known.provider, '') AS provider, coalesce(known.agents_are_people, false) AS people
    FROM (
        SELECT connection FROM sync.connections
        UNION SELECT connection FROM public.calls
        UNION SELECT connection FROM sync.touched_days
        UNION SELECT connection FROM sync.calls_daily
    ) AS held
    LEFT JOIN sync.connections AS known ON known.connection = held.connection
    ORDER BY held.connection
    """
)
_COUNT = text("SELECT count(*) FROM public.calls")
_COUNT_MOVED = text("SELECT count(*) FROM public.calls WHERE day <> (occurred_at AT TIME ZONE CAST(:zone AS text))::date")
# The column is computed again because what it is computed from is named as written.
_MOVE = text("UPDATE public.calls SET occurred_at = occurred_at, changed_at = :now WHERE day <> sync.reporting_day(occurred_at)")
_TOUCH_ALL = text(
    f"""
    INSERT INTO sync.touched_days AS touched_days (connection, day)
    SELECT DISTINCT CAST(:connection AS text), known.day
    FROM (
        SELECT touched.day::date
        FROM (
            SELECT occurred_at, started_at, answered_at, ended_at, duration_seconds
            FROM public.calls
            WHERE connection = :connection
        ) AS held
        {DAYS}
        {" ".join(f"UNION ALL SELECT day FROM sync.{table.name} WHERE connection = :connection" for table in OF_CALLS)}
        UNION ALL SELECT month FROM sync.talk_time_monthly WHERE connection = :connection
        UNION ALL SELECT day FROM sync.person_daily WHERE connection = :connection
        UNION ALL SELECT week FROM sync.pair_weekly WHERE connection = :connection
    ) AS known (day)
    {TAKEN}
    """  # noqa: S608 - words of ours
)
_FORGET = tuple(
    text(f"DELETE FROM sync.{table} WHERE connection = :connection")  # noqa: S608 - names of ours
    for table in ("touched_days", *(one.name for one in (*OF_CALLS, talk_time_monthly, person_daily, pair_weekly)))
)

SECONDS_A_CALL = 4e-5
"""How long it takes to make all roll-ups of a call, about: only for telling how long it will be."""

SECONDS_A_MOVED_CALL = 6e-5
"""How long it takes to write a call again, about."""


class Holder(NamedTuple):
    """A connection that holds rows, and what is known of its provider."""

    connection: str
    provider: str
    agents_are_people: bool


class Extent(NamedTuple):
    """What a rebuild is about to do: of how many calls, how many of which move to another day, and how long that may take."""

    connections: tuple[Holder, ...]
    calls: int
    moved: int
    seconds: float


def extent(database: Database, zone: str) -> Extent:
    """Return what a rebuild in this zone is about to do. Raises UsageError for a zone that the server does not know."""
    with database.begin() as session:
        schema.require_zone(session, zone)
        holders = tuple(Holder(*row) for row in session.execute(_HOLDERS))
        calls = int(session.execute(_COUNT).scalar_one())
        moved = int(session.execute(_COUNT_MOVED, {"zone": zone}).scalar_one())
    return Extent(holders, calls, moved, calls * SECONDS_A_CALL + moved * SECONDS_A_MOVED_CALL)


def rebuild(database: Database, warehouse: PostgresWarehouse, *, found: Extent, zone: str, stop: Event) -> list[Outcome]:
    """
    Make all roll-ups again, in `zone`; return how that ended for each connection.

    Where the zone is a new one, a connection that is busy keeps all of them as they are. Raises UsageError, WarehouseError.
    """
    if schema.reporting_timezone(database) != zone:
        return _take_on(database, warehouse, found.connections, zone)
    return [_rebuild_one(database, warehouse, holder, stop) for holder in found.connections]


def _rebuild_one(database: Database, warehouse: PostgresWarehouse, holder: Holder, stop: Event) -> Outcome:
    outcome = Outcome(connection=holder.connection)
    try:
        warehouse.acquire(holder.connection)
        try:
            outcome.run_id = _open(warehouse, holder)
            try:
                with database.begin() as session:
                    _require_fence(session, outcome)
                    session.execute(_TOUCH_ALL, {"connection": holder.connection})
                remake(database, holder.connection, outcome.run_id, stop=stop)
                outcome.status = RunStatus.PARTIAL if stop.is_set() else RunStatus.SUCCEEDED
            except EtlError as error:
                outcome.error = error.of(holder.connection)
            finally:
                warehouse.close_run(outcome.run_id, outcome=outcome)
        finally:
            warehouse.release(holder.connection)
    except EtlError as error:
        outcome.error = outcome.error or error.of(holder.connection)
    return outcome


def _take_on(database: Database, warehouse: PostgresWarehouse, holders: tuple[Holder, ...], zone: str) -> list[Outcome]:
    outcomes = [Outcome(connection=holder.connection) for holder in holders]
    with ExitStack() as locks:
        for holder in holders:
            try:
                warehouse.acquire(holder.connection)
            except AlreadyRunning as busy:
                busy.safe = "Nothing was changed, in no connection: a new time zone is taken on by all of them at once."
                busy.hint = "Wait for it to end (`etl runs` shows it), then run this again."
                raise busy.of(holder.connection) from None
            locks.callback(warehouse.release, holder.connection)
        for holder, outcome in zip(holders, outcomes, strict=True):
            outcome.run_id = _open(warehouse, holder)
        error: EtlError | None = None
        try:
            with database.begin() as session:
                schema.in_sequence(session)
                session.execute(text("LOCK TABLE public.calls IN SHARE ROW EXCLUSIVE MODE"))
                now = max(_require_fence(session, outcome) for outcome in outcomes) if outcomes else None
                schema.replace_reporting_timezone(session, zone)
                if now is not None:
                    session.execute(_MOVE, {"now": now})
                for holder in holders:
                    _make_all(session, holder.connection)
        except EtlError as failure:
            error = failure
        for outcome in outcomes:
            outcome.error, outcome.status = error, RunStatus.FAILED if error else RunStatus.SUCCEEDED
            warehouse.close_run(outcome.run_id or 0, outcome=outcome)
        if error is not None:
            raise error
    return outcomes


def _make_all(session: Connection, name: str) -> None:
    for statement in _FORGET:
        session.execute(statement, {"connection": name})
    session.execute(_TOUCH_ALL, {"connection": name})
    for part in list(parts_of(session, name)):
        part(session)


def _open(warehouse: PostgresWarehouse, holder: Holder) -> int:
    return warehouse.open_run_of(
        holder.connection,
        holder.provider,
        kind=RunKind.REBUILD,
        trigger=Trigger.CLI,
        agents_are_people=holder.agents_are_people,
    )


def _require_fence(session: Connection, outcome: Outcome) -> datetime:
    standing = take(session, outcome.connection, outcome.run_id or 0)
    if standing is None:
        raise FenceLost(
            "another run has taken over.", safe="Its roll-ups stay exact.", hint="Run this again when that run has ended."
        ).of(outcome.connection)
    return standing.now
