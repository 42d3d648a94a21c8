"""
Removes the machine's own records that are older than `[retention]` says (`etl prune`), so that no table of `sync` grows for ever.

What it removes, nobody writes any more, so it takes no lock of a connection, and no sync waits for it: a batch is a transaction
of its own, rows that somebody else holds are left for the next time, and a lock is waited for during seconds only. It reads about
as many rows as it removes: the oldest ones stand at the beginning of an index.

What does not grow, and stays: `connections`, `state` (a row for each stream), `touched_days` and the roll-ups (days of calls).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event
from typing import NamedTuple

from sqlalchemy import Connection, Text, TextClause, bindparam, delete, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from etl.runs.terms import RunStatus
from etl.warehouse.database import Database
from etl.warehouse.failures import RETRY, Locked
from etl.warehouse.loading.fence import INSTANT
from etl.warehouse.tables import connections, runs

BATCH = 1_000
"""The number of rows that one transaction removes at most."""

LONGEST_LIMIT = timedelta(days=7)
"""What a request allowance must remember is never older: the longest limits are those of a day."""

_IMPATIENT = text("SET LOCAL lock_timeout TO '3s'")


class Old(NamedTuple):
    """How the oldest rows of a table are found and locked, and then removed by their places in the table."""

    find: TextClause
    remove: TextClause


def _oldest(table: str, condition: str, order: str) -> Old:
    # By their places in the table: joined by its key, the planner may choose to read the table through. In two statements,
    # because one that removes from a distributed table may lock no row of it.
    return Old(
        text(
            f"""
            SELECT CAST(old.ctid AS text) FROM sync.{table} AS old
            WHERE old.connection = :connection AND {condition}
            ORDER BY {order}
            LIMIT :limit
            FOR UPDATE SKIP LOCKED
            """  # noqa: S608 - words of ours
        ),
        text(
            f"""
            DELETE FROM sync.{table}
            WHERE connection = :connection AND ctid = ANY (ARRAY(SELECT CAST(place AS tid) FROM unnest(:found) AS place))
            RETURNING 1
            """  # noqa: S608 - words of ours
        ).bindparams(bindparam("found", type_=ARRAY(Text))),
    )


# The newest audit of each stream says what was proven last, also where the stream is read no more.
_AUDITS = _oldest(
    "audits",
    "old.checked_at < :before AND old.checked_at < (SELECT max(newest.checked_at) FROM sync.audits AS newest "
    "WHERE newest.connection = :connection AND newest.stream = old.stream)",
    "old.checked_at",
)
_REJECTS = _oldest("rejected_records", "old.resolved_at < :before", "old.resolved_at")
_DRIFT = _oldest("schema_drift", "old.last_seen_at < :before", "old.last_seen_at")
_ALLOWANCES = text(
    """
    DELETE FROM sync.allowances
    WHERE greatest(written_at, wanted_at, paused_until, CAST(day AS timestamp) AT TIME ZONE 'UTC') < :before
    RETURNING 1
    """
)

_NAMES = {"jobs": "jobs.procrastinate_jobs"}
_JOBS_THERE = text(
    """
    SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = 'jobs' AND relname = 'procrastinate_jobs'
        AND has_schema_privilege(nspname, 'USAGE') AND has_table_privilege(pg_class.oid, 'DELETE')
    """
)
_AMONG_JOBS = text("SET LOCAL search_path TO jobs")  # names in the library's triggers carry no schema
_JOBS = text(
    """
    DELETE FROM jobs.procrastinate_jobs AS old
    WHERE old.status NOT IN ('todo', 'doing')
        AND NOT EXISTS (SELECT FROM jobs.procrastinate_events e WHERE e.job_id = old.id AND e.at >= :before)
    RETURNING 1
    """
)

# In the words of the partial indexes.
_LATEST_OF_A_KIND = (text("true"), text("status = 'succeeded' AND kind = 'sync'"), text("error_code IS NOT NULL"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """How many rows of one relation were removed, and the age in question."""

    relation: str
    older_than: timedelta
    rows: int


def prune(
    database: Database,
    *,
    runs_after: timedelta,
    audits_after: timedelta,
    jobs_after: timedelta,
    stop: Event,
    batch: int = BATCH,
) -> list[Removed]:
    """
    Remove what is older, connection by connection, configured or not, and return how much of what.

    With the runs go, after the same time, rejected records that became calls, departures from a provider's documentation that
    were not seen again, and accounts that were not used. Of runs each connection's owner, newest one, newest success and newest
    error stay, of audits the newest of each stream, and every open reject. Of the workers' queue jobs that ended go after a time
    of their own: what is left of those that killed workers had. `stop` ends it between two transactions.
    Raises WarehouseError.
    """
    with database.begin() as session:
        now = session.execute(select(INSTANT)).scalar_one()
        names = list(session.execute(select(connections.c.connection).order_by(connections.c.connection)).scalars())
    accounts_after = max(runs_after, LONGEST_LIMIT)
    removed = {"runs": 0, "audits": 0, "rejected_records": 0, "schema_drift": 0, "allowances": 0, "jobs": 0}
    older = dict.fromkeys(removed, runs_after) | {"audits": audits_after, "allowances": accounts_after, "jobs": jobs_after}
    try:
        for name in names:
            removed["runs"] += _prune_runs(database, name, before=now - runs_after, stop=stop, batch=batch)
            for table, old in (("audits", _AUDITS), ("rejected_records", _REJECTS), ("schema_drift", _DRIFT)):
                given = {"connection": name, "before": now - older[table], "limit": batch}
                removed[table] += _in_batches(database, old, given, stop=stop)
        if not stop.is_set():
            with _hasty(database) as session:
                removed["allowances"] = len(session.execute(_ALLOWANCES, {"before": now - accounts_after}).all())
            removed["jobs"] = _prune_jobs(database, before=now - jobs_after)
    except Locked as locked:
        locked.safe = "What was removed before stays removed; everything else is as it was."
        locked.hint = locked.hint.removesuffix(RETRY) + "Then run again: etl prune"
        raise
    return [
        Removed(relation=_NAMES.get(table, f"sync.{table}"), older_than=older[table], rows=rows)
        for table, rows in removed.items()
    ]


@contextmanager
def _hasty(database: Database) -> Iterator[Connection]:
    """Open a transaction that waits for a lock during seconds only."""
    with database.begin() as session:
        session.execute(_IMPATIENT)
        yield session


def _prune_runs(database: Database, name: str, *, before: datetime, stop: Event, batch: int) -> int:
    """Remove old runs in their order, up to the first that is young."""
    kept = _kept_runs(database, name)
    removed, after = 0, 0
    while not stop.is_set():
        oldest = (
            select(runs.c.id, runs.c.started_at, runs.c.status)
            .where(runs.c.connection == name, runs.c.id > after)
            .order_by(runs.c.id)
            .limit(batch)
        )
        with _hasty(database) as session:
            found = session.execute(oldest).all()
            gone = [
                run.id
                for run in found
                if run.started_at < before and run.status != RunStatus.RUNNING.value and run.id not in kept
            ]
            if gone:
                removed += len(session.execute(delete(runs).where(runs.c.id.in_(gone)).returning(runs.c.id)).all())
        if len(found) < batch or found[-1].started_at >= before:
            break
        after = found[-1].id
    return removed


def _prune_jobs(database: Database, *, before: datetime) -> int:
    """Remove old jobs of the workers' queue; none where there is no queue, or it is another role's."""
    with _hasty(database) as session:
        if not session.execute(_JOBS_THERE).scalar_one():
            return 0
        session.execute(_AMONG_JOBS)
        return len(session.execute(_JOBS, {"before": before}).all())


def _kept_runs(database: Database, name: str) -> frozenset[int]:
    """Return the runs that are looked for by name or as the latest of their kind; a later one can only take their place."""
    owner = select(connections.c.owner_run).where(connections.c.connection == name)
    latest = [
        select(runs.c.id).where(runs.c.connection == name, kind).order_by(runs.c.id.desc()).limit(1) for kind in _LATEST_OF_A_KIND
    ]
    with database.begin() as session:
        return frozenset(run for statement in (owner, *latest) if (run := session.execute(statement).scalar()) is not None)


def _in_batches(database: Database, old: Old, given: Mapping[str, object], *, stop: Event) -> int:
    """Remove batch after batch, each in a transaction, until one is not full, and return the number of rows."""
    removed = 0
    while not stop.is_set():
        with _hasty(database) as session:
            found = list(session.execute(old.find, given).scalars())
            gone = {"connection": given["connection"], "found": found}
            number = len(session.execute(old.remove, gone).all()) if found else 0
        removed += number
        if number != given["limit"]:
            break
    return removed
