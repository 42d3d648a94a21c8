"""Kill the database server at any moment: the sync says so and fails, and the next one ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from etl.sandbox import NO_LIMITS, History, Sandbox
from etl.warehouse import schema
from etl.warehouse.database import Database
from tests.acceptance.cast import NAMES, PROVIDERS, per_day
from tests.acceptance.process import Hook, Program, execute, held_and_true, rows
from tests.acceptance.server import OwnServer
from tests.acceptance.stage import START
from tests.postgres import Server

MOMENTS = 8
SEEDS = (8,)


@pytest.fixture
def server(postgres_server: Server) -> Iterator[OwnServer]:
    """Give a durable server of this test's own, with a migrated database to copy."""
    with OwnServer(postgres_server.programs) as own:
        execute(own.url(), "CREATE DATABASE migrated")
        with Database(own.url("migrated")) as database:
            schema.migrate(database)
        yield own


@pytest.fixture
def program(server: OwnServer, tmp_path: Path, hook: Hook) -> Iterator[Program]:
    """Give the program before a history in which calls come late, change and vanish."""
    rates = per_day(15, tuple=23, bimpe=22, salpre=13)
    history = History(3, start=START, past=timedelta(days=2), calls_per_day=rates, vanishing=0, agent_changes=(0, 0, 0))
    with Sandbox(history, limits=NO_LIMITS, on_request=hook) as sandbox:
        settings = {provider: {"per_page": 6} for provider in PROVIDERS}
        yield Program(sandbox=sandbox, url="", folder=tmp_path, providers=PROVIDERS, settings=settings)


def told(address: str) -> set[str]:
    """What may be read of a server that went away in the middle of a sync."""
    return {
        f"The connection to the database at {address} was lost.",
        "Check that the server runs (etl check) and, if not, what its log says; the next run continues.",
        f"No server answers at {address}.",
        "Start the server, or correct host and port in warehouse.url.",
        f"The server at {address} is starting, stopping or recovering.",
        "Try again in a moment.",
        "What was committed before stays.",
    }


def a_backend(program: Program, chance: random.Random) -> int:
    """Return one of the processes that serve the program."""
    found = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'call-warehouse' ORDER BY 1"
    )
    return int(chance.choice(rows(program.url, found))[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_server_costs_nothing(server: OwnServer, program: Program, hook: Hook, seed: int) -> None:
    """Every fourth sync is a backfill, the others go on a day later; the whole server is killed, or one of its backends."""
    chance = random.Random(seed)
    for moment in range(MOMENTS):
        if moment % 4 == 0:
            program.url = server.url(f"warehouse_{moment}")
            execute(server.url(), f"CREATE DATABASE warehouse_{moment} TEMPLATE migrated")
        else:
            program.sandbox.history.advance(timedelta(days=1))
        number, whole = chance.randint(1, 40 if moment % 4 == 0 else 20), chance.random() < 0.6
        print(f"seed {seed}, moment {moment}: request {number}, {'the server' if whole else 'a backend'}")  # noqa: T201
        kill = server.kill if whole else lambda: os.kill(a_backend(program, chance), signal.SIGKILL)
        hook.arm(number, kill)

        ended = program.run("sync")
        if whole:
            server.start()
        server.wait_until_ready()
        again = program.run("sync")

        address = "postgresql+psycopg://postgres@/" + program.url.split("/")[3].split("?")[0]
        assert (ended.code, set(ended.lines) - told(address)) == (1, set())
        assert ended.lines != []
        assert (again.code, again.lines) == (0, [])
        held, true = held_and_true(program)
        assert {name: true[name] - held[name] for name in held} == {name: set() for name in held}
        ends = rows(program.url, "SELECT DISTINCT ON (connection) connection, status FROM sync.runs ORDER BY connection, id DESC")
        assert dict(ends) == dict.fromkeys((NAMES[provider] for provider in PROVIDERS), "succeeded")
        unfinished = "SELECT count(*) FROM sync.runs WHERE status = 'running'"
        assert rows(program.url, unfinished) == [(0,)]
