"""The machine's own clock, threads and randomness (`etl.effects`). Nothing else in the program uses these directly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from random import Random
from threading import Event, Thread
from time import monotonic

from etl.effects import Effects
from etl.errors import Interrupted


class SystemClock:
    """The computer's clock. Waits end at once when the program is asked to stop."""

    def __init__(self, stop: Event | None = None) -> None:
        self._stop = stop or Event()

    def now(self) -> datetime:
        """Return the instant, aware, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Interrupted if the program is asked to stop."""
        if self._stop.wait(seconds):
            raise Interrupted(
                "the sync was interrupted while it waited for a provider.",
                safe="Everything up to the last page is committed.",
                hint="The next sync continues there.",
            )


class SystemThreads:
    """Threads of the operating system."""

    def pool(self, name: str, size: int) -> Executor:
        """Return a pool of threads."""
        return ThreadPoolExecutor(max_workers=size, thread_name_prefix=name)

    def repeat(self, name: str, action: Callable[[], object], *, every: timedelta) -> Callable[[], None]:
        """Repeat `action` in a daemon thread, which does not keep the program from ending."""
        ended = Event()

        def work() -> None:
            while not ended.wait(every.total_seconds()):
                action()

        thread = Thread(target=work, name=name, daemon=True)
        thread.start()

        def end() -> None:
            ended.set()
            thread.join()

        return end


@contextmanager
def set_by_signals(event: Event) -> Iterator[Callable[[], None]]:
    """Give what sets `event` in a handler of signals, which may take no lock: the code that it interrupts may hold that one."""
    asked: SimpleQueue[bool] = SimpleQueue()

    def wait() -> None:
        if asked.get():
            event.set()

    thread = Thread(target=wait, name="signals", daemon=True)
    thread.start()
    try:
        yield lambda: asked.put(True)
    finally:
        asked.put(False)
        thread.join()


def steady_seconds() -> float:
    """Return the seconds of a clock that nobody sets, since some instant."""
    return monotonic()


def system_effects(stop: Event | None = None) -> Effects:
    """Return this machine's effects; setting `stop` ends every wait on its clock."""
    chance = Random()  # noqa: S311 - it spreads waits, and is no secret
    return Effects(clock=SystemClock(stop), threads=SystemThreads(), random=chance)
