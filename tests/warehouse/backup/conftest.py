"""Knows what a backup is tried with: a warehouse that holds a row of every awkward kind, and an empty one beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from etl.cli.progress import Silence
from etl.system import SystemThreads
from etl.warehouse import schema
from etl.warehouse.backup.archive import Manifest
from etl.warehouse.backup.restoring import restore
from etl.warehouse.backup.taking import back_up
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from tests.acceptance.process import content, execute

FILLING = (
    r"""
    INSERT INTO calls (connection, call_id, provider, occurred_at, status, is_test, cost, currency, transcript, raw, detail,
                       attributes, first_seen_at, last_changed_at, stream, cursor_at, observed_at, content_hash, last_run_id)
    SELECT 'voice', 'call ' || n, 'made up', '2026-03-01 23:30:00.123456+00'::timestamptz + n * interval '1 minute', 'completed',
           n % 2 = 0, 0.1234567890123456789012345678 * n, 'USD', E'\\N\n\t\\.\r "quoted", \u00e4\u2028' || n,
           '{"a": [1e400, 0.10, "\\u0001\u00e9", null]}', NULL, CASE WHEN n = 1 THEN 'null'::jsonb END, now(), now(), 'calls',
           now(), now(), '\x00ff5c6e0a', 1
    FROM generate_series(1, 40) AS n
    """,
    "INSERT INTO call_messages VALUES ('voice', 'call 1', 'm1', 1, 'user', '', 'text', NULL)",
    """
    INSERT INTO call_history (connection, call_id, version, status, raw, valid_from, valid_to, deleted, stream, cursor_at,
                              observed_at, content_hash, first_seen_at)
    VALUES ('voice', 'gone', 1, 'failed', '{}', '-infinity', 'infinity', true, 'calls', now(), now(), '', now())
    """,
    "INSERT INTO sync.connections (connection, provider, capabilities) VALUES ('voice', 'made up', '{\"pages\": true}')",
    """
    INSERT INTO sync.state (connection, stream, coverage, updated_at)
    VALUES ('voice', 'calls', '{[2026-01-01, 2026-02-01), [2026-03-01, 2026-03-02 00:00:00.000001+00)}', now())
    """,
    """
    INSERT INTO sync.runs (connection, trigger, status, started_at, max_lateness)
    VALUES ('voice', 'cli', 'succeeded', now(), '1 mon -3 days 04:05:06.000007'), ('voice', 'cli', 'partial', now(), NULL)
    """,
    "DELETE FROM sync.runs WHERE status = 'partial'",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A filled warehouse at `source`, an empty database at `target`, and a place for a file."""

    source: str
    target: str
    file: Path
    stop: Event = field(default_factory=Event)

    def back_up(self) -> Manifest:
        """Write the source into the file."""
        with Database(self.source) as database:
            return back_up(database, self.file, watcher=Silence(), stop=self.stop)

    def restore(self, *configured: str) -> Manifest:
        """Bring the file into the target."""
        with Database(self.target) as database, Locks(database, SystemThreads()) as locks:
            return restore(database, self.file, locks=locks, configured=configured, watcher=Silence(), stop=self.stop)

    def content(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return every row of both."""
        return content(self.source), content(self.target)

    def at_version(self, url: str, revision: str) -> None:
        """Bring one of them to a version of the schema, with its rows."""
        with Database(url) as database, database.begin() as connection:
            schema.move(connection, revision)


@pytest.fixture
def scene(database_url: str, empty_database_url: str, tmp_path: Path) -> Scene:
    """Give a filled warehouse, whose days are not those of UTC, and an empty database."""
    with Database(database_url) as database:
        schema.set_reporting_timezone(database, "Pacific/Chatham")
    for statement in FILLING:
        execute(database_url, statement)
    return Scene(source=database_url, target=empty_database_url, file=tmp_path / "warehouse.backup")
