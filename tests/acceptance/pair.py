"""Knows two Postgres servers of which one follows the other, and how the second one takes over."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.acceptance.process import execute, rows, wait_until
from tests.acceptance.server import OwnServer


class Pair:
    """A primary server with an empty database `warehouse`, and a standby once `follow` was called; a context manager."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.primary = self._stack.enter_context(OwnServer(self._programs))
        execute(self.primary.url(), "CREATE DATABASE warehouse")
        return self

    def __exit__(self, *ended: object) -> None:
        self._stack.close()

    def follow(self) -> None:
        """Make a standby of the primary as it is."""
        self.standby = self._stack.enter_context(OwnServer(self._programs, primary=self.primary))

    def url(self, database: str, *, wanted: str = "read-write") -> str:
        """Return the address of both, in their order, as a user writes it."""
        homes = ",".join(str(server.data.parent) for server in (self.primary, self.standby))
        return f"postgresql://postgres@/{database}?host={homes}&port=5432,5432&target_session_attrs={wanted}"

    def catch_up(self) -> None:
        """Wait until the standby has all that the primary has."""
        ((place,),) = rows(self.primary.url(), "SELECT pg_current_wal_flush_lsn()")
        wait_until(self.standby.url(), f"SELECT pg_last_wal_replay_lsn() >= '{place}'::pg_lsn")

    def cut_off(self) -> None:
        """Let the standby have all that there is, and nothing of what follows."""
        self.catch_up()
        execute(self.standby.url(), "ALTER SYSTEM SET primary_conninfo = ''")
        execute(self.standby.url(), "SELECT pg_reload_conf()")
        wait_until(self.primary.url(), "SELECT count(*) = 0 FROM pg_stat_replication")

    def fail_over(self) -> None:
        """Kill the primary, and let the standby take over."""
        self.primary.kill()
        self.promote()

    def promote(self) -> None:
        """Let the standby take over; it is the primary from now on."""
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary
