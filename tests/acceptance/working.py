"""Knows workers as the tests need them: of a quick rhythm, and never taken for dead because the machine is slow."""

from __future__ import annotations

import sys
from datetime import timedelta
from functools import partial
from random import Random
from threading import Event
from typing import Any

from etl.cli import main
from etl.effects import Effects
from etl.system import SystemThreads
from etl.wiring import Opened
from etl.worker import process
from etl.worker.queue import Rhythm
from etl.worker.service import Memory, Service
from etl.worker.watchdog import Pulse
from etl.worker.web.meters import Meters
from tests.acceptance.stage import Stage

QUICK = Rhythm(
    heartbeat=timedelta(milliseconds=100),
    dead_after=timedelta(minutes=10),
    rescue=timedelta(milliseconds=100),
    poll=timedelta(milliseconds=50),
    tick=timedelta(milliseconds=100),
    again=timedelta(milliseconds=20),
)

DIED = "UPDATE jobs.procrastinate_workers SET last_heartbeat = now() - interval '11 minutes'"
"""What makes all workers that do not show a sign of life any more count as dead."""


def service(stage: Stage, *, stop: Event | None = None, memory: Memory | None = None, **given: Any) -> Service:
    """Make a worker of the stage's connections, whose clock is the stage's; the database's clock is its own."""
    return Service(
        settings=stage.configured(),
        opened=Opened(database=stage.database, conninfo=stage.url.replace("postgresql+psycopg://", "postgresql://", 1)),
        effects=Effects(clock=stage.clock, threads=SystemThreads(), random=Random(1)),
        stop=stop or Event(),
        halt=Event(),
        rhythm=QUICK,
        pulse=Pulse(),
        memory=memory or Memory(),
        meters=Meters(),
        **given,
    )


def age(stage: Stage, *, by: timedelta) -> None:
    """Let so much time pass by the database's clock since the runs; audits, which the stage's clock dates, are of just before."""
    stage.rows(
        "UPDATE sync.runs SET started_at = started_at - %(by)s, finished_at = finished_at - %(by)s RETURNING id", {"by": by}
    )
    stage.rows("UPDATE sync.audits SET checked_at = now() RETURNING connection")


def audited(stage: Stage) -> list[str]:
    """Return which connections were audited."""
    return [row["connection"] for row in stage.rows("SELECT DISTINCT connection FROM sync.audits ORDER BY 1")]


def runs(stage: Stage) -> list[tuple[str, ...]]:
    """Return connection, kind, trigger and status of every run, in their order."""
    rows = stage.rows("SELECT connection, kind, trigger, status FROM sync.runs ORDER BY id")
    return [tuple(row.values()) for row in rows]


if __name__ == "__main__":  # the program itself, with workers of the quick rhythm
    process.Process = partial(process.Process, rhythm=QUICK)  # type: ignore[assignment, misc]
    main(sys.argv[1:])
