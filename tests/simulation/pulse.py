"""Knows every effect of a simulated process, in order, and what becomes of it: it goes on, is killed, or is met by others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


class Killed(BaseException):
    """The process is gone. Whatever it still tries in its `finally` blocks has no effect either."""


@dataclass(eq=False)
class Pulse:
    """
    Counts effects: each request, answer, wait, statement and commit is one.

    `kill_at`: the number of the effect that never happens. `meanwhile`: what others do just before an effect, by its number.
    `between`: the same for what would wait for the process's transaction, in the same thread: it is done before or after one.
    """

    kill_at: int | None = None
    meanwhile: dict[int, Callable[[], object]] = field(default_factory=dict)
    between: dict[int, Callable[[], object]] = field(default_factory=dict)
    inside: int = 0  # how many transactions are open
    beats: int = 0
    is_dead: bool = False

    def beat(self, *, within: bool = False) -> None:
        """Come to the next effect; `within`: one of a transaction. Raises Killed."""
        if self.is_dead:
            raise Killed
        self.beats += 1
        action = self.meanwhile.pop(self.beats, None)
        if action is not None:
            action()
        if not within and not self.inside:
            for number in [number for number in self.between if number <= self.beats]:
                self.between.pop(number)()
        if self.beats == self.kill_at:
            self.is_dead = True
            raise Killed


class Mortal:
    """A warehouse, or a part of one, whose every method is an effect of one process."""

    def __init__(self, target: Any, pulse: Pulse) -> None:
        self._target = target
        self._pulse = pulse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found

        def effect(*given: Any, **named: Any) -> Any:
            self._pulse.beat()
            return found(*given, **named)

        return effect

    @contextmanager
    def page(self, *given: Any, **named: Any) -> Iterator[Any]:
        """A page's transaction: it may be killed before the commit and after it."""
        self._pulse.beat()
        self._pulse.inside += 1
        try:
            with self._target.page(*given, **named) as page:
                yield Mortal(page, self._pulse)
                self._pulse.beat()
        finally:
            self._pulse.inside -= 1
        self._pulse.beat()
