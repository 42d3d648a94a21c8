"""Where the data and the socket may be, who can come in, and what the log holds."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from etl import embedded
from etl.errors import WarehouseError
from etl.warehouse.database import Database
from tests.embedded.conftest import as_root, as_user, ask, eventually, modes, runs, socket_dir


def test_nobody_else_can_connect(home: Path) -> None:
    """There is no network, and the socket lies in a folder of the server's account alone."""
    with embedded.server(data_dir=home) as server:
        assert ask(server, "SHOW listen_addresses") == ""
        folder = home / "socket"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "data").stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "server.log").stat().st_mode) == 0o600
        assert folder.stat().st_uid == (home / "data").stat().st_uid


@as_root
def test_another_account_of_the_system_is_refused(home: Path) -> None:
    """It cannot reach the socket; and where somebody opened the folder, the server itself refuses it."""
    with embedded.server(data_dir=home) as server:
        psql = [str(server.bin_dir / "psql"), server.conninfo, "-Atc", "SELECT 42"]

        def answer(uid: int) -> tuple[str, str]:
            told = subprocess.run(
                psql, capture_output=True, text=True, check=False, user=uid, group=uid, extra_groups=[], cwd="/"
            )
            return told.stdout.strip(), told.stderr

        assert answer(0) == ("42", "")
        assert "Permission denied" in answer(1)[1]
        for path in (home / "socket", *(home / "socket").iterdir()):
            path.chmod(0o777)
        said = answer(1)
        assert said[0] == "" and "Peer authentication failed" in said[1]


@pytest.mark.parametrize(
    "name", ["l" * 150, 'it\'s 100% "odd" $HOME `id` \\, ; : é & @'], ids=["150 characters", "odd characters"]
)
def test_a_path_that_cannot_be_a_sockets(place: Path, name: str) -> None:
    """A path too long for a socket, or with characters that mean something to somebody, serves; the socket is elsewhere."""
    home = place / name
    with embedded.server(data_dir=home) as first:
        folder = socket_dir(home)
        assert folder.parent == Path("/tmp")  # noqa: S108 - a folder of its own in there
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert ask(first, "SELECT 42") == 42
        with Database(first.url) as database, database.autocommit() as connection:
            assert connection.exec_driver_sql("SELECT 42").scalar_one() == 42
    with embedded.server(data_dir=home) as second:
        assert ask(second, "SELECT 42") == 42
    folder.rmdir()


def test_two_names_of_one_place(place: Path) -> None:
    """Whoever comes by a symbolic link finds the same server, also where its socket is elsewhere."""
    home = place / ("l" * 150)
    (place / "link").symlink_to(home)
    with embedded.server(data_dir=home) as first, embedded.server(data_dir=place / "link") as second:
        assert second == first
    socket_dir(home).rmdir()


def test_a_folder_of_somebody_else_where_the_socket_goes(place: Path) -> None:
    """A folder at the socket's place that is not private is refused, and left as it is."""
    home = place / ("l" * 150)
    folder = socket_dir(home)
    folder.mkdir()
    folder.chmod(0o777)
    before = modes(folder)
    try:
        with pytest.raises(WarehouseError, match="is not a private folder"), embedded.server(data_dir=home):
            pass
        assert modes(folder) == before
    finally:
        folder.rmdir()


def test_a_link_where_the_socket_goes(place: Path) -> None:
    """A symbolic link at the socket's place is refused, wherever it leads."""
    home = place / ("l" * 150)
    folder = socket_dir(home)
    folder.symlink_to(place)
    try:
        with pytest.raises(WarehouseError, match="is not a private folder"), embedded.server(data_dir=home):
            pass
    finally:
        folder.unlink()


@as_root
def test_a_socket_folder_that_root_had_just_made(home: Path) -> None:
    """Root was killed before it gave the folder to the account: the next start does."""
    (home / "socket").rmdir()
    (home / "socket").mkdir(mode=0o700)
    with embedded.server(data_dir=home) as server:
        assert ask(server, "SELECT 42") == 42


@as_user
def test_a_folder_that_we_cannot_write(place: Path) -> None:
    """The message names the folder and the reason."""
    place.chmod(0o555)
    with (
        pytest.raises(WarehouseError, match=f"{place}/home cannot be used: Permission denied"),
        embedded.server(data_dir=place / "home"),
    ):
        pass
    with pytest.raises(WarehouseError, match=f"{place} cannot be used: Permission denied"), embedded.server(data_dir=place):
        pass
    place.chmod(0o755)


def test_a_file_where_the_folder_should_be(place: Path) -> None:
    """The message names the folder and the reason."""
    (place / "file").touch()
    for home in (place / "file", place / "file" / "home"):
        with pytest.raises(WarehouseError, match=f"{home} cannot be used: Not a directory"), embedded.server(data_dir=home):
            pass


@as_root
def test_a_folder_that_the_account_cannot_enter(place: Path) -> None:
    """The message names it; no permission is changed, and nothing is made."""
    private = place / "private"
    (private / "inner").mkdir(parents=True)
    private.chmod(0o700)
    before = modes(place, private, private / "inner")
    for home in (private, private / "inner", private / "not" / "there"):
        with pytest.raises(WarehouseError, match="cannot enter"), embedded.server(data_dir=home):
            pass
    assert modes(place, private, private / "inner") == before
    assert sorted(private.rglob("*")) == [private / "inner"]


@as_root
def test_a_strict_umask(place: Path) -> None:
    """Folders that we make can be passed by the account, whatever the umask of root."""
    before = os.umask(0o077)
    try:
        with embedded.server(data_dir=place / "made" / "home") as server:
            assert ask(server, "SELECT 42") == 42
    finally:
        os.umask(before)


def test_other_files_in_the_folder_stay(home: Path) -> None:
    """Only what is ours is touched where the folder holds other things, too."""
    (home / "new-ideas").mkdir()
    (home / "new-ideas" / "first.txt").write_text("mine")
    with embedded.server(data_dir=home):
        pass
    assert (home / "new-ideas" / "first.txt").read_text() == "mine"


def test_the_log_holds_no_data(home: Path) -> None:
    """Neither a failing statement, nor a row that an error quotes, nor what a crashed session was at is logged."""
    with embedded.server(data_dir=home) as server:
        for statement in (
            "SELECT 'secret'::int",
            "SELECT secret",
            "CREATE TABLE t (name text PRIMARY KEY); INSERT INTO t VALUES ('secret'), ('secret')",
            "DO $$ BEGIN RAISE WARNING 'secret'; RAISE EXCEPTION 'secret'; END $$",
        ):
            with pytest.raises(psycopg.Error, match="secret"):
                ask(server, statement)
        with pytest.raises(psycopg.OperationalError):
            ask(server, "SELECT pg_sleep(0), 'secret', pg_terminate_backend(pg_backend_pid())")
        with closing(psycopg.connect(server.conninfo)) as session:
            session.execute("SELECT 'secret'")
            os.kill(session.info.backend_pid, signal.SIGKILL)
        eventually(lambda: "was terminated by signal 9" in (home / "server.log").read_text())
        with embedded.server(data_dir=home):
            pass
    assert not runs(server.pid)
    assert "secret" not in (home / "server.log").read_text()


def test_a_long_log_is_put_aside(home: Path) -> None:
    """A log of more than 10 MiB is kept once, under another name."""
    log = home / "server.log"
    with log.open("ab") as file:
        file.truncate(10 * 2**20 + 1)
    with embedded.server(data_dir=home):
        pass
    assert log.stat().st_size < 10_000
    assert (home / "server.log.1").stat().st_size == 10 * 2**20 + 1
