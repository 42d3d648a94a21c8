"""Knows a Postgres server that a test may hurt: its own, durable, started and killed at will."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psycopg

STARTS = 500
STILL_THERE = "is still in use"
"""What a server says whose data a process of the one before it has not let go of yet."""


class OwnServer:
    """
    A server in a directory of its own, a context manager; `programs` is the folder of its programs.

    With a `password` its superuser `postgres` needs it, otherwise everybody is trusted. `options` are settings of the server.
    With a `primary` it is a standby of that one, which it follows a moment behind until it is promoted. Its directory is made in
    `place`, if one is given.
    """

    def __init__(
        self,
        programs: Path,
        *,
        password: str | None = None,
        options: Sequence[str] = ("listen_addresses=",),
        primary: OwnServer | None = None,
        place: Path | None = None,
    ) -> None:
        self._programs = programs
        self._options = options
        self._password = password
        self._primary = primary
        self._home = Path(tempfile.mkdtemp(prefix="etl-own-", dir=place))
        self._owner = "nobody" if os.geteuid() == 0 else None  # the server refuses to run as root
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if self._owner:
            shutil.chown(self._home, self._owner)
        if self._primary is not None:
            self._copy(self._primary)
            self.start()
            return self
        secret = self._home / "secret"
        secret.write_text(self._password or "unused", encoding="utf-8")
        if self._owner:
            shutil.chown(secret, self._owner)
        trust = "scram-sha-256" if self._password else "trust"
        command = [*self._program("initdb"), "-U", "postgres", "-A", trust, "-E", "UTF8", "--locale=C", f"--pwfile={secret}"]
        subprocess.run(command, check=True, user=self._owner, stdout=subprocess.DEVNULL, cwd=self._home)
        self.start()
        return self

    def __exit__(self, *ended: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)  # at once; what is open is rolled back at a start that never comes
            self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)

    def url(self, database: str = "postgres", *, password: str | None = None) -> str:
        """Return the address of a database on it."""
        user = f"postgres:{password}" if password else "postgres"
        port = next((option.removeprefix("port=") for option in self._options if option.startswith("port=")), "5432")
        return f"postgresql://{user}@/{database}?host={self._home}&port={port}"

    @property
    def data(self) -> Path:
        """Where its data is."""
        return self._home / "data"

    @property
    def log(self) -> Path:
        """What it said since it was made."""
        return self._home / "log"

    def own(self, *files: Path) -> None:
        """Make files the server's own, and private."""
        for file in files:
            file.chmod(0o600)
            if self._owner:
                shutil.chown(file, self._owner)

    def start(self) -> None:
        """Start it, and return once it accepts connections; again while something of the one that was killed still goes on."""
        for _ in range(STARTS):
            said = self.log.stat().st_size if self.log.exists() else 0
            self._launch()
            with suppress(AssertionError):
                self.wait_until_ready()
                return
            if STILL_THERE not in self.log.read_text()[said:]:
                break
            time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def _launch(self) -> None:
        given = [part for option in self._options for part in ("-c", option)]
        options = (*given, "-c", "fsync=on", "-k", str(self._home))
        with self.log.open("ab") as log:
            command = [*self._program("postgres"), *options]
            self._process = subprocess.Popen(command, user=self._owner, stdout=log, stderr=log, cwd=self._home)

    def wait_until_ready(self) -> None:
        """Return once it accepts connections, however long its recovery takes."""
        while True:
            assert self._process is not None and self._process.poll() is None, self.log.read_text()
            try:
                psycopg.connect(self.url(password=self._password)).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """Kill everything that belongs to it at once, as a machine does that loses its power."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # so that it has no further child meanwhile
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
        pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
        for pid in [self._process.pid, *(pid for pid, parent in pairs if parent == self._process.pid)]:
            with suppress(ProcessLookupError):  # a client has left meanwhile
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def promote(self) -> None:
        """Make a standby a server of its own, that takes writes."""
        with psycopg.connect(self.url(password=self._password), autocommit=True) as session:
            assert session.execute("SELECT pg_promote()").fetchone() == (True,)

    def _copy(self, primary: OwnServer) -> None:
        """Copy another server's data, with what makes this one follow it."""
        command = [*self._program("pg_basebackup"), "-d", primary.url(), "-R", "-c", "fast", "--no-sync"]
        subprocess.run(command, check=True, user=self._owner, cwd=self._home)

    def _program(self, name: str) -> list[str]:
        return [str(self._programs / name), "-D", str(self._home / "data")]
