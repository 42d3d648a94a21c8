"""Knows how to do without threads: work is done at once, by whoever asks for it, so that a test sees it in one order only."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import timedelta
from typing import Any


class Inline(Executor):
    """An executor that has done the work when `submit` returns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - handed to whoever asks for the result
            done.set_exception(error)
        return done


class NoThreads:
    """`etl.effects.Threads` without any; what is to be repeated is not done at all."""

    def pool(self, name: str, size: int) -> Executor:
        return Inline()

    def repeat(self, name: str, action: Callable[[], object], *, every: timedelta) -> Callable[[], None]:
        return lambda: None
