"""`etl worker`: what is due is done, once, and nothing else; on a real queue, against real providers over HTTP."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from threading import Event

from etl.effects import Effects
from etl.system import SystemThreads
from etl.warehouse.schema import migrate
from etl.wiring import Opened
from etl.worker.queue import Rhythm
from etl.worker.service import Memory, Service
from etl.worker.watchdog import Pulse
from tests.acceptance.stage import NAMES, PROVIDERS, START, Stage

QUICK = Rhythm(
    heartbeat=timedelta(milliseconds=100),
    dead_after=timedelta(seconds=2),
    rescue=timedelta(milliseconds=200),
    poll=timedelta(milliseconds=50),
    tick=timedelta(milliseconds=200),
)


def service(stage: Stage, *, stop: Event | None = None) -> Service:
    """Make a worker of the stage's connections, whose clock is the stage's."""
    migrate(stage.database)
    return Service(
        settings=stage.configured(),
        opened=Opened(database=stage.database, conninfo=stage.url.replace("postgresql+psycopg://", "postgresql://", 1)),
        effects=Effects(clock=stage.clock, threads=SystemThreads(), random=Random(1)),
        stop=stop or Event(),
        halt=Event(),
        rhythm=QUICK,
        pulse=Pulse(),
        memory=Memory(),
    )


def age(stage: Stage, *, runs: timedelta = timedelta(), audits: timedelta) -> None:
    """Let the last runs and audits be so long ago by the database's clock."""
    stage.rows(
        "UPDATE sync.runs SET started_at = started_at - %(by)s, finished_at = finished_at - %(by)s RETURNING id", {"by": runs}
    )
    stage.rows("UPDATE sync.audits SET checked_at = now() - %(by)s RETURNING connection", {"by": audits})


def audited(stage: Stage) -> list[str]:
    return [row["connection"] for row in stage.rows("SELECT DISTINCT connection FROM sync.audits")]


def runs(stage: Stage) -> list[tuple[str, str, str, str]]:
    rows = stage.rows("SELECT connection, kind, trigger, status FROM sync.runs ORDER BY id")
    return [tuple(row.values()) for row in rows]


def test_everything_is_due_at_first_and_nothing_afterwards(stage: Stage) -> None:
    """Each connection is synced and then audited, and a second worker asks no provider for anything."""
    for provider in ("tuple", "salpre", "krosai"):
        stage.history.add(provider, number=5, at=START - timedelta(days=2))
    stage.history.advance(timedelta(minutes=50))

    service(stage).once()

    assert sorted(runs(stage)) == sorted((name, "sync", "worker", "succeeded") for name in NAMES.values())
    assert sorted(audited(stage)) == sorted(NAMES.values())

    age(stage, audits=timedelta())  # they are dated by the stage's clock, and runs by the database's
    stage.sandbox.clear_requests()
    service(stage).once()
    assert (len(runs(stage)), stage.sandbox.requests()) == (len(PROVIDERS), [])
