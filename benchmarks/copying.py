"""
Knows how finished rows are copied into the warehouse's tables as fast as Postgres takes them: the limit of any loader that
keeps to these tables and indexes. `python -m benchmarks.copying PLAN CONNINFO [paged]`, a process like the others.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

import psycopg

from benchmarks.finished import Table, read_plan

BLOCK = 2**20


def main(plan: str, conninfo: str, rhythm: str = "whole") -> None:
    """Copy calls, then participants; `paged`: a thousand calls and their participants to each transaction."""
    tables, ends = read_plan(Path(plan))
    places = ends if rhythm == "paged" else [ends[-1]]
    with (
        psycopg.connect(conninfo, autocommit=True) as session,
        tables[0].file.open("rb") as one,
        tables[1].file.open("rb") as two,
    ):
        before = (0, 0)
        for place in places:
            with session.transaction():
                for table, file, start, stop in zip(tables, (one, two), before, place, strict=True):
                    _copy(session, table, file, stop - start)
            before = place


def _copy(session: psycopg.Connection, table: Table, file: IO[bytes], size: int) -> None:
    with session.cursor() as cursor, cursor.copy(table.copy_in()) as copy:
        while size > 0:
            block = file.read(min(BLOCK, size))
            copy.write(block)
            size -= len(block)


if __name__ == "__main__":
    main(*sys.argv[1:])
