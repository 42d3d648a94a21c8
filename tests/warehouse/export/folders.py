"""Knows how the export's tests look at a folder: every file of it, whole, and what the database says."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from etl.cli.progress import Silence
from etl.runs.port import Watcher
from etl.warehouse.database import Database
from etl.warehouse.export.exporting import Exported, export
from etl.warehouse.export.relations import KNOWN

PLACE = re.compile(r"\w+/connection=[\w.~%-]+/\d{4}-\d\d\.parquet")
WITHOUT_A_DAY = {"call_participants": "participant_id", "call_messages": "message_id", "call_events": "event_id"}
MACHINES = (
    *("stream", "cursor_at", "observed_at", "detail_observed_at", "detail_due_at", "content_hash", "last_run_id"),
    "detail_failures",
)
"""The columns of `calls` that are not exported."""


def exported(
    database: Database, folder: Path, *names: str, masked: bool = False, watcher: Watcher | None = None, stop: Event | None = None
) -> Exported:
    """Export into a folder; all is in its place then, and nothing else."""
    ended = export(database, folder, names, masked=masked, watcher=watcher or Silence(), stop=stop or Event())
    here = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    strange = [name for name in here - {"manifest.json", ".lock"} if not PLACE.fullmatch(name)]
    assert strange == []
    told = {
        f"{name}/connection={quote(file.connection, safe='')}/{file.month:%Y-%m}.parquet": (file.rows, file.bytes)
        for name, files in ended.manifest.relations.items()
        for file in files
        if file.rows
    }
    assert told == {name: (pq.read_metadata(folder / name).num_rows, (folder / name).stat().st_size) for name in files_of(folder)}
    return ended


def files_of(folder: Path) -> list[str]:
    """Return the places of all files with rows."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.parquet"))


def content(folder: Path) -> dict[str, pa.Table]:
    """Return all that is in a folder, by place."""
    return {name: pq.read_table(folder / name, partitioning=None) for name in files_of(folder)}


def written(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what tells by each file whether it was written again."""
    return {name: ((folder / name).stat().st_ino, (folder / name).stat().st_mtime_ns) for name in files_of(folder)}


def changed(before: dict[str, tuple[int, int]], folder: Path) -> set[str]:
    """Return the places of the files that were written or removed since."""
    now = written(folder)
    return {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}


def rows_by_place(database: Database, relation: str, schema: str = "public") -> dict[str, list[dict[str, Any]]]:
    """Return what the database says of a relation, by the place of the file that has to hold it; in no order."""
    unit = KNOWN[relation].unit
    query = f"SELECT rows.*, rows.{unit} AS of_month FROM {schema}.{relation} AS rows"
    if relation in WITHOUT_A_DAY:
        of_call = f"{schema}.calls USING (connection, call_id)"
        query = f"SELECT rows.*, calls.day AS of_month FROM {schema}.{relation} AS rows JOIN {of_call}"
    found = defaultdict(list)
    with database.begin() as session:
        for row in session.exec_driver_sql(query).mappings():
            values = {name: value for name, value in row.items() if name not in ("of_month", *MACHINES)}
            found[f"{relation}/connection={row['connection']}/{row['of_month']:%Y-%m}.parquet"].append(values)
    return dict(found)


def assert_exact(database: Database, folder: Path, relations: Iterable[str], schema: str = "public") -> None:
    """Assert that the files hold the rows of the database, whole rows compared; JSON as its text."""
    expected = {place: rows for name in relations for place, rows in rows_by_place(database, name, schema).items()}
    found = {place: table.to_pylist() for place, table in content(folder).items()}
    assert {place: _sorted(rows) for place, rows in found.items()} == {place: _sorted(rows) for place, rows in expected.items()}


def _sorted(rows: list[dict[str, Any]]) -> list[list[tuple[str, Any]]]:
    return sorted(([(name, _plain(value)) for name, value in row.items()] for row in rows), key=repr)


def _plain(value: Any) -> Any:
    return repr(value) if isinstance(value, dict | list) else value
