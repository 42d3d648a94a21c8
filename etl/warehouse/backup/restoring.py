"""`etl restore`: a backup into a database that holds nothing yet, in one transaction, so wholly or not at all."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from threading import Event

from psycopg import Connection as Session
from psycopg import sql
from sqlalchemy import Connection, select, text

from etl.errors import AlreadyRunning, Interrupted, UsageError
from etl.runs.port import Watcher
from etl.warehouse import jobs, schema
from etl.warehouse.backup import archive
from etl.warehouse.backup.contents import Contents, copying, tables
from etl.warehouse.database import Database, driver_of
from etl.warehouse.locks import Locks
from etl.warehouse.tables import connections, rejected_records

_BY_SESSIONS = text("SET LOCAL citus.enable_local_execution TO off")
"""On a cluster, tables of which rows were looked at without a session cannot be emptied in the same transaction."""


def restore(
    database: Database, path: Path, *, locks: Locks, configured: Collection[str], watcher: Watcher, stop: Event
) -> archive.Manifest:
    """
    Bring a backup into a database that holds no calls, migrate it to the newest version, and return what the file held.

    The locks of the connections that are `configured` or known to the target are held meanwhile.
    Raises UsageError if the file is none or the target holds anything, BackupFailed if it is damaged or newer, AlreadyRunning if
    somebody works on the target, Interrupted once `stop` is set, WarehouseError. In each case the target is as it was.
    """
    with archive.reading(path) as reader:
        manifest = reader.manifest
        if not schema.is_known(manifest.schema):
            raise archive.newer(path, manifest.program)
        database.check_server()
        _hold(locks, configured)
        with database.begin() as writing:
            schema.in_sequence(writing)
            writing.execute(_BY_SESSIONS)
            _prepare(writing, manifest, database=database, locks=locks)
            session = driver_of(writing)
            for part, table in _matched(path, manifest, tables(session)):
                watcher.stream_started("restore", part.table)
                _fill(session, part, table, reader=reader, watcher=watcher, stop=stop)
                watcher.stream_finished("restore", part.table)
            _count_on(session, manifest)
            schema.move(writing, schema.head())
            _analyze(session)  # or the planner knows nothing of so many rows
            jobs.make(writing)  # no backup holds the queue
    return manifest


def _prepare(writing: Connection, manifest: archive.Manifest, *, database: Database, locks: Locks) -> None:
    """Leave the target with the file's version of the schema, its time zone, and no row, locked against everybody else."""
    session = driver_of(writing)
    before = schema.wait_for_others(writing)
    if before is not None:
        # Pages that are being written are waited for, and later ones wait for us.
        session.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(_listed(tables(session))))
        _refuse_what_holds_data(writing, database.address)
        _hold(locks, writing.execute(select(connections.c.connection)).scalars().all())
    schema.move(writing, manifest.schema)
    # A migration may have filled in rows of its own, such as a key; the file's are the ones that fit its data.
    session.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(_listed(tables(session))))
    schema.take_on_timezone(writing, manifest.reporting_timezone)


def _hold(locks: Locks, names: Collection[str]) -> None:
    for name in names:
        if not locks.held(name) and not locks.try_acquire(name):
            raise AlreadyRunning(
                "a run is working on it, in the database that was to be restored into.",
                safe="Nothing was changed.",
                hint="Wait for it to end (`etl runs` shows it), or restore into an empty database.",
            ).of(name)


def _refuse_what_holds_data(writing: Connection, address: str) -> None:
    """Raise UsageError if the target holds what a restore would remove and no sync could bring back."""
    session = driver_of(writing)
    holding = [
        table.label.removeprefix("public.")
        for table in tables(session)
        if (table.schema == "public" or table.name == rejected_records.name)
        and session.execute(sql.SQL("SELECT EXISTS (SELECT 1 FROM {})").format(table.quoted)).fetchone() == (True,)
    ]
    if holding:
        raise UsageError(
            f"The warehouse at {address} holds data already ({', '.join(holding)}).",
            safe="Nothing was changed.",
            hint="Make an empty database (CREATE DATABASE warehouse2 ENCODING 'UTF8' TEMPLATE template0;), or choose an empty "
            "folder for the embedded server; name it in warehouse.url or warehouse.data_dir, and restore into that.",
        )


def _matched(path: Path, manifest: archive.Manifest, found: list[Contents]) -> list[tuple[archive.Part, Contents]]:
    """Return each table of the file with the one that it goes into; names from the file reach no statement unless they match."""
    parts = {part.table: part for part in manifest.tables}
    held = {table.label: table for table in found}
    for name in sorted(parts.keys() | held.keys()):
        if name not in parts or name not in held or {*parts[name].columns} != {*held[name].columns}:
            raise archive.damaged(path, f"its tables are not those of version {manifest.schema} of the schema (see {name})")
    return [(parts[table.label], table) for table in found]


def _fill(
    session: Session, part: archive.Part, table: Contents, *, reader: archive.Reader, watcher: Watcher, stop: Event
) -> None:
    with session.cursor() as cursor:
        with cursor.copy(copying(table, part.columns, out=False)) as copy:
            for chunk in reader.chunks(part):
                if stop.is_set():
                    raise Interrupted(
                        "The restore was stopped.", safe="The target is as it was.", hint="Run it again: etl restore FILE"
                    )
                copy.write(chunk)
                watcher.page_loaded("restore", part.table, records=chunk.count(b"\n"), total=part.rows)
        if cursor.rowcount != part.rows:
            raise archive.damaged(reader.path, f"{part.table} has {cursor.rowcount:,} rows of {part.rows:,}")


def _count_on(session: Session, manifest: archive.Manifest) -> None:
    """Let every identity column go on behind the last number that it gave out before."""
    for name, last in manifest.sequences.items():
        table, _, column = name.rpartition(".")
        if last is not None:
            session.execute("SELECT setval(pg_get_serial_sequence(%s, %s)::regclass, %s)", (table, column, last))


def _analyze(session: Session) -> None:
    session.execute(sql.SQL("ANALYZE {}").format(_listed(tables(session))))


def _listed(found: list[Contents]) -> sql.Composed:
    return sql.SQL(", ").join(table.quoted for table in found)
