"""Knows what the examples are run on: four providers with calls of the last hours, and an empty database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from etl.sandbox import NO_LIMITS, Sandbox
from etl.system import SystemThreads
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from tests.acceptance.process import Hook, Program, hourly
from tests.acceptance.stage import quiet_history


@contextmanager
def made_up(url: str, folder: Path, hook: Hook) -> Iterator[Program]:
    """Give a configuration for four providers with 12 calls each; their clock is nearly ours."""
    history = quiet_history(start=datetime.now(UTC) - timedelta(minutes=10))
    with Sandbox(history, limits=NO_LIMITS, on_request=hook) as sandbox:
        program = Program(sandbox=sandbox, url=url, folder=folder)
        hourly(program, calls=12)
        yield program


def endless(program: Program, hook: Hook, act: Callable[[], object] = lambda: None) -> None:
    """Act, and from now on let there be another page of older calls at each request: only who stops the sync ends it."""
    history = program.sandbox.history
    held = len(history.living("salpre"))
    for hours in range(held + 1, held + 6):
        history.add("salpre", at=history.now - timedelta(hours=hours))
    hook.arm(1, lambda: endless(program, hook))
    act()


@contextmanager
def busy(url: str, connection: str) -> Iterator[None]:
    """Hold a connection as a run does that is working on it."""
    with Database(url) as database, Locks(database, SystemThreads()) as locks:
        assert locks.try_acquire(connection)
        yield
