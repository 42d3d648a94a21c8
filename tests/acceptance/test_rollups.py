"""Holds the roll-ups to the calls of all providers: in the middle of a backfill, after every kind of write, at any time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etl import providers
from etl.audit.lifecycle import repair_connection
from etl.cli.progress import Silence
from etl.runs import making
from etl.runs.replay import replay_connection
from etl.runs.sync import sync_connection
from etl.runs.terms import RunStatus, Want
from etl.sandbox import History
from etl.warehouse.audits import AuditedWarehouse
from etl.warehouse.database import Database
from etl.warehouse.postgres import PostgresWarehouse
from etl.warehouse.replay import PostgresReplay
from etl.wiring import account
from tests.acceptance.cast import NAMES, PROVIDERS, per_day
from tests.acceptance.stage import Stage, opened
from tests.inline import NoThreads
from tests.warehouse.rollups.expected import facts
from tests.warehouse.rollups.looking import assert_exact, ordered, touched, world

RATES = per_day(30, salpre=25)


@pytest.fixture
def stage(database: Database, database_url: str, tmp_path: Path) -> Iterator[Stage]:
    """Set a stage with four days of calls at every provider."""
    history = History(
        7, start=datetime(2026, 3, 29, 9, tzinfo=UTC), past=timedelta(days=4), calls_per_day=RATES, long=0.05, agents=2
    )
    stage = opened(history, database=database, url=database_url, folder=tmp_path)
    stage.providers, stage.settings = PROVIDERS, {provider: {"per_page": 20} for provider in PROVIDERS}
    yield stage
    stage.sandbox.stop()


class Looking(Silence):
    """Looks at the roll-ups of a connection after every page."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.looked = self.touched = self.made = 0

    def page_loaded(self, connection: str, stream: str, *, records: int, total: int | None) -> None:
        self.looked += 1
        days = touched(self.database, connection)
        self.touched += bool(days)
        self.made += any(people_only for _, people_only in days)
        assert_exact(self.database, f"connection = '{connection}'")


@pytest.mark.parametrize("beside", [False, True], ids=["between pages", "beside pages"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_they_are_exact_after_every_page_of_a_backfill(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, provider: str, *, beside: bool
) -> None:
    """Whether made again during the run, or computed since they were not; in the end no day is touched any more."""
    monkeypatch.setattr(making, "OFTEN", 25)
    settings = stage.configured()
    watcher = Looking(stage.database)
    name = NAMES[provider]
    with stage.surroundings(PostgresWarehouse, watcher=watcher) as surroundings:
        given = surroundings if beside else replace(surroundings, threads=NoThreads())
        chosen = settings.choose((name,))
        connect = stage.connect(settings, chosen, given)
        outcome = sync_connection(account(name, chosen[name]), want=Want(), connect=connect, given=given)
    assert outcome.status is RunStatus.SUCCEEDED
    assert watcher.looked > 4 and watcher.touched > 0
    assert beside or watcher.made > 0  # beside pages, how soon they are made is the machine's affair
    held = assert_exact(stage.database, f"connection = '{name}'")
    assert len(held.calls) > 75
    assert touched(stage.database, name) == []


@pytest.fixture
def filled(stage: Stage) -> Stage:
    """Give the stage with everything synced."""
    assert {outcome.status for outcome in stage.sync_all().values()} == {RunStatus.SUCCEEDED}
    return stage


def test_facts_are_what_the_definitions_say_of_every_provider(filled: Stage) -> None:
    """Each column worked out again in Python, for all calls of all providers."""
    held = world(filled.database)
    spoken = {(row["connection"], row["call_id"]) for row in filled.rows("SELECT connection, call_id FROM call_messages")}
    assert {call["provider"] for call in held.calls} == set(PROVIDERS)
    expected = [facts(held, call, has_message=(call["connection"], call["call_id"]) in spoken) for call in held.calls]
    assert ordered(filled.rows("SELECT * FROM call_facts")) == ordered(expected)
    assert {row["is_answered"] for row in expected} >= {True, False}


def test_they_are_exact_after_changes_late_calls_and_deletions(filled: Stage) -> None:
    """Calls that end, change and vanish; the days of old and new are made again, and nothing else is written."""
    filled.history.advance(timedelta(hours=30))
    for provider in PROVIDERS[1:]:
        gone = sorted(filled.ids(provider) & filled.truth_ids(provider))[:2]
        for call_id in gone:
            filled.history.delete(provider, call_id)
    outcomes = filled.sync_all(want=Want(full=True))
    assert sum(outcome.counters.deleted for outcome in outcomes.values()) > 0
    assert sum(outcome.counters.updated for outcome in outcomes.values()) > 0
    assert_exact(filled.database)
    changes = {(row["connection"], row["call_id"]): row for row in filled.rows("SELECT * FROM call_changes")}
    held = {(row["connection"], row["call_id"]): row["changed_at"] for row in filled.rows("SELECT * FROM calls")}
    removed = {(row["connection"], row["call_id"]) for row in filled.rows("SELECT * FROM deleted_calls")}
    assert {key for key, row in changes.items() if row["is_deleted"]} == removed != set()
    assert {key: row["changed_at"] for key, row in changes.items() if not row["is_deleted"]} == held


def test_every_agent_that_calls_name_has_a_row(filled: Stage) -> None:
    """Also where the provider lists none (Salpre, KrosAI); a name that an analyst gives wins, and no sync takes it away."""
    named = filled.rows("SELECT DISTINCT connection, agent_id FROM calls WHERE agent_id IS NOT NULL ORDER BY 1, 2")
    assert {row["connection"] for row in named} == {
        NAMES[provider] for provider in PROVIDERS if provider not in ("tuple", "twilio")
    }
    known = filled.rows("SELECT connection, agent_id FROM agents ORDER BY 1, 2")
    assert [row for row in named if row not in known] == []
    with filled.database.begin() as session:
        session.exec_driver_sql("UPDATE agents SET display_name = 'Front desk'")
    filled.history.advance(timedelta(hours=2))
    filled.sync_all()
    names = filled.rows("SELECT DISTINCT agent_name FROM agent_daily WHERE agent_id IS NOT NULL")
    assert {"agent_name": "Front desk"} in names
    assert_exact(filled.database)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_they_are_exact_after_a_replay_and_after_a_repair(stage: Stage, provider: str) -> None:
    """A mapping that loses a column and finds it again; rows and children that somebody spoilt."""
    assert stage.sync(provider).status is RunStatus.SUCCEEDED
    name, known = NAMES[provider], providers.get(provider)
    fields = tuple(field for field in known.fields if field.column != "duration_seconds")
    settings = stage.configured()
    chosen = settings.choose((name,))
    poorer = replace(account(name, chosen[name]), provider=replace(known, fields=fields))
    with stage.surroundings(PostgresReplay) as given:
        for mapping in (poorer, account(name, chosen[name])):
            assert replay_connection(mapping, given=given).counters.updated > 0
            assert_exact(stage.database, f"connection = '{name}'")
            assert touched(stage.database, name) == []
    with stage.database.begin() as session:
        session.exec_driver_sql(f"UPDATE calls SET status = 'failed', occurred_at = '2026-01-01Z' WHERE connection = '{name}'")
        session.exec_driver_sql("DELETE FROM call_participants")
        session.exec_driver_sql("UPDATE sync.calls_daily SET calls = 99 WHERE day = (SELECT min(day) FROM sync.calls_daily)")
    with stage.surroundings(AuditedWarehouse) as given:
        outcome = repair_connection(account(name, chosen[name]), connect=stage.connect(settings, chosen, given), given=given)
    assert outcome.mended > 0
    assert_exact(stage.database, f"connection = '{name}'")
    assert touched(stage.database, name) == []
