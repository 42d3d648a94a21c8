"""At which server a run began: what counts as another one, and that a server which does not tell keeps nobody from working."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from etl.warehouse.database import Database
from etl.warehouse.servers import Servers


class Session:
    """A session at a server that says which one it is, or does not."""

    closed = False

    def __init__(self, server: str | None) -> None:
        self._server = server

    def execute(self, _: bytes) -> Any:
        if self._server is None:
            raise psycopg.errors.InsufficientPrivilege
        return self

    def fetchone(self) -> tuple[str | None]:
        return (self._server,)


@pytest.mark.parametrize(
    ("began", "now", "changed"),
    [
        ("1/00000001", "1/00000001", False),
        ("1/00000001", "1/00000002", True),
        ("1/00000001", "2/00000001", True),
        (None, "1/00000002", False),
        ("1/00000001", None, False),
    ],
)
def test_another_timeline_or_another_system_is_another_server(began: str | None, now: str | None, changed: bool) -> None:
    """What is not known of one of the two is no reason to end a run."""
    servers = Servers("postgresql://db.example.com/warehouse")
    first: Any = Session(began)
    second: Any = Session(now)
    servers.meet(first)
    servers.meet(second)
    servers.begin(7, first)

    assert servers.changed(7, first) is None
    found = servers.changed(7, second)
    assert (found is not None) == changed
    assert found is None or (found.code, "db.example.com" in found.happened) == ("server_changed", True)
    assert servers.changed(8, second) is None  # a run that was not opened here
    servers.end(7)
    assert servers.changed(7, second) is None


def test_a_server_says_which_it_is(database: Database) -> None:
    """PostgreSQL tells every role, without any right of its own."""
    with database.plain() as session:
        session.execute("CREATE ROLE etl_nobody")
        session.execute("SET ROLE etl_nobody")
        try:
            servers = Servers("")
            servers.meet(session)
            servers.begin(1, session)
        finally:
            session.execute("RESET ROLE")
            session.execute("DROP ROLE etl_nobody")
    other: Any = Session("1/00000001")
    servers.meet(other)
    assert servers.changed(1, other) is not None
