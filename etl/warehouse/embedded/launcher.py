"""Knows how the embedded server is used: the first user starts it, others join, the last one stops it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from etl.errors import WarehouseError
from etl.warehouse.embedded.account import Account, choose
from etl.warehouse.embedded.binaries import find, for_account
from etl.warehouse.embedded.cluster import DATABASE, USER, Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server: how SQLAlchemy (`url`) and libpq (`conninfo`) reach it, where its programs and data are."""

    url: str
    conninfo: str
    bin_dir: Path
    data_dir: Path
    pid: int
    version: str


def default_data_dir() -> Path:
    """Return the user's data directory for the warehouse; for root the system's."""
    import platformdirs

    if sys.platform.startswith("linux") and os.geteuid() == 0:
        return Path("/var/lib/call-warehouse")
    return Path(platformdirs.user_data_dir("call-warehouse", appauthor=False))


@contextmanager
def server(*, data_dir: Path | None = None, bin_dir: Path | None = None, run_as: str | None = None) -> Iterator[Server]:
    """
    Start the server of a directory, or join it, for as long as the block lasts.

    `bin_dir` names a folder of PostgreSQL programs, `run_as` the account that root's server runs under.
    Raises WarehouseError where it cannot be made, started or reached, UsageError where a setting cannot be followed.
    """
    if sys.platform == "win32":
        raise WarehouseError(
            "The embedded server does not run on Windows yet.", safe="Nothing was started.", hint="Set warehouse.url."
        )
    from etl.warehouse.embedded.users import Users

    home = (data_dir or default_data_dir()).expanduser().absolute()
    account = choose(run_as)
    _prepare(home, account)
    users = Users(home)
    with users.alone():
        cluster = _opened(home, account, bin_dir)
        users.enter()
        try:
            if not cluster.answers():
                cluster.start()
            cluster.ensure_database()
            running = Server(
                url=f"postgresql+psycopg://{USER}@/{DATABASE}?host={quote(str(cluster.socket_dir), safe='')}",
                conninfo=cluster.conninfo(),
                bin_dir=cluster.binaries.folder,
                data_dir=home,
                pid=cluster.pid,
                version=cluster.binaries.version,
            )
        except BaseException:
            if users.leave():
                cluster.stop()
            raise
    try:
        yield running
    finally:
        with users.alone():
            if users.leave():
                cluster.stop()


def _opened(home: Path, account: Account, bin_dir: Path | None) -> Cluster:
    """Return the cluster with the programs that fit it; make its data where there is none."""
    marker = home / "data" / "PG_VERSION"
    wanted = int(marker.read_text(encoding="utf-8")) if marker.exists() else None
    binaries = for_account(find(bin_dir, wanted=wanted), account, keep_in=home / "programs")
    cluster = Cluster(home=home, account=account, binaries=binaries)
    if wanted is None:
        try:
            cluster.create()
        except OSError as error:
            raise _unusable(home, str(error.strerror)) from error
    return cluster


def _prepare(home: Path, account: Account) -> None:
    """Make the directory, and see that the server's account can reach it; permissions of others' folders are not changed."""
    try:
        if not home.is_dir():
            home.mkdir(parents=True, mode=0o755 if account.switch else 0o700)
        if not os.access(home, os.W_OK | os.X_OK):
            raise _unusable(home, "Permission denied")
    except OSError as error:
        raise _unusable(home, str(error.strerror)) from error
    if account.switch and not account.may("x", home):
        raise WarehouseError(
            f"The account {account.name}, under which root's embedded server runs, cannot enter {home}.",
            safe="Nothing was changed.",
            hint="Set warehouse.data_dir to a folder that it can reach, such as /var/lib/call-warehouse.",
        )


def _unusable(home: Path, why: str) -> WarehouseError:
    return WarehouseError(
        f"The embedded server's folder {home} cannot be used: {why}.",
        safe="Nothing was started.",
        hint="Set warehouse.data_dir to a folder that you can write, or warehouse.url to a server of your own.",
    )
