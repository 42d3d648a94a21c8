"""`warehouse.distributed = true` on an ordinary server: refused before anything is made, and said by `etl check`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.process import Program, hourly, rows
from tests.acceptance.stage import quiet_history

REFUSED = "has no extension named citus. Nothing was changed. Let an administrator run CREATE EXTENSION citus;"


@pytest.fixture
def program(empty_database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program with three calls of Tuple, told to distribute, and an empty database of an ordinary server."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=empty_database_url, folder=tmp_path, providers=("tuple",))
        program.environment["ETL_WAREHOUSE__DISTRIBUTED"] = "true"
        hourly(program, calls=3)
        yield program


def test_nothing_is_made_where_the_extension_is_missing(program: Program) -> None:
    """The first sync and the migration say what helps; without the wish the sync makes the warehouse."""
    for command in ("migrate", "sync"):
        told = program.run(command)
        assert (told.code, REFUSED in " ".join(told.err.split())) == (1, True), told.err
    assert rows(program.url, "SELECT to_regnamespace('sync')") == [(None,)]

    program.environment.clear()
    assert program.run("sync").code == 0
    assert rows(program.url, "SELECT count(*) FROM calls") == [(3,)]


def test_syncs_go_on_where_the_wish_came_later(program: Program) -> None:
    """The schema is there: the migration refuses, `migrate --check` says that it is due, `etl check` names it, a sync works."""
    program.environment.clear()
    assert program.run("sync").code == 0
    program.environment["ETL_WAREHOUSE__DISTRIBUTED"] = "true"
    told = program.run("migrate")
    assert (told.code, REFUSED in " ".join(told.err.split())) == (1, True)
    assert program.run("migrate", "--check").code == 1
    assert "warehouse.distributed is true, which is taken on by: etl migrate" in " ".join(program.run("check").out.split())
    assert program.run("sync").code == 0
