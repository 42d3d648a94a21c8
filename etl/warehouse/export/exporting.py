"""`etl export`: what has changed since the last one, from one snapshot, into whole files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Event
from typing import IO, Any, NamedTuple

import pyarrow.parquet
from psycopg import sql
from sqlalchemy import Connection, select

import etl
from etl.errors import Interrupted
from etl.runs.port import Watcher
from etl.warehouse import schema
from etl.warehouse.database import Database, driver_of
from etl.warehouse.export import manifest
from etl.warehouse.export.columns import Column, columns_of, schema_of, selected, table_of
from etl.warehouse.export.folder import AS_IT_WAS, Folder, held
from etl.warehouse.export.manifest import File, Manifest
from etl.warehouse.export.relations import AGENT_DAILY, CALLS, KNOWN, MASKED, PEOPLES, Part, Relation, chosen
from etl.warehouse.export.standing import Calls, Fingerprint, of_rows
from etl.warehouse.loading.fence import INSTANT

GROUP_ROWS = 122_880
"""The most rows of a row group: as many as DuckDB reads at once."""

GROUP_BYTES = 2**22
"""About how much is held in memory of a row group, before it is compressed."""

_WAREHOUSE = """
SELECT system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()) AS warehouse, timeline_id
FROM pg_control_system(), pg_control_checkpoint()
"""


class Done(NamedTuple):
    """What was done of a relation: the files that it has now, those of them that were written, and those that were removed."""

    relation: str
    files: int
    rows: int
    bytes: int
    written: int
    removed: int


class Exported(NamedTuple):
    """How an export ended."""

    manifest: Manifest
    relations: list[Done]


class _Plan(NamedTuple):
    relation: Relation
    kept: dict[Part, File]
    remade: dict[Part, Fingerprint]
    gone: list[Part]


def export(
    database: Database, path: Path, names: Iterable[str] = (), *, masked: bool = False, watcher: Watcher, stop: Event
) -> Exported:
    """
    Bring a folder up to date: the relations named (or the default), and all that it holds already, as they are at one instant.

    Raises UsageError where the folder cannot be used, AlreadyRunning while another export writes there, ExportFailed if it
    cannot be written, WarehouseError, Interrupted once `stop` is set.
    """
    wanted = chosen(names)
    with held(path) as folder:
        before = folder.manifest()
        there = before.relations if before else {}
        relations = [relation for relation in KNOWN.values() if relation in wanted or relation.name in there]
        with database.begin() as reading:
            return _Export(folder, before, reading, masked=masked, watcher=watcher, stop=stop).run(relations)


class _Export:
    """An export into a folder that is held, inside a transaction that only reads."""

    def __init__(
        self, folder: Folder, before: Manifest | None, reading: Connection, *, masked: bool, watcher: Watcher, stop: Event
    ) -> None:
        self._folder = folder
        self._before = before
        self._reading = reading
        self._session = driver_of(reading)
        self._masked = masked
        self._schema = MASKED if masked else PEOPLES
        self._watcher = watcher
        self._stop = stop

    def run(self, relations: list[Relation]) -> Exported:
        """Write what has changed, and put all of it in place at once."""
        self._take_snapshot(relations)
        told = self._manifest()
        if self._before is not None:
            manifest.refuse_foreign(self._before, self._folder.path, warehouse=told.warehouse, masked=told.masked)
        again = self._before is None or self._before.basis != told.basis
        calls = Calls(self._session, self._schema, self._before.mark if self._before and not again else None)
        done, files = [], {}
        plans = [self._plan(relation, calls, again=again) for relation in relations]
        for plan in plans:
            self._watcher.stream_started("export", plan.relation.name)
            made = [self._made(plan.relation, part, state.now) for part, state in sorted(plan.remade.items())]
            self._watcher.stream_finished("export", plan.relation.name)
            files[plan.relation.name] = tuple(sorted([*plan.kept.values(), *made], key=lambda file: file.part))
            done.append(self._done(plan, files[plan.relation.name]))
        told = Manifest(**{**_fields(told), "mark": calls.mark, "relations": files})
        self._settle(plans, told)
        return Exported(told, done)

    def _take_snapshot(self, relations: list[Relation]) -> None:
        """
        Fix the instant at which everything is read.

        What is read is locked before the first query, which takes the snapshot: a table that is rewritten by a migration would
        seem empty to an older snapshot.
        """
        self._reading.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        self._reading.exec_driver_sql("SET LOCAL work_mem TO '64MB'")
        read = {relation.name for relation in (*relations, CALLS, AGENT_DAILY)}
        names = sql.SQL(", ").join(sql.Identifier(self._schema, name) for name in sorted(read))
        self._session.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))

    def _manifest(self) -> Manifest:
        warehouse, timeline = self._session.execute(_WAREHOUSE).fetchall()[0]
        return Manifest(
            kind=manifest.KIND,
            format=manifest.FORMAT,
            program=etl.__version__,
            warehouse=warehouse,
            masked=self._masked,
            timeline=timeline,
            schema=schema.known_version(self._reading) or "",
            reporting_timezone=schema.zone_of(self._reading),
            taken_at=self._reading.execute(select(INSTANT)).scalar_one(),
            mark=None,
            relations={},
        )

    def _plan(self, relation: Relation, calls: Calls, *, again: bool) -> _Plan:
        """Tell which files of a relation are kept, made again, or without rows from now on."""
        now = calls.fingerprints(relation) if relation.follows_calls else of_rows(self._session, self._schema, relation)
        before = self._before.files(relation.name) if self._before else {}
        kept = {}
        for part, state in now.items():
            file = before.get(part)
            if file and not again and file.state == state.before and self._folder.holds(relation.name, part, file.bytes):
                kept[part] = _standing(file, state.now)
        remade = {part: state for part, state in now.items() if part not in kept}
        return _Plan(relation, kept, remade, [part for part in before if part not in now])

    def _made(self, relation: Relation, part: Part, state: str) -> File:
        """Write the rows of a part beside its place; without any, there is no file."""
        columns = columns_of(self._session, self._schema, relation.name)
        with self._folder.writing(relation.name, part) as file:
            rows = self._write(relation, part, columns, file)
            size = file.tell()
        if not rows:
            self._folder.drop(relation.name, part)
            size = 0
        return File(connection=part.connection, month=part.month, rows=rows, bytes=size, state=state)

    def _write(self, relation: Relation, part: Part, columns: list[Column], file: IO[bytes]) -> int:
        written = 0
        writer: Any = pyarrow.parquet.ParquetWriter(file, schema_of(columns), compression="zstd")
        with writer:
            for lines, rows in self._groups(_query(self._schema, relation, part, columns)):
                writer.write_table(table_of(lines, columns), row_group_size=rows)
                written += rows
                self._watcher.page_loaded("export", relation.name, records=rows, total=None)
        return written

    def _groups(self, query: sql.Composed) -> Iterator[tuple[bytearray, int]]:
        """Yield the rows of a query as CSV, in the sizes of row groups; the server sends each row apart."""
        lines, rows = bytearray(), 0
        with self._session.cursor() as cursor, cursor.copy(query) as copy:
            for line in copy:
                lines += line
                rows += 1
                if rows == GROUP_ROWS or len(lines) >= GROUP_BYTES:
                    self._heed_stop()
                    yield lines, rows
                    lines, rows = bytearray(), 0
        self._heed_stop()
        if rows:
            yield lines, rows

    def _heed_stop(self) -> None:
        if self._stop.is_set():
            raise Interrupted("The export was stopped.", safe=AS_IT_WAS, hint="Run it again: etl export DIR")

    def _settle(self, plans: list[_Plan], told: Manifest) -> None:
        """Put everything in place. What is about to be replaced or removed is told first, should this be the last that we do."""
        removed = [
            self._folder.place(plan.relation.name, part)
            for plan in plans
            for part in [*plan.gone, *plan.remade]
            if not _has_rows(told, plan.relation, part)
        ]
        if any(plan.remade or plan.gone for plan in plans):
            before = self._before or told
            begun = {}
            for plan in plans:
                known = before.files(plan.relation.name) if self._before else {}
                begun[plan.relation.name] = manifest.unsettled(known, {**dict.fromkeys(plan.gone), **plan.remade})
            self._folder.write(Manifest(**{**_fields(before), "mark": before.mark if self._before else None, "relations": begun}))
            self._folder.put_in_place(removed=removed)
        self._folder.write(told)

    def _done(self, plan: _Plan, files: tuple[File, ...]) -> Done:
        before = self._before.files(plan.relation.name) if self._before else {}
        full = [file for file in files if file.rows]
        written = sum(file.part in plan.remade for file in full)
        here = {file.part for file in full}
        removed = sum(bool(file.bytes) or file.state is None for part, file in before.items() if part not in here)
        return Done(plan.relation.name, len(full), sum(f.rows for f in full), sum(f.bytes for f in full), written, removed)


def _query(schema_name: str, relation: Relation, part: Part, columns: list[Column]) -> sql.Composed:
    """Return the COPY of the rows of a part, in an order that stays the same."""
    texts = {column.name for column in columns if column.is_text}
    first = relation.order or (relation.unit, *(column.name for column in columns))
    order: list[sql.Composable] = [
        sql.SQL('{} COLLATE "C"' if name in texts else "{}").format(sql.Identifier("rows", name)) for name in first
    ]
    source = sql.SQL("{} AS rows").format(sql.Identifier(schema_name, relation.name))
    placed = sql.Identifier("call" if relation.of_call else "rows", relation.unit)
    if relation.of_call:
        order.insert(0, placed)
        source += sql.SQL(
            " JOIN {} AS call ON call.connection = rows.connection AND call.call_id = rows.call_id AND call.connection = {}"
        ).format(sql.Identifier(schema_name, CALLS.name), sql.Literal(part.connection))
    return sql.SQL(
        "COPY (SELECT {} FROM {} WHERE rows.connection = {} AND {} >= {} AND {} < {} ORDER BY {}) TO STDOUT (FORMAT csv)"
    ).format(
        selected(columns),
        source,
        sql.Literal(part.connection),
        placed,
        sql.Literal(part.month),
        placed,
        sql.Literal(part.after),
        sql.SQL(", ").join(order),
    )


def _fields(told: Manifest) -> dict[str, Any]:
    return {name: getattr(told, name) for name in told.__struct_fields__}


def _standing(file: File, state: str) -> File:
    return File(connection=file.connection, month=file.month, rows=file.rows, bytes=file.bytes, state=state)


def _has_rows(told: Manifest, relation: Relation, part: Part) -> bool:
    file = told.files(relation.name).get(part)
    return file is not None and file.rows > 0
