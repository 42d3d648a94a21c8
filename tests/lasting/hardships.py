"""
What databases do to their users, for real: each time what the sync says, and that the next one ends equal to the truth.

    python -m tests.lasting.hardships [disk] [wal] [sessions] [lock] [query]

`disk`: the disk of the tables becomes full in the middle of a sync, `wal`: that of the write-ahead log (both are small disks in
memory, which only root can make). `sessions`: all connections of the server are taken, before a sync and in the middle of one.
`lock`: somebody keeps a table locked for longer than the five minutes that a sync waits. `query`: an analyst's long query beside
a migration. Without names all of them, one after the other: seven minutes, most of them waiting for the lock.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from etl.embedded.binaries import find
from etl.sandbox import NO_LIMITS, Sandbox
from etl.warehouse import schema
from etl.warehouse.database import Database
from tests.acceptance.process import Ended, Hook, Program, execute, held_and_true, hourly, wait_until
from tests.acceptance.server import OwnServer
from tests.acceptance.stage import quiet_history
from tests.lasting.ticks import say

CONNECTIONS = 25
OPTIONS = ("listen_addresses=", f"max_connections={CONNECTIONS}", "wal_recycle=off", "min_wal_size=32MB", "max_wal_size=48MB")
PATIENCE = 900.0
"""Seconds after which something is wrong: a sync waits for a lock during five minutes, with each of its connections."""
PROVIDERS = ("tuple", "salpre")
LONG = "SELECT count(*) FROM calls, LATERAL (SELECT pg_sleep(30 + 0 * length(call_id))) AS slowly"
WAITS = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'call-warehouse'
    AND wait_event_type = 'Lock')
"""


class Stage:
    """A server of its own, on a small disk where that can be made, and the program before two providers."""

    def __init__(self, server: OwnServer, program: Program, hook: Hook, disk: Path | None) -> None:
        self.server, self.program, self.hook, self.disk = server, program, hook, disk

    def tell(self, what: str, ended: Ended, *, codes: tuple[int, ...] = (1,)) -> bool:
        """Say what the program said, and return whether that is wrong."""
        said = [re.sub(r"since [-0-9]+ [:0-9]+ UTC", "since …", line) for line in ended.lines]
        say(f"{what}: exit {ended.code}")
        for line in said:
            say(f"    {line}")
        return ended.code not in codes or (ended.code != 0 and len(said) < 2)

    def recovers(self) -> bool:
        """Sync once more; say how that went, and return whether anything is missing."""
        wrong = self.tell("  then sync", self.program.run("sync"), codes=(0,))
        held, true = held_and_true(self.program)
        say(f"    held {sum(map(len, held.values()))} of {sum(map(len, true.values()))}")
        return wrong or held != true

    def news(self) -> None:
        """Let more calls have been, so that the next sync has something to write."""
        self.program.sandbox.history.advance(timedelta(days=2))
        hourly(self.program)


@contextmanager
def stage() -> Iterator[Stage]:
    """Set everything up, with 30 calls at each provider on pages of five."""
    hook = Hook()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)  # the server runs under an account of its own where we are root
        disk = stack.enter_context(small_disk(folder / "disk", megabytes=200))
        server = stack.enter_context(OwnServer(find(None, wanted=None).folder, options=OPTIONS, place=disk))
        execute(server.url(), "CREATE ROLE etl LOGIN")
        execute(server.url(), "CREATE DATABASE warehouse OWNER etl")
        url = server.url("warehouse").replace("postgres@", "etl@")
        with Database(url) as database:
            schema.migrate(database)
        sandbox = stack.enter_context(Sandbox(quiet_history(), limits=NO_LIMITS, on_request=hook))
        program = Program(sandbox=sandbox, url=url, folder=folder, providers=PROVIDERS)
        hourly(program)
        yield Stage(server, program, hook, disk)


@contextmanager
def small_disk(place: Path, *, megabytes: int) -> Iterator[Path | None]:
    """Give a disk of its own, or None where nothing can be mounted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> None:
    """Fill a disk to the last byte."""
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return


def disk_full(on: Stage) -> bool:
    """The tables' disk is full in the middle of a sync."""
    if on.disk is None:
        say("disk: skipped, nothing can be mounted here")
        return False
    disk = on.disk
    on.hook.arm(4, lambda: fill(disk))
    wrong = on.tell("disk full in the middle of a sync", on.program.run("sync"))
    wrong |= on.tell("  sync while it is full", on.program.run("sync"))
    (disk / "filler").unlink()
    return on.recovers() or wrong


def wal_full(on: Stage) -> bool:
    """The disk of the write-ahead log is full: the server goes down."""
    with small_disk(on.program.folder / "wal", megabytes=96) as disk:
        if disk is None:
            say("wal: skipped, nothing can be mounted here")
            return False
        moved, place = disk / "pg_wal", on.server.data / "pg_wal"
        execute(on.server.url(), "CHECKPOINT")
        on.server.kill()
        time.sleep(2)
        subprocess.run(["cp", "-a", str(place), str(moved)], check=True)
        subprocess.run(["rm", "-r", str(place)], check=True)
        place.symlink_to(moved)
        on.server.start()
        on.news()

        def full() -> None:
            fill(disk)
            with psycopg.connect(on.server.url(), autocommit=True) as session, suppressed():
                for _ in range(20):  # until there is no segment left that was made in advance
                    session.execute("SELECT pg_logical_emit_message(true, 'test', 'something'), pg_switch_wal()")

        on.hook.arm(4, full)
        wrong = on.tell("disk of the log full in the middle of a sync", on.program.run("sync"))
        wrong |= on.tell("  status while it is down", on.program.run("status"), codes=(0, 1))
        (disk / "filler").unlink()
        restart(on.server)
        wrong |= on.recovers()
        on.server.kill()
        time.sleep(2)
        place.unlink()
        subprocess.run(["cp", "-a", str(moved), str(place)], check=True)
        on.server.start()
        return wrong


def restart(server: OwnServer) -> None:
    """Kill a server and start it again, once nothing of it is left."""
    server.kill()
    time.sleep(2)
    server.start()


@contextmanager
def suppressed() -> Iterator[None]:
    """Pass over it that the server is going down."""
    try:
        yield
    except psycopg.Error:
        return


def no_sessions(on: Stage) -> bool:
    """All connections are taken by others."""
    on.news()
    wrong = False
    with taken(on):
        wrong |= on.tell("no connection free before a sync", on.program.run("sync"))
    with ExitStack() as stack:
        on.hook.arm(3, lambda: stack.enter_context(taken(on)))
        wrong |= on.tell("no connection free from the middle of a sync on", on.program.run("sync"), codes=(0, 1))
    return on.recovers() or wrong


@contextmanager
def taken(on: Stage) -> Iterator[None]:
    """Take all connections that the server has left."""
    sessions: list[psycopg.Connection[tuple[object, ...]]] = []
    try:
        while True:
            sessions.append(psycopg.connect(on.server.url()))
    except psycopg.OperationalError:
        pass
    try:
        yield
    finally:
        for session in sessions:
            session.close()


def lock_held(on: Stage) -> bool:
    """Somebody's transaction keeps the calls locked for longer than a sync waits."""
    on.news()
    with psycopg.connect(on.server.url("warehouse"), application_name="a dashboard") as session:
        session.execute("LOCK TABLE calls")
        began = time.monotonic()
        waiting = on.program.start("sync")
        out, err = waiting.communicate(timeout=PATIENCE)
        wrong = on.tell("the calls locked by somebody", on.program.heard(waiting.returncode, out, err))
        say(f"    after {time.monotonic() - began:.0f} s")
    return on.recovers() or wrong


def long_query(on: Stage) -> bool:
    """An analyst's query runs while the schema is migrated."""
    with Database(str(on.program.url)) as database:
        schema.downgrade(database, "0001")
    with psycopg.connect(on.server.url("warehouse"), application_name="an analyst", autocommit=True) as session:
        waiting = on.program.start("sql", LONG)
        wait_until(
            on.server.url("warehouse"),
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%slowly%' AND wait_event = 'PgSleep')",
        )
        wrong = on.tell("etl migrate beside a long query", on.program.run("migrate"), codes=(0, 1))
        session.execute(sql.SQL("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
        waiting.kill()
        on.program.wait(waiting)
    wrong |= on.tell("  then etl migrate", on.program.run("migrate"), codes=(0,))
    return on.recovers() or wrong


HARDSHIPS: dict[str, Callable[[Stage], bool]] = {
    "disk": disk_full,
    "wal": wal_full,
    "sessions": no_sessions,
    "query": long_query,
    "lock": lock_held,
}


def main() -> int:
    """Play what was asked for; the exit code is 1 if anything is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*HARDSHIPS, []], default=[])
    options = parser.parse_args()
    with stage() as on:
        wrong = [name for name in options.names or HARDSHIPS if HARDSHIPS[name](on)]
    say(f"not as it has to be: {wrong or 'nothing'}; load {os.getloadavg()[0]:.1f}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
