"""Makes the roll-ups of calls again at times during a long run, in a thread beside its pages."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future

OFTEN = 30_000
"""After so many calls the roll-ups are made again during a run. By number, not by time, so that it costs a fixed share."""


class Making:
    """
    What a run has written and not made again yet, so that not all days are computed when they are read.

    It is left alone where it would cost more than the writing did: where the run walks over the same days again and again.
    """

    def __init__(self, make: Callable[[int], int], *, thread: Executor) -> None:
        """Take what makes roll-ups, given how many calls were written, and returns of how many; `thread` runs it, one at once."""
        self._make = make
        self._thread = thread
        self._at_work: Future[int] | None = None
        self._unmade = 0  # how many calls were written whose roll-ups are not made again yet
        self._left = 0  # how many that were when making them was last begun, without those that it made

    def wrote(self, calls: int) -> None:
        """Begin to make roll-ups if enough was written since the last time. Raises what went wrong with those before."""
        self._unmade += calls
        if self._unmade - self._left >= OFTEN:
            self.wait()
            self._left = self._unmade
            self._at_work = self._thread.submit(self._make, self._unmade)

    def wait(self) -> None:
        """Wait until those that were begun are made. Raises what went wrong with them."""
        if self._at_work is not None:
            begun, self._at_work = self._at_work, None
            made = begun.result()
            self._unmade = max(0, self._unmade - made)
            self._left = max(0, self._left - made)
