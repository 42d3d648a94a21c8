"""Knows the places where embedded servers are tried, and their users in other processes; nothing of them outlives a test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from etl import embedded
from etl.embedded.account import choose
from etl.embedded.binaries import find
from etl.embedded.cluster import Cluster

PATIENCE_SECONDS = 300.0
"""When a test that would wait for ever is given up; no test passes by it."""
ENDING = 0x4  # PF_EXITING in the kernel's include/linux/sched.h
ROOT = Path(__file__).parents[2]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can try this")
as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")


# ── Looking ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Whether a process runs; one that is ending, or that ended and that nobody asked about, does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():
        return True  # no Linux
    try:
        state, *_, flags = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:7]
    except (FileNotFoundError, ProcessLookupError):
        return False  # it ended after it was asked about
    # The kernel frees the files of an ending process, and with them its locks, a moment before it calls it ended.
    return state != "Z" and not int(flags) & ENDING


def ask(server: embedded.Server, query: str) -> object:
    """Return the one value that a query answers, or None where it answers nothing."""
    with psycopg.connect(server.conninfo, autocommit=True) as session:
        cursor = session.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def socket_dir(home: Path) -> Path:
    """Return where the socket of the server of a folder is."""
    account = choose(None, owner=None)
    return Cluster(home=home, account=account, binaries=find(None, wanted=None)).socket_dir


def modes(*paths: Path) -> dict[Path, tuple[int, int]]:
    """Return whose each path is, and what its permissions are."""
    return {path: (path.stat().st_uid, path.stat().st_mode) for path in paths}


# ── Places ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _place() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="etl-"))
    place.chmod(0o755)  # root's server runs under another account, which has to pass
    try:
        yield place
    finally:
        for file in place.rglob("postmaster.pid"):  # a test that failed may leave a server
            os.kill(int(file.read_text().split()[0]), signal.SIGQUIT)
            eventually(lambda file=file: not file.exists())  # type: ignore[misc]  # the default binds the loop's value
        shutil.rmtree(place)


@pytest.fixture
def place() -> Iterator[Path]:
    """Give an empty folder that the server's account can enter."""
    with _place() as place:
        yield place


@pytest.fixture(scope="session")
def made() -> Iterator[Path]:
    """Give a folder with a server's data, made once, to be copied."""
    with _place() as place:
        with embedded.server(data_dir=place / "home"):
            pass
        yield place / "home"


@pytest.fixture
def home(place: Path, made: Path) -> Path:
    """Give a folder with the data of a server that does not run."""
    subprocess.run(["cp", "-a", str(made), str(place / "home")], check=True)
    return place / "home"


# ── Users ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class User:
    """A process that uses the server; `server` is the process id of the one it found or started."""

    process: subprocess.Popen[str]
    server: int

    def leave(self) -> None:
        """End as programs end."""
        self.process.communicate("\n", timeout=PATIENCE_SECONDS)
        assert self.process.returncode == 0

    def send(self, number: int) -> None:
        """Send a signal to the process and all that it began (as a terminal does), and wait for the end."""
        os.killpg(self.process.pid, number)
        self.process.communicate(timeout=PATIENCE_SECONDS)


@dataclass
class Users:
    """Starts users of a server, each in a process of its own."""

    stack: ExitStack = field(default_factory=ExitStack)

    def begin(self, home: Path) -> subprocess.Popen[str]:
        """Start a user; what comes of it is not waited for."""
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("user.py")), str(home)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.stack.callback(_end, process)
        return process

    def join(self, home: Path) -> User:
        """Start a user, and wait until the server answers it."""
        process = self.begin(home)
        assert process.stdout is not None
        return User(process=process, server=int(process.stdout.readline()))


@pytest.fixture
def users(place: Path) -> Iterator[Users]:
    """Give a way to start users; those that a test leaves behind are killed before the place goes."""
    users = Users()
    with users.stack:
        yield users


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
