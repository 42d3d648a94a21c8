"""What a user reads where the database cannot be used: exit code 1, what is safe, what to do; and nothing is asked or lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.process import Program, content, execute, held_and_true, hourly
from tests.acceptance.server import OwnServer
from tests.acceptance.stage import quiet_history
from tests.postgres import Server

KEPT = "What was committed before stays."
RESET = "If that is not meant for the warehouse, let an administrator run: ALTER DATABASE {} RESET default_transaction_read_only;"


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before Salpre with 30 calls."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=("salpre",))
        hourly(program)
        yield program


def shown(url: str) -> str:
    """Return an address as messages show it."""
    return make_url(url).set(drivername="postgresql+psycopg", query={}).render_as_string(hide_password=True)


def asked_nobody(program: Program) -> bool:
    """Whether no provider was asked for anything."""
    return program.sandbox.requests() == []


@pytest.mark.parametrize(
    ("url", "lines"),
    [
        (
            "postgresql://etl:made-up-password@127.0.0.1:1/warehouse",
            [
                "No server answers at postgresql+psycopg://etl:***@127.0.0.1:1/warehouse.",
                KEPT,
                "Start the server, or correct host and port in warehouse.url.",
            ],
        ),
        (
            "postgresql://etl@/warehouse?host=/no/such/directory",
            [
                "No server answers at postgresql+psycopg://etl@/warehouse.",
                KEPT,
                "Start the server, or correct host and port in warehouse.url.",
            ],
        ),
        (
            "postgresql://etl@nowhere.invalid/warehouse",
            [
                "The host of the database address postgresql+psycopg://etl@nowhere.invalid/warehouse is unknown.",
                KEPT,
                "Correct the host in warehouse.url, or check the name service.",
            ],
        ),
    ],
)
@pytest.mark.parametrize("command", ["sync", "status", "migrate"])
def test_a_server_that_is_not_there(program: Program, command: str, url: str, lines: list[str]) -> None:
    """The address is shown without its password."""
    program.url = url

    ended = program.run(command)

    assert (ended.code, ended.out, ended.lines) == (1, "", lines)
    assert "made-up-password" not in ended.err
    assert asked_nobody(program)


def test_a_database_that_is_not_there(program: Program) -> None:
    """Its name is shown."""
    program.url = make_url(program.url).set(database="no_such_database").render_as_string(hide_password=False)

    ended = program.run("sync")

    assert (ended.code, ended.out, ended.lines) == (
        1,
        "",
        [
            f'The database at {shown(program.url)} does not exist: database "no_such_database" does not exist.',
            KEPT,
            (
                "Correct the name in warehouse.url, or create it, with the names that stand there: CREATE DATABASE name OWNER "
                "user ENCODING 'UTF8' TEMPLATE template0;"
            ),
        ],
    )
    assert asked_nobody(program)


def test_a_wrong_password(program: Program, postgres_server: Server) -> None:
    """Neither the right nor the wrong one is shown."""
    with OwnServer(postgres_server.programs, password="made-up-right") as server:
        program.url = server.url(password="made-up-wrong")
        ended = program.run("sync")

    assert (ended.code, ended.out, ended.lines) == (
        1,
        "",
        [
            (
                "The server at postgresql+psycopg://postgres:***@/postgres refused the user or its password: "
                'password authentication failed for user "postgres".'
            ),
            KEPT,
            "Check user and password in warehouse.url.",
        ],
    )
    assert "made-up" not in ended.err
    assert asked_nobody(program)


@pytest.fixture
def read_only(program: Program) -> Program:
    """Give a warehouse with 30 calls that takes no writes any more."""
    name = make_url(program.url).database
    assert program.run("sync").code == 0
    program.sandbox.clear_requests()
    execute(program.url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    return program


def test_a_database_that_takes_no_writes(read_only: Program, server_url: str) -> None:
    """A sync fails once for all its connections, before it asks anybody; what is there can still be looked at."""
    before = content(read_only.url)

    ended = read_only.run("sync")

    assert (ended.code, ended.lines) == (
        1,
        [
            f"The server at {shown(read_only.url)} takes no writes: default_transaction_read_only is on.",
            "Nothing was changed.",
            RESET.format(make_url(read_only.url).database),
        ],
    )
    assert asked_nobody(read_only)
    assert content(read_only.url) == before
    assert read_only.run("status").code == 0
    name = make_url(read_only.url).database
    execute(server_url, f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    recovers(read_only)


def test_check_names_a_database_that_takes_no_writes(read_only: Program) -> None:
    """The database fails, the credential is looked at all the same."""
    ended = read_only.run("check")

    assert (ended.code, ended.lines) == (
        1,
        [
            f"The server at {shown(read_only.url)} takes no writes: default_transaction_read_only is on.",
            "Nothing was changed.",
            RESET.format(make_url(read_only.url).database),
        ],
    )
    # The sandbox lives in a March of its own, which is said too.
    assert [line.partition(". The provider's answers are dated")[0] for line in ended.out.splitlines() if line[0] != " "] == [
        "ok      configuration: 1 connection",
        "failed  database",
        "ok      connection devices: Salpre accepts the credential",
        "ok      alerts: they are only logged, since notify.url is not set; there is no heartbeat (nothing was sent)",
    ]


def recovers(program: Program) -> None:
    """When the trouble is over, the next sync ends equal to the truth."""
    ended = program.run("sync")
    held, true = held_and_true(program)

    lines = [line for line in ended.lines if "answers are dated" not in line]  # the sandbox lives in a March of its own
    assert (ended.code, lines, held) == (0, [], true)
