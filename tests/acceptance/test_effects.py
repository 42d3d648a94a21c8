"""A sync takes time and threads from where they are handed in, so that a simulation can run it step by step in one thread."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from etl.cli.progress import Silence
from etl.runs.sync import sync_connection
from etl.runs.terms import RunStatus, Trigger, Want
from etl.sandbox import History
from etl.warehouse.postgres import PostgresWarehouse
from etl.wiring import Connector, Opened, account, surroundings
from tests.acceptance.cast import NAMES
from tests.acceptance.stage import START, Stage, StageClock
from tests.inline import NoThreads


class WatchedClock(StageClock):
    """A clock that knows which threads ask it; every request and every wait does."""

    def __init__(self, history: History) -> None:
        super().__init__(history)
        self.askers: set[threading.Thread] = set()

    def now(self) -> datetime:
        self.askers.add(threading.current_thread())
        return super().now()


@pytest.mark.parametrize("provider", ["tuple", "salpre"])
def test_a_sync_without_threads(stage: Stage, provider: str) -> None:
    """Pages ahead and details are read by the one thread that syncs, and all calls are there."""
    stage.settings = {provider: {"per_page": 10}}
    ids = [stage.history.add(provider, at=START - timedelta(hours=number))[0] for number in range(30)]
    settings, clock = stage.configured(), WatchedClock(stage.history)
    chosen = settings.choose((NAMES[provider],))
    effects = replace(stage.effects, clock=clock, threads=NoThreads())
    opened = Opened(database=stage.database, conninfo="")

    with surroundings(
        PostgresWarehouse, opened, effects=effects, watcher=Silence(), stop=threading.Event(), trigger=Trigger.LIBRARY
    ) as given:
        outcome = sync_connection(
            account(NAMES[provider], chosen[NAMES[provider]]),
            want=Want(),
            connect=Connector(settings, chosen, effects=effects, book=given.warehouse.allowances),
            given=given,
        )

    assert (outcome.status, stage.ids(provider)) == (RunStatus.SUCCEEDED, set(ids))
    assert clock.askers == {threading.current_thread()}
    assert {key: stage.run_row(outcome)[key] for key in ("kind", "trigger")} == {"kind": "sync", "trigger": "library"}


def test_what_a_run_writes_is_dated_by_the_database(stage: Stage) -> None:
    """Not by this machine's clock: a run that began on a machine whose clock is years ahead is no later than the others."""
    stage.history.add("tuple", number=3, at=START - timedelta(hours=1))
    stage.clock.sleep(timedelta(days=3650).total_seconds())

    outcome = stage.sync("tuple")

    row = stage.run_row(outcome)
    ((state,), (now,)) = stage.rows("SELECT updated_at FROM sync.state"), stage.rows("SELECT now() AS now")
    assert row["started_at"] <= state["updated_at"] <= row["finished_at"] <= now["now"]
