"""What is counted in this process alone, because no table has it: how long requests were held back, and what was not begun."""

from __future__ import annotations

from collections import Counter
from threading import Lock


class Meters:
    """Counts from zero since the worker was started; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._throttled: dict[str, float] = {}
        self._not_begun: Counter[tuple[str, str]] = Counter()

    def waited(self, connection: str, seconds: float) -> None:
        """Note for how long a request of a connection was held back."""
        with self._lock:
            self._throttled[connection] = self._throttled.get(connection, 0.0) + seconds

    def not_begun(self, connection: str, code: str) -> None:
        """Note that a run of a connection was not begun, and why: `already_running`, `account_busy`."""
        with self._lock:
            self._not_begun[connection, code] += 1

    def throttled(self) -> dict[str, float]:
        """Return the seconds for which requests were held back, by connection."""
        with self._lock:
            return dict(self._throttled)

    def runs_not_begun(self) -> dict[tuple[str, str], int]:
        """Return how many runs were not begun, by connection and error code."""
        with self._lock:
            return dict(self._not_begun)
