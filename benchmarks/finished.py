"""
Knows the rows of a warehouse as files for COPY: written once from a warehouse that `etl sync` has filled, in the order in which
it was filled, and where in both files each thousand calls ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from benchmarks.postgres import Lane  # not at run time: the process that copies starts as lean as it can

RHYTHM = 1000
"""So many calls are one page, and one transaction, of `etl sync`."""

_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table's rows: its columns that are not computed, the file, and how many they are."""

    name: str
    rows: int
    columns: tuple[str, ...]
    file: Path

    def copy_in(self) -> sql.Composed:
        """Return the statement that takes the file's rows."""
        return sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(self.name), self.listed())

    def listed(self, prefix: str | None = None) -> sql.Composed:
        """Return the columns' names with commas between them."""
        parts = [sql.Identifier(prefix, name) if prefix else sql.Identifier(name) for name in self.columns]
        return sql.SQL(", ").join(parts)


def dump(lane: Lane, folder: Path) -> Path:
    """Write the rows of calls and participants into a folder, and beside them what `copying.py` has to know; return that."""
    folder.mkdir(exist_ok=True)
    with psycopg.connect(lane.conninfo) as session:
        calls, participants = (_table(session, name, folder) for name in ("calls", "call_participants"))
        order = sql.SQL("ORDER BY c.cursor_at, c.call_id")
        _write(session, calls.file, sql.SQL("SELECT {} FROM calls c {}").format(calls.listed("c"), order))
        _write(
            session,
            participants.file,
            sql.SQL("SELECT {} FROM call_participants p JOIN calls c USING (connection, call_id) {}, p.participant_id").format(
                participants.listed("p"), order
            ),
        )
    plan = folder / "plan.json"
    tables = [asdict(table) | {"file": str(table.file)} for table in (calls, participants)]
    plan.write_text(json.dumps({"tables": tables, "ends": list(_ends(calls, participants))}), encoding="utf-8")
    return plan


def read_plan(plan: Path) -> tuple[list[Table], list[tuple[int, int]]]:
    """Return the tables, and the places in their files up to which each thousand calls reaches."""
    read = json.loads(plan.read_text("utf-8"))
    tables = [Table(**{**one, "columns": tuple(one["columns"]), "file": Path(one["file"])}) for one in read["tables"]]
    return tables, [(calls, participants) for calls, participants in read["ends"]]


def _table(session: psycopg.Connection, name: str, folder: Path) -> Table:
    columns = tuple(row[0] for row in session.execute(_COLUMNS, [name]))
    counted = session.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()
    return Table(name=name, rows=counted[0] if counted else 0, columns=columns, file=folder / f"{name}.copy")


def _write(session: psycopg.Connection, file: Path, query: sql.Composed) -> None:
    with (
        file.open("wb") as opened,
        session.cursor() as cursor,
        cursor.copy(sql.SQL("COPY ({}) TO STDOUT").format(query)) as rows,
    ):
        for block in rows:
            opened.write(block)


def _ends(calls: Table, participants: Table) -> Iterator[tuple[int, int]]:
    """Both files are in the same order, so one pass finds where each thousand calls and their participants end."""
    at_call, at_participant = calls.columns.index("call_id"), participants.columns.index("call_id")
    with calls.file.open("rb") as parents, participants.file.open("rb") as children:
        waiting = children.readline()
        place = 0
        while page := _page(parents, at_call):
            while waiting and waiting.rstrip(b"\n").split(b"\t")[at_participant] in page:
                place += len(waiting)
                waiting = children.readline()
            yield parents.tell(), place


def _page(file: IO[bytes], at: int) -> set[bytes]:
    """Read the next thousand lines; return one column of them."""
    found = set()
    for _ in range(RHYTHM):
        line = file.readline()
        if not line:
            break
        found.add(line.rstrip(b"\n").split(b"\t")[at])
    return found
