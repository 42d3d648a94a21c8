"""No threads (`etl.effects.Threads`): what a pool is given is done at once, so that the order of things is always the same."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import timedelta
from typing import Any


class AtOnce(Executor):
    """Does what it is given before it returns."""

    def submit(self, action: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        """See `Executor.submit`."""
        done: Future[Any] = Future()
        try:
            done.set_result(action(*given, **named))
        except Exception as error:  # noqa: BLE001 - whoever asks for the result raises it
            done.set_exception(error)
        return done


class NoThreads:
    """Nothing goes on beside anything else."""

    def pool(self, name: str, size: int) -> Executor:
        """See `Threads.pool`."""
        return AtOnce()

    def repeat(self, name: str, action: Callable[[], object], *, every: timedelta) -> Callable[[], None]:
        """See `Threads.repeat`; time does not pass by itself, so the action is never due."""
        return lambda: None
