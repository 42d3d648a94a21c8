"""The primary server is lost in the middle of a sync, and a standby takes over that had not got all of it: nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from etl.warehouse import schema
from etl.warehouse.database import Database
from tests.acceptance.pair import Pair
from tests.acceptance.process import Hook, Program, held_and_true, hourly, rows
from tests.acceptance.stage import quiet_history
from tests.postgres import Server

SAID = [
    "Another database server has taken over at postgresql+psycopg://postgres@/warehouse while this run was at work.",
    "Nothing is lost: rows and what counts as read are of one transaction, whatever the new server has got of them.",
    "Nothing needs mending: the next run reads what is missing. If somebody was forgotten just before, run etl forget again.",
]


@pytest.fixture
def pair(postgres_server: Server) -> Iterator[Pair]:
    """Give a primary server with a warehouse, and a standby that follows it."""
    with Pair(postgres_server.programs) as pair:
        with Database(pair.primary.url("warehouse")) as database:
            schema.migrate(database)
        pair.follow()
        yield pair


def test_a_standby_takes_over_between_two_pages(pair: Pair, hook: Hook, tmp_path: Path) -> None:
    """
    The run reaches the new server by the same address, and does not go on there: it would claim pages that are gone.

    What the new server has got is one state, rows and marks; the next sync reads what is missing from it.
    """
    with Sandbox(quiet_history(), limits=NO_LIMITS, on_request=hook) as sandbox:
        program = Program(sandbox=sandbox, url=pair.url("warehouse"), folder=tmp_path, providers=("tuple",))
        hourly(program, calls=60)
        lost: list[int] = []

        def fall_behind() -> None:
            pair.cut_off()
            hook.arm(4, take_over)

        def take_over() -> None:
            lost.append(rows(pair.primary.url("warehouse"), "SELECT count(*) FROM calls")[0][0])
            pair.fail_over()
            lost.append(rows(pair.primary.url("warehouse"), "SELECT count(*) FROM calls")[0][0])

        hook.arm(4, fall_behind)
        ended = program.run("sync")
        again = program.run("sync")

        before, after = lost
        assert 0 < after < before
        assert (ended.code, ended.lines) == (1, SAID)
        assert (again.code, again.lines) == (0, [])
        held, true = held_and_true(program)
        assert held == true
        assert rows(program.url, "SELECT status, error_code FROM sync.runs ORDER BY id") == [
            ("failed", "server_changed"),
            ("succeeded", None),
        ]
