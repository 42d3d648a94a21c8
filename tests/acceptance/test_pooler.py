"""A pooler in transaction mode: every command that writes refuses it before it sets or writes anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.process import Program, content, hourly, rows
from tests.acceptance.stage import quiet_history
from tests.sharing_proxy import SharingProxy

WRITING = (["sync"], ["sync", "--dry-run"], ["audit"], ["audit", "--repair"], ["replay"], ["migrate"], ["prune"])
WATCHED = ("TimeZone", "search_path", "lock_timeout", "row_security", "idle_session_timeout", "application_name")


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before Salpre with 12 calls."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=("salpre",))
        hourly(program, calls=12)
        yield program


def settings(url: str) -> tuple[object, ...]:
    """Return what somebody else's session is set to; the proxy's own one where `url` leads through it."""
    return rows(url, "SELECT " + ", ".join(f"current_setting('{name}')" for name in WATCHED))[0]


@pytest.mark.parametrize("filled", [True, False])
def test_every_command_that_writes_refuses_it(program: Program, database_url: str, empty_database_url: str, filled: bool) -> None:
    """On a filled warehouse as on an empty database: exit 1, no request, no row, no lock and no setting left behind."""
    direct = database_url if filled else empty_database_url
    program.url = direct
    if filled:
        assert program.run("sync").code == 0
    program.sandbox.clear_requests()
    before = content(direct)
    with SharingProxy(direct) as proxy:
        program.url = proxy.url
        untouched = settings(proxy.url)
        ended = [program.run(*command) for command in WRITING]
        assert settings(proxy.url) == untouched
        locks = rows(proxy.url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        shown = psycopg.conninfo.conninfo_to_dict(proxy.url)

    address = f"postgresql+psycopg://postgres@127.0.0.1:{shown['port']}/{shown['dbname']}"
    lines = [
        f"Between this program and {address} stands a proxy that shares sessions out by the transaction.",
        "Nothing was changed.",
        "Locks would not hold through it: set warehouse.url to the server itself, or to a pool in session mode.",
    ]
    assert [(one.code, one.out, one.lines) for one in ended] == [(1, "", lines)] * len(WRITING)
    assert (program.sandbox.requests(), content(direct), locks) == ([], before, [(0,)])
