"""Reports what stands in the workers' queue. Reading only: the queue's own library writes it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from etl.warehouse import jobs as tables
from etl.warehouse.database import Database

SHOWN_RESCUES = 20
"""Of the jobs that killed workers left, the newest are reported."""

_WORKERS = text(
    """
    SELECT id AS worker, last_heartbeat, last_heartbeat > now() - interval '15 seconds' AS alive
    FROM jobs.procrastinate_workers ORDER BY id
    """
)

_WAITING = "SELECT queueing_lock FROM jobs.procrastinate_jobs WHERE status = 'todo' AND queueing_lock IS NOT NULL"

_HELD_UP = text(
    """
    SELECT DISTINCT behind.lock
    FROM jobs.procrastinate_jobs behind JOIN jobs.procrastinate_jobs ahead ON ahead.lock = behind.lock AND ahead.status = 'doing'
    WHERE behind.status = 'todo' AND behind.task_name = 'sync' AND ahead.args ->> 'connection' <> behind.args ->> 'connection'
    """
)

_JOBS = text(
    """
    WITH chosen AS (
        (SELECT * FROM jobs.procrastinate_jobs WHERE status IN ('todo', 'doing'))
        UNION ALL
        (SELECT * FROM jobs.procrastinate_jobs WHERE status = 'failed' ORDER BY id DESC LIMIT :rescues)
    )
    SELECT j.args ->> 'connection' AS connection, j.task_name AS job,
           CASE j.status::text WHEN 'todo' THEN 'waits' WHEN 'doing' THEN 'at work' ELSE 'rescued' END AS state,
           (SELECT max(e.at) FROM jobs.procrastinate_events e WHERE e.job_id = j.id) AS since,
           j.worker_id AS worker
    FROM chosen j
    ORDER BY j.status = 'doing' DESC, j.status = 'todo' DESC, j.priority DESC, j.id
    """
)


def waiting(database: Database) -> frozenset[str]:
    """Return what tells the waiting jobs apart."""
    with database.plain() as session:
        return frozenset(lock for (lock,) in session.execute(_WAITING).fetchall())


def held_up(database: Database) -> list[str]:
    """Return the locks for which the sync of a connection waits while a job of another connection has them."""
    with database.begin() as session:
        return list(session.execute(_HELD_UP).scalars())


def workers(database: Database) -> list[dict[str, Any]]:
    """Return the workers that signed in and did not sign out, and whether they showed a sign of life lately."""
    tables.require(database, to_use=True)
    with database.begin() as session:
        return [dict(row) for row in session.execute(_WORKERS).mappings()]


def jobs(database: Database) -> list[dict[str, Any]]:
    """Return what is at work, what waits in the order in which it is taken, and what was left by workers that were killed."""
    tables.require(database, to_use=True)
    with database.begin() as session:
        return [dict(row) for row in session.execute(_JOBS, {"rescues": SHOWN_RESCUES}).mappings()]
