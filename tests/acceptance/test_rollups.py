"""Holds the roll-ups to the calls of all four providers: in the middle of a backfill, after every kind of write, at any time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etl.cli.progress import Silence
from etl.runs import context
from etl.runs.sync import sync_connection
from etl.runs.terms import RunStatus, Want
from etl.sandbox import History
from etl.warehouse.database import Database
from etl.warehouse.postgres import PostgresWarehouse
from etl.wiring import account
from tests.acceptance.stage import NAMES, PROVIDERS, Stage, opened
from tests.warehouse.rollups.looking import assert_exact, touched

RATES = {"tuple": 60.0, "bimpe": 60.0, "salpre": 50.0, "krosai": 60.0}


@pytest.fixture
def stage(database: Database, database_url: str, tmp_path: Path) -> Stage:
    """Set a stage with four days of calls at every provider."""
    history = History(
        7, start=datetime(2026, 3, 29, 9, tzinfo=UTC), past=timedelta(days=4), calls_per_day=RATES, long=0.05, agents=2
    )
    stage = opened(history, database=database, url=database_url, folder=tmp_path)
    stage.settings = {provider: {"per_page": 40} for provider in PROVIDERS}
    yield stage
    stage.sandbox.stop()


class Looking(Silence):
    """Looks at the roll-ups of a connection after every page."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.looked = self.touched = 0

    def page_loaded(self, connection: str, stream: str, *, records: int, total: int | None) -> None:
        self.looked += 1
        self.touched += bool(touched(self.database, connection))
        assert_exact(self.database, f"connection = '{connection}'")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_they_are_exact_after_every_page_of_a_backfill(stage: Stage, monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    """Whether made again during the run, or computed since they were not; in the end no day is touched any more."""
    monkeypatch.setattr(context, "OFTEN", 50)
    settings = stage.configured()
    watcher = Looking(stage.database)
    name = NAMES[provider]
    with stage.surroundings(PostgresWarehouse, watcher=watcher) as given:
        chosen = settings.choose((name,))
        connect = stage.connect(settings, chosen, given)
        outcome = sync_connection(account(name, chosen[name]), want=Want(), connect=connect, given=given)
    assert outcome.status is RunStatus.SUCCEEDED
    assert watcher.looked > 4 and watcher.touched > 0
    held = assert_exact(stage.database, f"connection = '{name}'")
    assert len(held.calls) > 150
    assert touched(stage.database, name) == []
