"""Shares the embedded server: the first process starts it, others join it, the last one stops it."""

from __future__ import annotations

import atexit
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from etl.embedded.account import Account, choose
from etl.embedded.binaries import find, for_account
from etl.embedded.cluster import DATABASE, USER, Cluster
from etl.embedded.failures import no_space
from etl.embedded.reader import ensure_role
from etl.embedded.users import Users
from etl.errors import WarehouseError


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server: its addresses for SQLAlchemy (`url`) and libpq (`conninfo`), and where its programs and data are."""

    url: str
    conninfo: str
    bin_dir: Path
    data_dir: Path
    pid: int
    version: str


def default_data_dir() -> Path:
    """Return the user's data directory for the warehouse, or for root the system's."""
    import platformdirs

    if sys.platform.startswith("linux") and os.geteuid() == 0:
        return Path("/var/lib/call-warehouse")
    return Path(platformdirs.user_data_dir("call-warehouse", appauthor=False))


@contextmanager
def server(
    *, data_dir: Path | None = None, bin_dir: Path | None = None, run_as: str | None = None, reader: str | None = None
) -> Iterator[Server]:
    """
    Start the server of a directory, or join it, for the duration of the block.

    `bin_dir` is a folder of PostgreSQL programs, `run_as` the account that root's server runs under, `reader` a role that is
    made if it is missing; whoever may connect at all may also connect as it.
    Raises WarehouseError if it cannot be created, started or reached, UsageError if a setting cannot be followed.
    """
    if sys.platform == "win32":
        raise WarehouseError(
            "The embedded server does not run on Windows yet.",
            safe="Nothing was started.",
            hint="Set warehouse.url to a server of your own.",
        )
    home = (data_dir or default_data_dir()).expanduser().resolve()
    try:
        account = choose(run_as, owner=_owner(home))
        _prepare(home, account)
        users = Users(home)
        with users.alone() as gate:
            cluster = _opened(home, account, bin_dir, gate=gate)
            running = _joined(cluster, users, reader, gate=gate)
    except OSError as error:
        raise _unusable(home, error) from error

    def leave() -> None:
        try:
            with users.alone():
                if users.leave():
                    cluster.stop()
        except FileNotFoundError:
            return  # the folder was removed: PostgreSQL notices within a minute and ends

    atexit.register(leave)  # the block may never be left: in an abandoned generator, or a daemon thread
    try:
        yield running
    finally:
        atexit.unregister(leave)
        leave()


def _joined(cluster: Cluster, users: Users, reader: str | None, *, gate: int) -> Server:
    """Become a user of the server, starting it if it is not running."""
    users.enter()
    try:
        runs = cluster.answers()
        if reader is not None:
            ensure_role(cluster, reader, runs=runs, gate=gate)
        if not runs:
            cluster.start()
            cluster.give_up_power()
        cluster.ensure_database()
        return Server(
            url=f"postgresql+psycopg://{USER}@/{DATABASE}?host={quote(str(cluster.socket_dir), safe='')}",
            conninfo=cluster.conninfo(),
            bin_dir=cluster.binaries.folder,
            data_dir=cluster.home,
            pid=cluster.pid,
            version=cluster.binaries.version,
        )
    except BaseException:
        if users.leave():
            cluster.stop()
        raise


def _owner(home: Path) -> int | None:
    """Return the user id that owns the data; None if there is no data yet, or none that we can see."""
    try:
        return (home / "data").stat().st_uid
    except (FileNotFoundError, PermissionError):
        return None


def _opened(home: Path, account: Account, bin_dir: Path | None, *, gate: int) -> Cluster:
    """Return the cluster with fitting programs, creating its data if there is none."""
    wanted = _version(home / "data" / "PG_VERSION")
    binaries = for_account(find(bin_dir, wanted=wanted), account, keep_in=home / "programs")
    cluster = Cluster(home=home, account=account, binaries=binaries)
    if wanted is None:
        cluster.create(gate=gate)
    return cluster


def _version(marker: Path) -> int | None:
    """Return the major version of PostgreSQL that created the data (9 for 9.6); None if there is no data."""
    try:
        text = marker.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    number = text.partition(".")[0]
    if not (number.isascii() and number.isdigit()):
        raise WarehouseError(
            f"{marker} names no version of PostgreSQL: the data is damaged, or not PostgreSQL's.",
            safe="Nothing was started, and nothing was changed.",
            hint="Restore the folder from a copy; or set warehouse.data_dir to a new folder, and run etl restore FILE "
            "(of a backup) or etl sync.",
        )
    return int(number)


def _prepare(home: Path, account: Account) -> None:
    """Create the directory and check that the server's account can reach it; other folders' permissions are not changed."""
    missing = [folder for folder in (home, *home.parents) if not folder.exists()]
    there = missing[-1].parent if missing else home
    if account.switch and not account.may("x", there):
        raise WarehouseError(
            f"The account {account.name}, under which root's embedded server runs, cannot enter {there}.",
            safe="Nothing was changed.",
            hint="Set warehouse.data_dir to a folder that it can reach, such as /var/lib/call-warehouse.",
        )
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        if account.switch:
            folder.chmod(0o755)  # whatever the umask: the account has to get through
    if not os.access(home, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _unusable(home: Path, error: OSError) -> WarehouseError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_space(home, "The embedded server's folder cannot be used")
    return WarehouseError(
        f"The embedded server's folder {home} cannot be used: {error.strerror or error}.",
        safe="Nothing was started.",
        hint="Set warehouse.data_dir to a folder that you can write, or warehouse.url to a server of your own.",
    )
