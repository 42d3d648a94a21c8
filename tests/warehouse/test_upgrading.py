"""Holds upgrades to their rules: first expand, later contract, and a contraction says which programs may still write."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl.errors import WarehouseError
from etl.warehouse import schema
from etl.warehouse.database import Database
from tests.warehouse.upgrading import catalog, newer_program, oldest_writer, program_of, taken_away, unannounced

EXPANDING = (
    "ALTER TABLE calls ADD COLUMN mood text",
    "ALTER TABLE calls ADD COLUMN weight int NOT NULL DEFAULT 1",
    "CREATE TABLE sync.letters (connection text PRIMARY KEY, body text NOT NULL)",
    "CREATE INDEX calls_by_mood ON calls (connection, mood)",
    "ALTER TABLE calls ALTER COLUMN provider DROP NOT NULL",
    "CREATE FUNCTION sync.nothing() RETURNS int LANGUAGE sql RETURN 0",
)
RELEASED = {"0.2.0": "0016"}
"""
The newest version of the schema in each release from 0.2.0 on, to be filled in with each: it has to stay a place to upgrade from.
0.1.0, which refuses every schema that is newer than its own, is no part of it.
"""


@pytest.fixture
def step(database: Database, tmp_path: Path) -> tuple[Database, Path]:
    """Give a warehouse of the newest version, and a folder for a newer program."""
    return database, tmp_path


def test_a_schema_that_only_grew_is_worked_on(step: tuple[Database, Path]) -> None:
    """The older program finds nothing to do, and nothing that stops it; the newer one has nothing more to do either."""
    database, folder = step
    ours = schema.head()
    with newer_program(folder, ("9001", EXPANDING)):
        assert schema.due(database) == (ours, ["9001"])
        assert schema.migrate(database) == (ours, "9001")
        assert schema.due(database) == ("9001", [])
    with program_of("0.2.0"):
        schema.require_newest(database)
        assert schema.due(database) == ("9001", [])
        assert schema.migrate(database) == ("9001", "9001")


def test_a_schema_that_took_something_away_is_refused(step: tuple[Database, Path]) -> None:
    """Whatever is asked, nothing is changed, and the version that is needed is named; a program of that version goes on."""
    database, folder = step
    ours = schema.head()
    shrinking = ("ALTER TABLE agents DROP COLUMN display_name CASCADE", oldest_writer("0.3.0"))
    with newer_program(folder, ("9001", EXPANDING), ("9002", shrinking)):
        assert schema.due(database) == (ours, ["9001", "9002"])
        assert schema.migrate(database) == (ours, "9002")
    with program_of("0.2.9"):
        for attempt in (schema.require_newest, schema.due, schema.migrate):
            with pytest.raises(WarehouseError) as caught:
                attempt(database)
            assert str(caught.value) == (
                "The warehouse has version 9002, which this program does not know: a newer one made it. Nothing was changed. "
                "Upgrade call-warehouse here to the version that the other machines run, which is 0.3.0 at least (this is 0.2.9)."
            )
    with program_of("0.3.0"):
        schema.require_newest(database)


def test_what_is_due_of_an_older_schema(step: tuple[Database, Path]) -> None:
    """All versions from the one after its own to the newest, in their order; an empty database needs all."""
    database, _ = step
    schema.downgrade(database, "0006")
    found, steps = schema.due(database)
    assert (found, steps[:2], steps[-1]) == ("0006", ["0007", "0008"], schema.head())
    schema.downgrade(database, "base")
    assert schema.due(database) == (None, ["0001", "0002", "0003", "0004", "0005", "0006", *steps])


def test_growing_takes_nothing_away(step: tuple[Database, Path]) -> None:
    """What writers of before rely on is all still there."""
    database, folder = step
    before = catalog(database)
    with newer_program(folder, ("9001", EXPANDING)):
        schema.migrate(database)
    assert taken_away(before, catalog(database)) == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("ALTER TABLE call_events DROP COLUMN type CASCADE", "call_events.type is gone"),
        ("ALTER TABLE sync.runs RENAME COLUMN late TO belated", "sync.runs.late is gone"),
        ("ALTER TABLE sync.salt RENAME TO pepper", "sync.salt.salt is gone"),
        ("DROP TABLE numbers CASCADE", "numbers.team is gone"),
        ("ALTER TABLE sync.runs ALTER COLUMN pages TYPE numeric", "sync.runs.pages was bigint and is numeric"),
        ("ALTER TABLE agents ALTER COLUMN name SET NOT NULL", "agents.name must not be null any more"),
        ("ALTER TABLE agents ADD COLUMN boss text NOT NULL", "agents.boss is new, never null, and has no default"),
        ("ALTER TABLE agents ADD CHECK (name <> '')", "agents has a new rule: CHECK ((name <> ''::text))"),
        (
            "CREATE UNIQUE INDEX one_name ON agents (connection, name)",
            "agents has a new rule: UNIQUE btree (connection, name)",
        ),
        (
            "ALTER TABLE people DROP CONSTRAINT people_pkey",
            "people lost what ON CONFLICT names: PRIMARY KEY (email)",
        ),
        ("DROP VIEW call_changes CASCADE", "call_changes.is_deleted is gone"),
        ("DROP FUNCTION public.reporting_today()", "reporting_today() is gone"),
    ],
)
def test_what_takes_something_away_is_found(step: tuple[Database, Path], statement: str, told: str) -> None:
    """Each way to break a writer or a reader of before is seen in the catalog, however the migration is written."""
    database, folder = step
    before = catalog(database)
    with newer_program(folder, ("9001", (statement,))):
        schema.migrate(database)
    assert told in taken_away(before, catalog(database))


def test_what_takes_something_away_has_to_say_so(step: tuple[Database, Path]) -> None:
    """A version that takes something from the writers of a release, and lets it write, is refused by the check below."""
    database, folder = step
    before, dropping = catalog(database), "ALTER TABLE sync.runs DROP COLUMN late"
    with newer_program(folder / "silent", ("9001", (dropping,))):
        schema.migrate(database)
    silent = catalog(database)
    with newer_program(folder / "telling", ("9001", ()), ("9002", (oldest_writer("0.3.0"),))):
        schema.migrate(database)
    telling = catalog(database)
    releases = {"0.2.0": before, "0.2.1": silent}
    assert unannounced(releases, silent) == {"0.2.0": ["sync.runs.late is gone"]}
    assert unannounced(releases, telling) == {}


def test_our_own_migrations_say_so_where_they_take_something_away(database: Database) -> None:
    """Since 0.2.0 a version that takes something from the writers of a release raises `compatible_from` above that release."""
    now, releases = catalog(database), {}
    for release, revision in RELEASED.items():
        schema.downgrade(database, revision)
        releases[release] = catalog(database)
        schema.migrate(database)
    assert unannounced(releases, now) == {}
