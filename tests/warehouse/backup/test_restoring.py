"""A backup is the warehouse at one instant, and a restore all of it or nothing, whatever the versions of the schema."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl.cli.progress import Silence
from etl.errors import AlreadyRunning, Interrupted, UsageError, WarehouseError
from etl.system import SystemThreads
from etl.warehouse import schema
from etl.warehouse.backup.contents import tables
from etl.warehouse.backup.restoring import restore
from etl.warehouse.database import Database, driver_of
from etl.warehouse.locks import Locks
from etl.warehouse.tables import METADATA
from tests.acceptance.process import content, execute, rows
from tests.warehouse.backup.conftest import Scene


def test_every_table_arrives_as_it_was(scene: Scene) -> None:
    """Every value of every type, the days of the file's time zone; a table that a later version may add is in it by itself."""
    execute(scene.source, "CREATE TABLE public.others (secret text)")
    execute(scene.source, "INSERT INTO others VALUES ('not ours')")

    made = scene.back_up()
    restored = scene.restore()

    before, after = scene.content()
    assert before.pop("public.others") == [{"secret": "not ours"}]
    assert after == before
    assert restored == made
    assert made.rows == {name: len(held) for name, held in before.items() if name != "sync.alembic_version"}
    assert made.rows["public.calls"] == 40 and made.reporting_timezone == "Pacific/Chatham"
    assert len(rows(scene.target, "SELECT DISTINCT day FROM calls")) == 1
    assert stat.S_IMODE(scene.file.stat().st_mode) == 0o600
    assert [path.name for path in scene.file.parent.iterdir()] == ["warehouse.backup"]


def test_runs_are_numbered_on(scene: Scene) -> None:
    """Behind the last number that was given out, though its run is not there any more."""
    scene.back_up()
    scene.restore()

    execute(scene.target, "INSERT INTO sync.runs (connection, trigger, status, started_at) VALUES ('a', 'cli', 'running', now())")

    assert rows(scene.target, "SELECT id FROM sync.runs ORDER BY id") == [(1,), (3,)]


def test_a_target_that_was_migrated_and_synced_without_a_call(scene: Scene) -> None:
    """What a first sync that failed has left gives way to the file, its numbers as well; what was granted stays granted."""
    with Database(scene.target) as database:
        schema.migrate(database)
    execute(scene.target, "INSERT INTO sync.connections (connection, provider) VALUES ('devices', 'made up')")
    for _ in range(5):
        execute(
            scene.target, "INSERT INTO sync.runs (connection, trigger, status, started_at) VALUES ('b', 'cli', 'failed', now())"
        )
    execute(scene.target, "GRANT SELECT ON calls TO pg_monitor")
    scene.back_up()

    scene.restore()

    before, after = scene.content()
    assert after == before
    assert rows(scene.target, "SELECT last_value FROM sync.runs_id_seq") == [(2,)]
    assert rows(scene.target, "SELECT has_table_privilege('pg_monitor', 'calls', 'SELECT')") == [(True,)]


@pytest.mark.parametrize("target", [None, "0001", "0003"])
def test_a_file_of_an_older_version_is_migrated(scene: Scene, target: str | None) -> None:
    """Whatever version the target had, it ends with the newest, and with the rows that a migration of the source makes."""
    scene.at_version(scene.source, "0002")
    if target is not None:
        scene.at_version(scene.target, target)

    made = scene.back_up()
    scene.restore()

    assert made.schema == "0002"
    scene.at_version(scene.source, schema.head())
    before, after = scene.content()
    assert after.keys() == before.keys()
    in_it = made.rows.keys() & before.keys()  # what a migration fills in by chance (a key) differs, and when it did so
    assert {name: unstamped(after[name]) for name in in_it} == {name: unstamped(before[name]) for name in in_it}


def unstamped(found: list[Any]) -> list[Any]:
    """Return rows without the instant at which a migration gave them the column for it."""
    return [{name: value for name, value in row.items() if name != "changed_at"} for row in found]


def test_no_version_has_tables_that_a_backup_would_leave_out(empty_database: Database) -> None:
    """In `public` a backup takes the tables of our metadata: whoever drops one from it keeps its name for older versions."""
    newest_first = schema.head()
    schema.migrate(empty_database)
    while newest_first is not None:
        with empty_database.begin() as connection:
            there = connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").scalars().all()
            held = [table.name for table in tables(driver_of(connection)) if table.schema == "public"]
        assert sorted(held) == sorted(there)
        newest_first = schema._versions()[newest_first]
        if newest_first is not None:
            schema.downgrade(empty_database, newest_first)
    assert {"calls", "call_history"} <= set(METADATA.tables)


def test_what_is_not_committed_is_not_in_it(scene: Scene) -> None:
    """A sync in the middle of a page is not waited for, and neither half of its page is in the file."""
    held = content(scene.source)
    with psycopg.connect(scene.source) as page:
        page.execute("DELETE FROM calls WHERE call_id = 'call 1'")
        page.execute("INSERT INTO sync.runs (connection, trigger, status, started_at) VALUES ('c', 'cli', 'running', now())")
        scene.back_up()
        page.rollback()

    scene.restore()

    assert content(scene.target) == held


@pytest.mark.parametrize("table", ["calls", "call_history", "sync.rejected_records"])
def test_a_target_that_holds_something_is_refused(scene: Scene, table: str) -> None:
    """Calls, versions of calls that are gone, or records that wait to become calls; all stays as it is."""
    scene.back_up()
    with Database(scene.target) as database:
        schema.migrate(database)
    name = table.removeprefix("sync.")
    reject = "('voice', 'calls', 'k', NULL, 'missing_id', '{}', now(), now(), 1, NULL)"
    if name == "rejected_records":
        execute(scene.target, f"INSERT INTO {table} VALUES {reject}")
    else:
        columns = ", ".join(column.name for column in METADATA.tables[name].columns if column.computed is None)
        with psycopg.connect(scene.source) as one, psycopg.connect(scene.target) as other:
            with one.cursor().copy(f"COPY (SELECT {columns} FROM {name} LIMIT 1) TO STDOUT") as out:
                data = b"".join(bytes(piece) for piece in out)
            with other.cursor().copy(f"COPY {name} ({columns}) FROM STDIN") as into:
                into.write(data)
    before = content(scene.target)

    with pytest.raises(UsageError, match=f"holds data already \\({table}\\)") as refused:
        scene.restore()

    assert refused.value.safe == "Nothing was changed." and "empty database" in refused.value.hint
    assert content(scene.target) == before


@pytest.mark.parametrize("known", ["to the target", "to the configuration"])
def test_a_connection_that_is_being_synced(scene: Scene, known: str) -> None:
    """The restore does not wait for it, and changes nothing."""
    scene.back_up()
    with Database(scene.target) as database, Locks(database, SystemThreads()) as locks:
        if known == "to the target":
            schema.migrate(database)
            execute(scene.target, "INSERT INTO sync.connections (connection, provider) VALUES ('voice', 'made up')")
        before = content(scene.target)
        assert locks.try_acquire("voice")

        with pytest.raises(AlreadyRunning, match="Connection voice: a run is working on it"):
            scene.restore("pairing", "voice")

        assert content(scene.target) == before


class Trying(Silence):
    """Tries to begin a run of a connection whenever a table is restored, as another process would."""

    def __init__(self, locks: Locks, name: str) -> None:
        self.locks, self.name = locks, name
        self.begun: list[bool] = []

    def stream_started(self, connection: str, stream: str) -> None:
        """See `Watcher`."""
        self.begun.append(self.locks.try_acquire(self.name))


def test_no_run_of_a_configured_connection_begins_before_all_is_restored(scene: Scene) -> None:
    """Its lock is held while every table is filled, and is free after that; then all rows are there."""
    made = scene.back_up()
    with Database(scene.target) as database, Locks(database, SystemThreads()) as others:
        trying = Trying(others, "voice")
        with Locks(database, SystemThreads()) as locks:
            restore(database, scene.file, locks=locks, configured=("voice",), watcher=trying, stop=scene.stop)

        assert (trying.begun, others.try_acquire("voice")) == ([False] * len(made.rows), True)
    assert rows(scene.target, "SELECT count(*) FROM calls") == [(40,)]


@pytest.mark.parametrize("where", ["back_up", "restore"])
def test_a_stop_leaves_everything_as_it_was(scene: Scene, where: str) -> None:
    """The first Ctrl-C ends it in order; an earlier file stays."""
    made = scene.back_up()
    file = scene.file.read_bytes()
    execute(scene.source, "UPDATE calls SET transcript = repeat(md5(call_id), 10000)")
    if where == "restore":
        made = scene.back_up()
        file = scene.file.read_bytes()
    scene.stop.set()

    with pytest.raises(Interrupted):
        getattr(scene, where)()

    assert (made.rows["public.calls"], scene.file.read_bytes() == file) == (40, True)
    assert content(scene.target) == {}
    assert [path.name for path in scene.file.parent.iterdir()] == ["warehouse.backup"]


def test_nothing_to_back_up(scene: Scene, empty_database_url: str) -> None:
    """An empty database makes no file: most likely it is the wrong one."""
    empty = Scene(source=empty_database_url, target=scene.source, file=scene.file)

    with pytest.raises(WarehouseError, match="holds no warehouse yet"):
        empty.back_up()

    assert not scene.file.exists()


def test_a_warehouse_of_a_newer_program(scene: Scene) -> None:
    """It may have tables that this program would leave out."""
    execute(scene.source, "UPDATE sync.alembic_version SET version_num = '9999'")

    with pytest.raises(WarehouseError, match="version 9999, which this program does not know"):
        scene.back_up()

    assert list(Path(scene.file.parent).iterdir()) == []
