"""`etl worker`: what is due is done, once, and nothing else; on a real queue, against real providers over HTTP."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from threading import Event

import pytest

from etl.effects import Effects
from etl.system import SystemThreads
from etl.warehouse.schema import migrate
from etl.wiring import Opened
from etl.worker.queue import Rhythm
from etl.worker.service import Service
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
        rhythm=QUICK,
        beat=lambda: None,
    )


def runs(stage: Stage) -> list[tuple[str, str, str, str]]:
    rows = stage.rows("SELECT connection, kind, trigger, status FROM sync.runs ORDER BY id")
    return [tuple(row.values()) for row in rows]


def test_everything_is_due_at_first_and_nothing_afterwards(stage: Stage) -> None:
    """Each connection is synced and audited, and a second look at the same time asks no provider for anything."""
    for provider in ("tuple", "salpre", "krosai"):
        stage.history.add(provider, number=5, at=START - timedelta(days=2))
    stage.history.advance(timedelta(minutes=50))

    service(stage).once()

    assert sorted(runs(stage)) == sorted((name, "sync", "worker", "succeeded") for name in NAMES.values())

    stage.sandbox.clear_requests()
    service(stage).once()
    audited = stage.rows("SELECT DISTINCT connection FROM sync.audits ORDER BY 1")
    assert [row["connection"] for row in audited] == sorted(NAMES.values())
    asked = len(stage.sandbox.requests())
    service(stage).once()
    assert (len(runs(stage)), len(stage.sandbox.requests())) == (len(PROVIDERS), asked)
