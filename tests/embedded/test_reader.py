"""A role that only reads, for programs that are no part of this one: made once, let in as the owner is."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from etl import embedded
from etl.errors import WarehouseError
from tests.embedded.conftest import ask


def as_role(server: embedded.Server, role: str) -> psycopg.Connection:
    return psycopg.connect(server.conninfo, user=role)


def test_it_is_made_once_and_has_no_power(place: Path) -> None:
    """It owns nothing, may make nothing, and reads no table that nobody let it read; starting again leaves it as it is."""
    with embedded.server(data_dir=place, reader="dashboards") as server:
        ask(server, "CREATE TABLE secret AS SELECT 1 AS one")
        with as_role(server, "dashboards") as session:
            told = session.execute(
                "SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = current_user"
            ).fetchall()
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute("SELECT * FROM secret")
        number = ask(server, "SELECT oid::int FROM pg_roles WHERE rolname = 'dashboards'")

    assert told == [("dashboards", False, False, False, False)]
    with embedded.server(data_dir=place, reader="dashboards") as server:
        assert ask(server, "SELECT oid::int FROM pg_roles WHERE rolname = 'dashboards'") == number


def test_data_that_was_there_before_gets_it_too(place: Path) -> None:
    """The superuser gave up its power long ago; what is held stays, and the everyday role is no more than it was."""
    with embedded.server(data_dir=place) as server:
        ask(server, "CREATE TABLE kept AS SELECT 7 AS seven")
        with pytest.raises(psycopg.OperationalError):
            as_role(server, "dashboards")

    with embedded.server(data_dir=place, reader="dashboards") as server:
        as_role(server, "dashboards").close()
        assert ask(server, "SELECT seven FROM kept") == 7
        assert ask(server, "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user") is False
        with pytest.raises(psycopg.OperationalError):
            as_role(server, "warehouse_keeper")


def test_where_the_making_was_cut_short_it_is_done_again(place: Path) -> None:
    """Killed after the role and before the server was told to let it in."""
    with embedded.server(data_dir=place, reader="dashboards"):
        pass
    hba = place / "data" / "pg_hba.conf"
    hba.write_text("".join(line for line in hba.read_text().splitlines(keepends=True) if "dashboards" not in line))

    with embedded.server(data_dir=place, reader="dashboards") as server:
        as_role(server, "dashboards").close()


def test_while_others_use_the_server_it_says_so(place: Path) -> None:
    """Making it needs the server stopped, which nobody's sync is stopped for; once made, others may use the server beside it."""
    with embedded.server(data_dir=place) as server:
        with pytest.raises(WarehouseError) as refused:
            embedded.server(data_dir=place, reader="dashboards").__enter__()
        assert ask(server, "SELECT 1") == 1

    assert refused.value.happened == (
        "The role dashboards is not there yet, and can be made only while nobody uses the embedded server."
    )
    with embedded.server(data_dir=place, reader="dashboards"):
        pass
    with embedded.server(data_dir=place), embedded.server(data_dir=place, reader="dashboards") as server:
        as_role(server, "dashboards").close()
