"""One data directory: creating, starting and stopping its server, and the errors when that fails."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import select
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from etl.embedded.account import PATIENCE_SECONDS, Account
from etl.embedded.binaries import Binaries
from etl.embedded.everyday import give_up_power
from etl.embedded.failures import failed
from etl.embedded.users import open_lock, take
from etl.errors import WarehouseError

USER = DATABASE = "warehouse"
SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET = 100  # bytes; the system's limit is 107, some have 103
SETTLE_SECONDS = 10.0
POLL_SECONDS = 0.01
LOG_BYTES = 10 * 2**20
_PLAIN = re.compile(r"[\w./+-]+", re.ASCII)
_UNFINISHED = "unfinished-data-"

SETTINGS = {
    "listen_addresses": "",  # no network
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "superuser_reserved_connections": "0",  # nobody can connect as one
    "shared_buffers": "128MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "2GB",  # a backfill writes a lot: fewer checkpoints
    "wal_compression": "on",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",  # solid state
    "jit": "off",  # costs more than it saves on short queries
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements, and errors that quote a row, contain personal data; so only the server's own state is logged.
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_checkpoints": "off",
    "log_autovacuum_min_duration": "-1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The data directory below `home`, the programs that fit it, and the account that owns it."""

    home: Path
    account: Account
    binaries: Binaries

    @property
    def data(self) -> Path:
        """The server's own directory."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "server.log"

    @property
    def running(self) -> Path:
        """The file that the server's processes keep locked; the kernel releases the lock when the last one has ended."""
        return self.home / "server.lock"

    @property
    def socket_dir(self) -> Path:
        """
        The folder of the socket: beside the data, or a private folder if that path cannot be used.

        A path cannot if it is too long, or holds characters with a meaning in an address (libpq splits servers at a comma).
        """
        beside = self.home / "socket"
        if _PLAIN.fullmatch(str(beside)) and len(os.fsencode(beside / SOCKET)) <= LONGEST_SOCKET:
            return beside
        name = hashlib.blake2b(os.fsencode(self.home), digest_size=8).hexdigest()
        # Not TMPDIR, so that all users of the data find the same folder. That it is private is checked.
        return Path("/tmp") / f"call-warehouse-{self.account.uid}-{name}"  # noqa: S108

    def conninfo(self, database: str = DATABASE) -> str:
        """Return libpq's connection string for the server."""
        return psycopg.conninfo.make_conninfo(host=str(self.socket_dir), user=USER, dbname=database)

    def create(self, *, gate: int) -> None:
        """
        Create the data directory, as a whole or not at all.

        The programs that do it keep the file `gate` open, and with it the lock, even if we are killed meanwhile.
        Raises WarehouseError, or OSError if the folder cannot be used.
        """
        for left in self.home.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left)
        made = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.home))
        self.account.give(made)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if self.binaries.major >= 17 else []
        options = ["-U", USER, "-E", "UTF8", "--locale=C", *locale, "--auth=peer", "--data-checksums", "--no-instructions"]
        initdb: list[str | Path] = [self.binaries.folder / "initdb", "-D", made]
        answer = self.account.run([*initdb, *options, "--no-sync"], cwd=self.home, keep=[gate])
        if answer.returncode == 0:
            # Only the owner of the data and root may connect, even if others can reach the socket.
            names = dict.fromkeys([self.account.name, "root"])
            self.account.write(made / "pg_hba.conf", f"local all {USER} peer map=owner\n")
            self.account.write(made / "pg_ident.conf", "".join(f'owner "{name}" {USER}\n' for name in names))
            answer = self.account.run([*initdb, "--sync-only"], cwd=self.home, keep=[gate])
        if answer.returncode != 0:
            shutil.rmtree(made, ignore_errors=True)
            raise self._failed("made", answer.stderr)
        made.rename(self.data)
        _sync(self.home)

    def start(self) -> None:
        """Start the server, detached from this process, and wait until it answers. Raises WarehouseError."""
        self._make_socket_dir()
        self._forget_stranger()
        settings = {**SETTINGS, "unix_socket_directories": str(self.socket_dir)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command: list[str | Path] = [self.binaries.folder / "postgres", "-D", self.data, *options]
        deadline = time.monotonic() + SETTLE_SECONDS
        while (said := self._start_once(command)) is not None:
            # The children of a killed server end with a delay; and a server started by a killed process may not answer yet.
            if not any(words in said for words in ("shared memory block", "already exists")) or time.monotonic() > deadline:
                raise self._failed("started", said)
            if self.answers():
                return
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop the server and wait for its end; does nothing if it is not running. Raises WarehouseError."""
        pg_ctl = self.binaries.folder / "pg_ctl"
        told = self.account.run([pg_ctl, "stop", "-D", self.data, "-m", "fast", "--no-wait"], cwd=self.home)
        if told.returncode != 0:
            return
        # pg_ctl itself waits for a minute at most, and only until the lock file is gone, not the process.
        deadline = time.monotonic() + PATIENCE_SECONDS
        running = open_lock(self.running)
        try:
            while not take(running, alone=True):
                if time.monotonic() > deadline:
                    raise self._failed("stopped", f"it was still stopping after {PATIENCE_SECONDS:.0f} seconds.")
                time.sleep(POLL_SECONDS)
        finally:
            os.close(running)

    def answers(self) -> bool:
        """Whether the server is running; waits while it starts, recovers or stops. Raises WarehouseError."""
        address = f"{self.conninfo('template1')} connect_timeout=10".encode()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (told := psycopg.pq.PGconn.ping(address)) == psycopg.pq.Ping.REJECT:
            if time.monotonic() > deadline:
                raise self._failed("reached", f"it was still starting or stopping after {PATIENCE_SECONDS:.0f} seconds.")
            time.sleep(POLL_SECONDS)
        return told == psycopg.pq.Ping.OK

    def give_up_power(self) -> None:
        """Make the role that everybody uses one without power. Nobody else may be connected. Raises WarehouseError."""
        try:
            give_up_power(self.conninfo, user=USER)
        except psycopg.Error as error:
            raise self._failed("prepared", str(error)) from error

    def ensure_database(self) -> None:
        """Create the database if it is missing. Raises WarehouseError."""
        try:
            with psycopg.connect(self.conninfo("template1"), autocommit=True) as session:
                if session.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
                    session.execute(f"CREATE DATABASE {DATABASE}".encode())
        except psycopg.Error as error:
            raise self._failed("reached", str(error)) from error

    @property
    def pid(self) -> int:
        """The server's process id from its lock file. Raises OSError if there is none."""
        return int((self.data / "postmaster.pid").read_text(encoding="utf-8").split()[0])

    def _start_once(self, command: Sequence[str | Path]) -> str | None:
        """Start the server once; return None when it answers, or its log if it ended before that."""
        self._turn_log()
        log = os.open(self.log, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        before = os.fstat(log).st_size
        running = open_lock(self.running)
        ended, alive = os.pipe()  # the server keeps `alive` open, so `ended` becomes readable when it ends
        try:
            take(running, alone=False)  # the server inherits it
            # The shell ends at once. Paths are passed as its arguments; pg_ctl would paste them into a shell command.
            shell = ["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh"]
            pid = int(self.account.run([*shell, *command], cwd=self.home, log=log, keep=[alive, running]).stdout)
            os.close(alive)
            alive = -1
            try:
                if self._answers_before(ended):
                    return None
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
                raise
            return os.pread(log, 10_000, before).decode("utf-8", "replace")
        finally:
            for file in (log, running, ended, alive):
                if file != -1:
                    os.close(file)

    def _answers_before(self, ended: int) -> bool:
        """Wait until the server answers; return False if the other end of the pipe `ended` is closed before."""
        end = select.poll()
        end.register(ended, select.POLLHUP)
        while not end.poll(POLL_SECONDS * 1_000):
            if self.answers():
                return True
        return False

    def _forget_stranger(self) -> None:
        """Remove the lock files of a dead server if another program has its process id now, as happens in containers."""
        try:
            if Path(f"/proc/{self.pid}/cwd").samefile(self.data):
                return
        except (OSError, ValueError, IndexError):
            return  # no lock file or process, or another account's process: PostgreSQL handles these
        for left in (self.data / "postmaster.pid", self.socket_dir / f"{SOCKET}.lock"):
            left.unlink(missing_ok=True)

    def _make_socket_dir(self) -> None:
        folder = self.socket_dir
        try:
            folder.mkdir(mode=0o700)
            self.account.give(folder)
        except FileExistsError:
            found = folder.lstat()
            ours = found.st_uid in (self.account.uid, os.geteuid())
            if not stat.S_ISDIR(found.st_mode) or not ours or found.st_mode & 0o077:
                raise WarehouseError(
                    f"{folder} exists, but is not a private folder of {self.account.name}.",
                    safe="Nothing was started.",
                    hint="Somebody else made it: remove it, or set warehouse.data_dir to a shorter path.",
                ) from None
            self.account.give(folder)  # in case root was killed before it could do this

    def _turn_log(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        if not self.log.exists():
            self.log.touch(mode=0o600)
            self.account.give(self.log)

    def _failed(self, what: str, said: str) -> WarehouseError:
        return failed(what, said, home=self.home, log=self.log)


def _sync(folder: Path) -> None:
    """Flush a folder's contents to disk."""
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
