"""Knows a warehouse in which all that the status page shows is to be seen: fresh, failing, a gap, budgets, rejects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from etl.sandbox import NO_LIMITS, Sandbox
from etl.system import SystemClock
from etl.warehouse.database import Database
from etl.worker.web.site import Next
from tests.acceptance.cast import USUAL
from tests.acceptance.pages import Pages, audit, pages_over
from tests.acceptance.stage import Stage, quiet_history

PERIOD = timedelta(minutes=15)
RUNS = 12
"""So often each connection was synced."""


@contextmanager
def scene(database: Database, url: str, folder: Path) -> Iterator[Pages]:
    """Serve the pages over such a warehouse, of which the last run ended three minutes ago."""
    now = datetime.now(UTC).replace(microsecond=0)
    history = quiet_history(start=now - timedelta(days=24))
    with Sandbox(history, limits=NO_LIMITS) as sandbox:
        stage = Stage(sandbox=sandbox, database=database, url=url, folder=folder)
        stage.settings = {"salpre": {"lookback": "24h"}, "krosai": {"daily_requests": 150}, "bimpe": {"rate_limit": "120/min"}}
        stage.max_attempts = 1
        _live(stage, now)
        _at_their_times(stage, now)
        settings = stage.configured()
        due = {name: Next(now + timedelta(minutes=12), PERIOD) for name in USUAL.values()}
        with pages_over(database, settings, clock=SystemClock(), due=due) as pages:
            yield pages


def _live(stage: Stage, now: datetime) -> None:
    """Let calls come, and sync, until a moment ago."""
    history = stage.history
    for days in range(23, 0, -1):
        history.advance(timedelta(days=24 - days) - (history.now - (now - timedelta(days=24))))
        for hours in range(0, 20, 5):
            for provider in USUAL:
                history.add(provider, at=history.now - timedelta(hours=hours, minutes=7))
        if days in (23, 20, 16):
            stage.sync_all()
        if days == 16:
            stage.sandbox.switches.salpre.recent_calls = 60
    for step in range(RUNS, 0, -1):
        if step == 4:
            audit(stage, "tuple", "krosai")
        history.advance(now - step * PERIOD + timedelta(minutes=12) - history.now)
        for provider in USUAL:
            history.add(provider, at=history.now - timedelta(minutes=2))
        if step == 9:
            stage.sandbox.faults.add("status_500", provider="krosai", times=1)
        if step == 3:
            history.add_records("tuple", [{"id": 77, "ended_at": "soon"}], at=history.now - timedelta(minutes=1))
            stage.sandbox.faults.add("revoke", provider="bimpe")
        stage.sync_all()


def _at_their_times(stage: Stage, now: datetime) -> None:
    """Date the runs as their story has them: the database's clock saw all of them just now."""
    with stage.database.begin() as session:
        session.exec_driver_sql(
            "UPDATE sync.runs r SET started_at = %(last)s - (newest.place - 1) * interval '15 minutes', "
            "finished_at = %(last)s - (newest.place - 1) * interval '15 minutes' + (2 + r.id %% 5) * interval '1 second' "
            "FROM (SELECT id, row_number() OVER (PARTITION BY connection ORDER BY id DESC) AS place FROM sync.runs) newest "
            "WHERE newest.id = r.id",
            {"last": now - timedelta(minutes=3)},
        )
        session.exec_driver_sql("UPDATE sync.audits SET checked_at = %(at)s", {"at": now - timedelta(hours=3)})
