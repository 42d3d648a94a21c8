"""`etl backup`: every table, as it was at one instant, into a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

from psycopg import Connection as Session
from psycopg import sql
from sqlalchemy import Connection, select

import etl
from etl.errors import Interrupted, WarehouseError
from etl.runs.port import Watcher
from etl.warehouse import schema
from etl.warehouse.backup import archive
from etl.warehouse.backup.contents import Contents, copying, sequences, tables
from etl.warehouse.database import Database, driver_of
from etl.warehouse.loading.fence import INSTANT

_FORMS = (
    "TimeZone = 'UTC'",
    "DateStyle = 'ISO, MDY'",
    "IntervalStyle = 'postgres'",
    "bytea_output = 'hex'",
    "extra_float_digits = 1",
)
"""What the text of values depends on: set in the transaction itself, since a pooler may have given it another session."""


def back_up(database: Database, path: Path, *, watcher: Watcher, stop: Event) -> archive.Manifest:
    """
    Write the whole warehouse into a file that only its owner can read, and return what is in it. Syncs may go on meanwhile.

    Raises UsageError where nothing can be written there, WarehouseError if there is no warehouse, or a newer one than this
    program knows, BackupFailed if the file cannot be written, Interrupted once `stop` is set.
    """
    with database.begin() as asking:
        if schema.known_version(asking) is None:
            raise WarehouseError(
                f"The database at {database.address} holds no warehouse yet.",
                safe="No file was written.",
                hint="Check which one is configured (warehouse.url, warehouse.data_dir): there is nothing to back up here.",
            )
        wanted = tables(driver_of(asking))
    with archive.writing(path) as writer, database.begin() as reading:
        found = _snapshot(reading, wanted)
        session = driver_of(reading)
        parts = []
        for table in found:
            watcher.stream_started("backup", table.label)
            parts.append(writer.table(table.label, table.columns, _rows(session, table, watcher=watcher, stop=stop)))
            watcher.stream_finished("backup", table.label)
        manifest = archive.Manifest(
            kind=archive.KIND,
            format=archive.FORMAT,
            program=etl.__version__,
            schema=schema.known_version(reading) or "",
            server=_server(session),
            taken_at=reading.execute(select(INSTANT)).scalar_one(),
            reporting_timezone=schema.zone_of(reading),
            tables=tuple(parts),
            sequences=sequences(session, found),
        )
        writer.finish(manifest)
    return manifest


def _snapshot(reading: Connection, wanted: list[Contents]) -> list[Contents]:
    """
    Fix the instant at which all tables are read, and return them.

    They are locked before the first query, which takes the snapshot: a table that is rewritten by a migration would seem empty to
    an older snapshot.
    """
    session = driver_of(reading)
    reading.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    for setting in _FORMS:
        reading.exec_driver_sql(f"SET LOCAL {setting}")
    names = sql.SQL(", ").join(table.quoted for table in wanted)
    session.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))
    found = tables(session)
    if [table[:3] for table in found] != [table[:3] for table in wanted]:
        raise WarehouseError(
            "The warehouse was migrated while the backup began.",
            safe="No file was written.",
            hint="Run it again: etl backup FILE",
        )
    return found


def _rows(session: Session, table: Contents, *, watcher: Watcher, stop: Event) -> Iterator[bytes]:
    """Yield the rows of a table in pieces of about a megabyte."""
    with session.cursor() as cursor, cursor.copy(copying(table, table.columns, out=True)) as copy:
        piece, size, rows = [], 0, 0
        for row in copy:
            piece.append(bytes(row))
            size += len(row)
            rows += 1
            if size >= archive.CHUNK:
                if stop.is_set():
                    raise Interrupted(
                        "The backup was stopped.",
                        safe="What was begun is removed; an earlier backup of that name is as it was.",
                        hint="Run it again: etl backup FILE",
                    )
                yield b"".join(piece)
                watcher.page_loaded("backup", table.label, records=rows, total=table.about)
                piece, size, rows = [], 0, 0
        yield b"".join(piece)


def _server(session: Session) -> str:
    (version,) = session.execute("SHOW server_version").fetchone() or ("",)
    return str(version)
