"""Knows one directory of data: how it is made, started and stopped, and what to say when that fails."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from etl.errors import WarehouseError
from etl.warehouse.embedded.account import Account
from etl.warehouse.embedded.binaries import Binaries

USER = DATABASE = "warehouse"
SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET = 100  # bytes; the system's limit is 107, some have 103
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.02
LOG_BYTES = 10 * 2**20

SETTINGS = {
    "listen_addresses": "",  # no network
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "2GB",  # a backfill writes much at once: fewer checkpoints
    "wal_compression": "on",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",  # solid state
    "jit": "off",  # costs more than it gives on queries as short as a dashboard's
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_statement": "none",  # statements hold personal data
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The data below `home`, the programs that fit it, and the account that owns it."""

    home: Path
    account: Account
    binaries: Binaries

    @property
    def data(self) -> Path:
        """The server's own directory."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.home / "server.log"

    @property
    def socket_dir(self) -> Path:
        """Where the socket is: beside the data, or in a private folder where that path is too long for a socket."""
        beside = self.home / "socket"
        if len(os.fsencode(beside / SOCKET)) <= LONGEST_SOCKET:
            return beside
        name = hashlib.blake2b(os.fsencode(self.home), digest_size=8).hexdigest()
        return Path(tempfile.gettempdir()) / f"call-warehouse-{self.account.uid}-{name}"

    def conninfo(self, database: str = DATABASE) -> str:
        """Return how libpq reaches it."""
        return psycopg.conninfo.make_conninfo(host=str(self.socket_dir), user=USER, dbname=database)

    def create(self) -> None:
        """Make the data, all of it or nothing. Raises WarehouseError."""
        for left in self.home.glob("new-*"):
            shutil.rmtree(left)
        made = Path(tempfile.mkdtemp(prefix="new-", dir=self.home))
        self.account.give(made)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if self.binaries.major >= 17 else []
        options: list[str | Path] = [
            "-U",
            USER,
            "-E",
            "UTF8",
            "--locale=C",
            *locale,
            "--auth=peer",
            "--data-checksums",
            "--no-instructions",
        ]
        answer = self.account.run([self.binaries.folder / "initdb", "-D", made, *options], cwd=self.home)
        if answer.returncode != 0:
            shutil.rmtree(made, ignore_errors=True)
            raise self._failed("made", answer.stderr)
        # Whoever owns the data may come in, and root where root started it; nobody else, even with the socket in hand.
        names = dict.fromkeys([self.account.name, *(["root"] if self.account.switch else [])])
        (made / "pg_hba.conf").write_text(f"local all {USER} peer map=owner\n", encoding="utf-8")
        (made / "pg_ident.conf").write_text("".join(f'owner "{name}" {USER}\n' for name in names), encoding="utf-8")
        made.rename(self.data)

    def start(self) -> None:
        """Start the server, in a session of its own, and wait until it answers. Raises WarehouseError."""
        self._make_socket_dir()
        self._turn_log()
        options = " ".join(f"-c {name}='{value}'" for name, value in SETTINGS.items())
        options += f" -c unix_socket_directories='{self.socket_dir}'"
        wait = ["-w", "-t", str(int(PATIENCE_SECONDS))]
        command: list[str | Path] = [
            self.binaries.folder / "pg_ctl",
            "start",
            "-D",
            self.data,
            *wait,
            "-l",
            self.log,
            "-o",
            options,
        ]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (answer := self.account.run(command, cwd=self.home)).returncode != 0:
            # The children of a postmaster that was killed need a moment to notice.
            if "shared memory block" not in self._last_words() or time.monotonic() > deadline:
                raise self._failed("started", answer.stderr)
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop the server; one that runs no more is left as it is."""
        self.account.run([self.binaries.folder / "pg_ctl", "stop", "-D", self.data, "-m", "fast", "-w"], cwd=self.home)

    def answers(self) -> bool:
        """Whether the server runs; waits while it starts or stops."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                psycopg.connect(self.conninfo("template1"), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if not any(word in str(error) for word in ("starting up", "shutting down", "recovery", "not yet accepting")):
                    return False
                if time.monotonic() > deadline:
                    raise self._failed("reached", "") from error
                time.sleep(POLL_SECONDS)
            else:
                return True

    def ensure_database(self) -> None:
        """Make the database where it is missing."""
        with psycopg.connect(self.conninfo("template1"), autocommit=True) as session:
            if session.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
                session.execute(f"CREATE DATABASE {DATABASE}".encode())

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return int((self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])

    def _make_socket_dir(self) -> None:
        folder = self.socket_dir
        try:
            folder.mkdir(mode=0o700)
            self.account.give(folder)
        except FileExistsError:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.account.uid or found.st_mode & 0o077:
                raise WarehouseError(
                    f"{folder} exists, but is not a private folder of {self.account.name}.",
                    safe="Nothing was started.",
                    hint="Somebody else made it: remove it, or set warehouse.data_dir to a shorter path.",
                ) from None

    def _turn_log(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        if not self.log.exists():
            self.log.touch(mode=0o600)
            self.account.give(self.log)

    def _last_words(self) -> str:
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 2_000))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def _failed(self, what: str, said: str) -> WarehouseError:
        words = (self._last_words() or said).strip().splitlines()[-3:]
        return WarehouseError(
            f"The embedded server could not be {what}: " + (" / ".join(word.strip() for word in words) or "it said nothing."),
            safe="Data that was committed stays.",
            hint=f"Its log is {self.log}. A server of your own is used as soon as warehouse.url is set.",
        )
