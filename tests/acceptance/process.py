"""Knows the program as its user meets it: a process with arguments, an exit code, standard output and standard error."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg

from etl.sandbox import Sandbox
from tests.acceptance.cast import NAMES, USUAL
from tests.acceptance.forks import PATIENCE, Busy, forks, may_fork

CLOCKS = "The provider's answers are dated "

_EMAIL = re.compile(r"(?<![\w:/])[\w.+-]+@[\w-]+\.[a-z]+")  # not the user in a database's address
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended; `code` is negative where a signal killed it."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """
        What a user reads on standard error, without the lines of the log.

        That the clock of a sandbox whose history stands still differs from ours is left out: `test_clocks` is about that.
        """
        return [line for line in self.err.splitlines() if not line.startswith("{") and CLOCKS not in line]

    @property
    def table(self) -> list[list[str]]:
        """The words of each line on standard output."""
        return [line.split() for line in self.out.splitlines()]

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


@dataclass(slots=True, kw_only=True)
class Program:
    """
    The program with a configuration for the providers of a sandbox and one warehouse.

    `settings` holds further keys of each connection's section by provider (None takes a key away), `http` those of its section,
    `environment` further variables. Without a `url` the warehouse is the embedded server.
    """

    sandbox: Sandbox
    url: str | None
    folder: Path
    providers: tuple[str, ...] = tuple(USUAL)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    http: dict[str, Any] = field(default_factory=lambda: {"backoff": 0.001, "max_backoff": 0.01})
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """Where the configuration stands."""
        return self.folder / "config.toml"

    def configure(self) -> None:
        """Write the configuration."""
        sections: dict[str, dict[str, Any]] = {"warehouse": {"url": self.url}, "http": self.http}
        for provider in self.providers:
            section = {
                "provider": provider,
                "token": self.sandbox.tokens[provider],
                "base_url": self.sandbox.url(provider),
                "rate_limit": "100000/s",
            }
            section |= self.sandbox.own.get(provider, {})
            sections[f"connections.{NAMES[provider]}"] = section | self.settings.get(provider, {})
        lines = []
        for name, section in sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items() if value is not None)]
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        """Return the whole command line."""
        return [sys.executable, "-m", "etl", "--config", str(self.config), *arguments]

    def surroundings(self) -> dict[str, str]:
        """Return the environment of the process: ours without settings of the program and without proxies."""
        kept = {name: value for name, value in os.environ.items() if not re.match(r"(?i)etl_|.*_proxy$", name)}
        return {**kept, "ETL_SECRETS_DIR": str(self.folder), **self.environment}

    def start(self, *arguments: str, **given: Any) -> subprocess.Popen[str]:
        """Start a command; the configuration is written anew."""
        self.configure()
        given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | given
        return subprocess.Popen(self.command(*arguments), env=self.surroundings(), text=True, encoding="utf-8", **given)

    def run(self, *arguments: str, **given: Any) -> Ended:
        """Run a command to its end: by a fork, at a fraction of a start's time, where nothing about the start is special."""
        if not given and may_fork(self.surroundings()):
            with suppress(Busy):
                self.fork(*arguments)
                return self.forked()
        return self.wait(self.start(*arguments, **given))

    def fork(self, *arguments: str, terminal: str | None = None) -> int:
        """Start a command by a fork (on a terminal) and return its process id; `forked` must follow. Raises Busy."""
        self.configure()
        return forks().start(self.command(*arguments)[3:], self.surroundings(), terminal=terminal)

    def forked(self) -> Ended:
        """Wait for the end of the command that was started by a fork."""
        return self.heard(*forks().end())

    def ask(self, *command: str) -> Ended:
        """Run a whole command line to its end, with the configuration as it stands."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return self.wait(subprocess.Popen(command, env=self.surroundings(), text=True, encoding="utf-8", **pipes))

    def wait(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for the end of a process; what it said holds no traceback, no secret and no personal data."""
        with process:
            out, err = process.communicate(timeout=PATIENCE)
        return self.heard(process.returncode, out, err)

    def heard(self, code: int, out: str | None, err: str | None) -> Ended:
        """Return how a process ended, once it is sure that it said nothing that it must not say."""
        ended = Ended(code=code, out=out or "", err=err or "")
        said = ended.out + ended.err
        secrets = [*self.sandbox.tokens.values(), *self.sandbox.other_tokens.values()]
        assert "Traceback" not in said, said
        assert [secret for secret in secrets if secret in said] == []
        assert _EMAIL.findall(said) + _PHONE.findall(said) == []
        return ended


def hourly(program: Program, *, calls: int = 30) -> None:
    """Let so many calls have been at each provider, one an hour, on pages of five; nothing else happens."""
    for provider in program.providers:
        program.settings.setdefault(provider, {}).update(per_page=5, details=False)  # these tests count pages
        for hours in range(1, calls + 1):
            program.sandbox.history.add(provider, at=program.sandbox.history.now - timedelta(hours=hours))


def held_and_true(program: Program) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return the ids that the warehouse holds, and those that live at the providers, by connection."""
    held: dict[str, set[str]] = {NAMES[provider]: set() for provider in program.providers}
    for connection, call_id in rows(program.url, "SELECT connection, call_id FROM calls"):
        held[connection].add(call_id)
    living = program.sandbox.history.living
    return held, {NAMES[provider]: {call.id for call in living(provider)} for provider in program.providers}


class Hook:
    """What a sandbox does at its n-th request from when it was armed, before that is answered: `on_request` of a Sandbox."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = 0
        self._provider: str | None = None
        self._act: Callable[[], object] = lambda: None

    def arm(self, number: int, act: Callable[[], object], *, provider: str | None = None) -> None:
        """Do `act` at the `number`-th request from now (to `provider`)."""
        with self._lock:
            self._left, self._act, self._provider = number, act, provider

    def __call__(self, entry: Any) -> None:
        with self._lock:
            if self._provider not in (None, entry.provider):
                return
            self._left -= 1
            now = self._left == 0
        if now:
            self._act()


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """Ask a database."""
    with psycopg.connect(url, autocommit=True) as session:
        return session.execute(query.encode()).fetchall()


def execute(url: str, statement: str) -> None:
    """Have a database do something, in a transaction of its own."""
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(statement.encode())


def wait_until(url: str, question: str) -> None:
    """Wait until a database answers a question with true, for what another process does in it. Raises TimeoutError."""
    until = monotonic() + PATIENCE
    with psycopg.connect(url, autocommit=True) as session:
        while session.execute(question.encode()).fetchone() != (True,):
            session.execute("SELECT pg_sleep(0.002)")
            if monotonic() > until:
                raise TimeoutError(f"Not true within {PATIENCE:.0f} seconds: {question}")


@contextmanager
def copied(server_url: str, url: str, template: str) -> Iterator[None]:
    """Make the database of `url` a copy of another one, and drop it afterwards."""
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield
    finally:
        execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def content(url: str, *, without: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    """Return every row of every table of the warehouse, without these columns."""
    tables = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('public', 'sync') ORDER BY 1"
    leave = "{" + ",".join(without) + "}"
    return {
        table: [row for (row,) in rows(url, f"SELECT to_jsonb(t) - '{leave}'::text[] AS r FROM {table} t ORDER BY 1")]
        for (table,) in rows(url, tables)
    }
