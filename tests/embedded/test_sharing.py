"""The server starts with its first user, is shared, stops with its last, and outlives no accident without being found."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import psycopg
import pytest

from etl import embedded
from etl.embedded.account import choose
from etl.errors import WarehouseError
from tests.embedded.conftest import PATIENCE_SECONDS, ROOT, Users, ask, eventually, runs


def test_data_is_kept_from_one_start_to_the_next(place: Path) -> None:
    """The first start makes the data in a folder that was not there; the end stops the server; the next start finds the data."""
    home = place / "not" / "there" / "yet"
    with embedded.server(data_dir=home) as first:
        ask(first, "CREATE TABLE kept AS SELECT 42 AS answer")
        assert runs(first.pid)
    assert not runs(first.pid)
    with embedded.server(data_dir=home) as second:
        assert ask(second, "SELECT answer FROM kept") == 42
        assert second.pid != first.pid
    assert sorted(path.name for path in home.iterdir() if path.name != "programs") == [
        "data",
        "gate.lock",
        "server.lock",
        "server.log",
        "socket",
        "users.lock",
    ]


def test_two_processes_share_one_server(home: Path, users: Users) -> None:
    """The second process joins; the first may leave; the last one stops the server."""
    first, second = users.join(home), users.join(home)
    assert first.server == second.server
    first.leave()
    assert runs(second.server)
    with embedded.server(data_dir=home) as third:
        assert third.pid == second.server
    assert runs(second.server)
    second.leave()
    assert not runs(second.server)


def test_processes_that_start_at_once_share_one_server(place: Path, users: Users) -> None:
    """Of several processes that find no data, one makes it and starts the server; the others join."""
    begun = [users.begin(place / "home") for _ in range(3)]
    servers = {process.stdout.readline() for process in begun if process.stdout is not None}
    assert len(servers) == 1
    for process in begun:
        process.communicate("\n")
    assert [process.returncode for process in begun] == [0, 0, 0]
    assert not runs(int(servers.pop()))


def test_threads_of_one_process_share_one_server(home: Path) -> None:
    """Two threads use the server at once; it stops when both have left."""
    together = Barrier(2, timeout=PATIENCE_SECONDS)

    def use(_: int) -> int:
        with embedded.server(data_dir=home) as server:
            together.wait()
            return server.pid

    with ThreadPoolExecutor(2) as pool:
        pids = set(pool.map(use, range(2)))
    assert len(pids) == 1
    assert not runs(pids.pop())


def test_a_killed_user_leaves_the_server_to_the_next(home: Path, users: Users) -> None:
    """A killed process cannot stop the server; the next user joins it, and stops it."""
    killed = users.join(home)
    killed.send(signal.SIGKILL)
    assert runs(killed.server)
    with embedded.server(data_dir=home) as server:
        assert server.pid == killed.server
    assert not runs(killed.server)


def test_a_killed_server_is_started_again_with_its_data(home: Path) -> None:
    """After kill -9 of the server the next start recovers what was committed."""
    with embedded.server(data_dir=home) as first:
        ask(first, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(first.pid, signal.SIGKILL)
    with embedded.server(data_dir=home) as second:
        assert ask(second, "SELECT answer FROM kept") == 42


def test_a_killed_server_is_started_again_beside_a_user_of_the_old_one(home: Path, users: Users) -> None:
    """A user who lost the server does not keep others from starting it; the last of all stops it."""
    first = users.join(home)
    os.kill(first.server, signal.SIGKILL)
    second = users.join(home)
    assert second.server != first.server
    second.leave()
    assert runs(second.server)
    first.leave()
    assert not runs(second.server)


def test_killed_while_the_data_was_made(place: Path, users: Users) -> None:
    """What a killed process left half made is removed, and nothing else of a similar name is."""
    home = place / "home"
    killed = users.begin(home)
    eventually(lambda: any(home.glob("unfinished-data-*/global")))
    os.killpg(killed.pid, signal.SIGKILL)
    (home / "unfinished-thoughts").mkdir()
    assert not (home / "data").exists()
    with embedded.server(data_dir=home) as server:
        assert ask(server, "SELECT 1") == 1
    assert not list(home.glob("unfinished-data-*"))
    assert (home / "unfinished-thoughts").is_dir()


def test_killed_while_the_server_started(home: Path, users: Users) -> None:
    """A server that a killed process had just begun is joined by the next one, not fought."""
    killed = users.begin(home)
    eventually((home / "data" / "postmaster.pid").exists)
    os.killpg(killed.pid, signal.SIGKILL)
    with embedded.server(data_dir=home) as server:
        assert ask(server, "SELECT 1") == 1
    assert not runs(server.pid)


def test_ctrl_c_stops_one_user_only(home: Path, users: Users) -> None:
    """Ctrl-C, which goes to all processes of a terminal, ends the user who started the server; the other one keeps it."""
    first, second = users.join(home), users.join(home)
    first.send(signal.SIGINT)
    assert first.process.returncode == -signal.SIGINT
    assert runs(second.server)
    with embedded.server(data_dir=home) as server:
        assert server.pid == second.server
    second.send(signal.SIGINT)
    assert not runs(second.server)


@pytest.mark.parametrize(
    "ending",
    [
        "with opened as server:\n    print(server.pid)\n    sys.exit(5)",
        "print(opened.__enter__().pid)\nsys.exit(5)",
        "thread = Thread(target=use, daemon=True)\nthread.start()\nready.wait()\nsys.exit(5)",
    ],
    ids=["in the block", "block never left", "in a daemon thread"],
)
def test_the_end_of_the_program_stops_the_server(home: Path, ending: str) -> None:
    """However the interpreter comes to its end, a server without users stops."""
    program = f"""
import sys, time
from pathlib import Path
from threading import Event, Thread
from etl import embedded
ready = Event()
def use():
    with opened as server:
        print(server.pid)
        ready.set()
        Event().wait()
opened = embedded.server(data_dir=Path(sys.argv[1]))
{ending}
"""
    ended = subprocess.run([sys.executable, "-c", program, str(home)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (5, "")
    assert not runs(int(ended.stdout))


def test_an_exception_in_the_block_stops_the_server(home: Path) -> None:
    """An exception passes through, and the server stops."""
    with pytest.raises(LookupError, match="mine"), embedded.server(data_dir=home) as server:
        raise LookupError("mine")
    assert not runs(server.pid)


def test_a_lock_file_with_the_process_id_of_a_stranger(home: Path) -> None:
    """In containers process ids come again: a lock file that a killed server left may name a program that is none."""
    account = choose(None, owner=None)
    with embedded.server(data_dir=home) as first:
        lock = home / "data" / "postmaster.pid"
        text = lock.read_text()
        os.kill(first.pid, signal.SIGKILL)
    switch = {"user": account.uid, "group": account.gid, "extra_groups": []} if account.switch else {}
    with subprocess.Popen(["sleep", "600"], cwd="/", **switch) as stranger:  # type: ignore[call-overload]  # a mapping of options
        try:
            lock.write_text(f"{stranger.pid}\n" + text.partition("\n")[2])
            (home / "socket" / ".s.PGSQL.5432.lock").write_text(lock.read_text())
            with embedded.server(data_dir=home) as second:
                assert ask(second, "SELECT 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_the_folder_removed_while_the_server_runs(home: Path) -> None:
    """Whoever removes the folder under a running server gets no second error at the end."""
    with embedded.server(data_dir=home) as server:
        shutil.rmtree(home, ignore_errors=True)  # the server may write meanwhile
        shutil.rmtree(home, ignore_errors=True)
    os.kill(server.pid, signal.SIGQUIT)
    eventually(lambda: not runs(server.pid))


def test_a_full_server_counts_as_running(home: Path) -> None:
    """A server that has no connection left is not started a second time, nor stopped; the message says what it said."""
    with embedded.server(data_dir=home) as server, ExitStack() as sessions:
        for _ in range(int(str(ask(server, "SHOW max_connections")))):
            sessions.enter_context(psycopg.connect(server.conninfo))
        with pytest.raises(WarehouseError, match=r"could not be reached: .*too many clients"), embedded.server(data_dir=home):
            pass
        assert runs(server.pid)
