"""Secrets and people are searched for wherever something comes out: output, pages, sessions, logs, hooks, masked files."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pyarrow.parquet
import pytest

from etl.sandbox import NO_LIMITS, History, Sandbox
from tests.acceptance.cast import PROVIDERS
from tests.acceptance.hook import BEAT, SECRET, LoopbackHook
from tests.acceptance.process import Ended, Program, execute, rows
from tests.acceptance.server import OwnServer
from tests.acceptance.stage import START
from tests.acceptance.workers import worker
from tests.conftest import Server

PASSWORD = "canary-of-the-database"
ERASURE_KEY = "canary-of-erasures-0123456789abcdef"
PAGES = ("/", "/metrics", "/healthz", "/readyz")
SESSIONS = b"SELECT DISTINCT query, application_name FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
PERSONAL = """
SELECT from_address FROM calls UNION SELECT to_address FROM calls UNION SELECT recording_url FROM calls
UNION SELECT transcript FROM calls UNION SELECT email FROM call_participants UNION SELECT text FROM call_messages
"""
RATES = dict.fromkeys(PROVIDERS, 9)
COMMANDS = (
    ("check",),
    ("--verbose", "sync"),
    ("status", "--json"),
    ("audit", "--repair"),
    ("replay",),
    ("worker", "--once"),
)
AGAIN = (("check",), ("--verbose", "sync", "--full"), ("runs", "--json"), ("rejects",))
"""What is run one after the other; what each of them says is kept."""


@contextmanager
def watched(url: str, seen: set[str]) -> Iterator[None]:
    """Look at what the server shows of its sessions again and again, as a monitoring tool does."""
    done = threading.Event()

    def look() -> None:
        with psycopg.connect(url, autocommit=True) as session:
            while not done.is_set():
                seen.update(str(part) for row in session.execute(SESSIONS).fetchall() for part in row)
                session.execute("SELECT pg_sleep(0.02)")

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        done.set()
        looking.join()


@pytest.fixture
def hook() -> Iterator[LoopbackHook]:
    """Give a hook, whose address is a secret."""
    with LoopbackHook() as hook:
        yield hook


@pytest.fixture
def server(postgres_server: Server) -> Iterator[OwnServer]:
    """Give a server that asks for a password and logs as PostgreSQL does where nobody set anything, and each session."""
    options = ("listen_addresses=", "log_connections=on", "log_disconnections=on")
    with OwnServer(postgres_server.programs, password=PASSWORD, options=options) as server:
        yield server


def served(program: Program) -> tuple[str, Ended]:
    """Return what a worker's pages say while it lives, and what it said itself."""
    with worker(program, listen="127.0.0.1:0") as process:
        address = process.event("web.listening")["address"]
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            answers = [client.get(path) for path in PAGES]
        process.signal(signal.SIGTERM)
        ended = process.ended()
    return "".join(f"{answer.headers}\n{answer.text}" for answer in answers), ended


def found(canaries: set[str], text: str) -> set[str]:
    """Return the canaries that stand in a text."""
    return {canary for canary in canaries if canary in text}


def test_nothing_secret_and_nobody_comes_out(server: OwnServer, hook: LoopbackHook, tmp_path: Path) -> None:
    """Every command with every provider, one connection with a wrong token and one that is refused rows by the database."""
    execute(server.url(password=PASSWORD), "CREATE DATABASE warehouse")
    url = server.url("warehouse", password=PASSWORD)
    shown: set[str] = set()
    said: list[Ended] = []
    with Sandbox(History(3, start=START, past=timedelta(days=1), calls_per_day=RATES), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=url, folder=tmp_path)
        program.environment |= {"ETL_NOTIFY__URL": hook.url, "ETL_NOTIFY__HEARTBEAT_URL": hook.heartbeat_url}
        program.environment |= {"ETL_WAREHOUSE__ERASURE_KEY": ERASURE_KEY}
        with watched(url, shown):
            said += [program.run(*command) for command in COMMANDS]
            program.settings["salpre"] = {"token": "canary-of-a-wrong-token"}
            sandbox.faults.add("control_characters", provider="krosai", probability=1.0)
            said += [program.run(*command) for command in AGAIN]
            # A page that the database refuses as a whole, and then record by record.
            execute(url, "ALTER TABLE calls ADD CONSTRAINT sabotage CHECK (connection <> 'voice') NOT VALID")
            said += [program.run("--verbose", "sync", "--full")]
            execute(url, "ALTER TABLE calls DROP CONSTRAINT sabotage")
            said += [program.run("export", str(tmp_path / "masked"), "--masked")]
            pages, ended = served(program)
            people = {str(value) for (value,) in rows(url, PERSONAL) if value is not None and len(value) > 6}
            email = max(one for one in people if re.fullmatch(r"[^@\s]+@[^@\s]+", one))
            said += [ended, program.run("forget", "--email", email, "--yes"), program.run("--verbose", "sync", "--full")]
            said += [program.run("forget", "--list", str(tmp_path / "erasures.json")), program.run("status")]
        tokens = {*sandbox.tokens.values(), "canary-of-a-wrong-token", PASSWORD, SECRET, BEAT, ERASURE_KEY}

    assert email not in whole(url)
    assert any("@" in one for one in people) and any(re.fullmatch(r"\+\d+", one) for one in people) and len(people) > 30
    outside = {
        "output": "".join(one.out + one.err for one in said),
        "pages": pages,
        "list of erasures": Path(tmp_path, "erasures.json").read_text(),
        "sessions": "\n".join(shown),
        "log of the database": server.log.read_text("utf-8", errors="replace"),
        "hook": "\n".join(hook.texts),
        "masked views": masked(url),
        "masked files": "\n".join(str(table(path)) for path in (tmp_path / "masked").rglob("*.parquet")),
    }
    assert all(outside.values()), {name: len(text) for name, text in outside.items()}
    assert {name: found(tokens | people, text) for name, text in outside.items()} == {name: set() for name in outside}
    assert found(tokens, whole(url)) == set()


def table(path: Path) -> Any:
    """Return the rows of a Parquet file."""
    return pyarrow.parquet.read_table(path).to_pylist()


def masked(url: str) -> str:
    """Return all that a masked reader can read."""
    names = rows(url, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'masked'")
    return "\n".join(str(rows(url, f"SELECT * FROM masked.{name}")) for (name,) in names)


def whole(url: str) -> str:
    """Return every row of every table, where no credential may stand."""
    tables = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ('public', 'sync', 'jobs')"
    return "\n".join(str(rows(url, f'SELECT one::text FROM {schema}."{name}" AS one')) for schema, name in rows(url, tables))
