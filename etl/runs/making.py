"""Makes roll-ups again at times during a long run, in a thread beside its pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future

OFTEN = 30_000
"""After so many calls the roll-ups are made again during a run. By number, not by time, so that it costs a fixed share."""

Make = Callable[[int], int]
"""Makes roll-ups of one kind, given how many calls were written that it has not made yet; returns of how many it did."""


class Making:
    """
    What a run has written and not made again yet, so that not all days are computed when they are read.

    It is left alone where it would cost more than the writing did: where the run walks over the same days again and again.
    """

    def __init__(self, kinds: Sequence[Make], *, thread: Executor) -> None:
        """Take what makes roll-ups, each kind counted for itself; `thread` runs one after the other."""
        self._kinds = kinds
        self._thread = thread
        self._at_work: list[Future[int]] = []
        self._unmade = [0 for _ in kinds]  # how many calls were written whose roll-ups are not made again yet
        self._since = 0  # how many were written since making them was last begun

    def wrote(self, calls: int) -> None:
        """Begin to make roll-ups if enough was written since the last time. Raises what went wrong with those before."""
        self._unmade = [unmade + calls for unmade in self._unmade]
        self._since += calls
        if self._since >= OFTEN:
            self.wait()
            self._since = 0
            self._at_work = [self._thread.submit(make, unmade) for make, unmade in zip(self._kinds, self._unmade, strict=True)]

    def wait(self) -> None:
        """Wait until those that were begun are made. Raises what went wrong with them."""
        begun, self._at_work = self._at_work, []
        for kind, made in enumerate(begun):
            self._unmade[kind] = max(0, self._unmade[kind] - made.result())
