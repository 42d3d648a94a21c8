"""The providers' rate limits, and counting requests against them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """At most `requests` in any period of `seconds`; a refused request does not count."""

    requests: int
    seconds: float


Limits = Mapping[str, Sequence[Quota]]
"""The quotas of each provider, per account; a provider left out has none."""

TRUE_LIMITS: Limits = {
    "tuple": (Quota(requests=60, seconds=60),),
    "bimpe": (Quota(requests=300, seconds=60),),  # numbers not documented: assumed
    "aircall": (Quota(requests=120, seconds=60),),  # 60 in older texts
    "krosai": (Quota(requests=10, seconds=1), Quota(requests=1000, seconds=86_400)),  # the plan Free
}
"""What the providers document, and an assumption for BimpeAI, which documents headers but no numbers."""

NO_LIMITS: Limits = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a request found: `wait` seconds until it would be allowed (0: it was), and the first quota's state."""

    wait: float
    limit: int
    remaining: int
    reset: float


class Limiter:
    """The requests of all accounts; rolling windows, by `clock` (seconds)."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._allowed: dict[tuple[str, str, int], deque[float]] = {}
        self._violations: dict[str, int] = {}

    def ask(self, provider: str, account: str) -> Standing:
        """Count a request if every quota allows it."""
        with self._lock:
            now = self._clock()
            wait = 0.0
            logs = []
            for index, quota in enumerate(self._limits.get(provider, ())):
                log = self._allowed.setdefault((provider, account, index), deque())
                while log and log[0] <= now - quota.seconds:
                    log.popleft()
                if len(log) >= quota.requests:
                    wait = max(wait, log[-quota.requests] + quota.seconds - now)
                logs.append((quota, log))
            if wait > 0:
                self._violations[provider] = self._violations.get(provider, 0) + 1
            else:
                for _, log in logs:
                    log.append(now)
            if not logs:
                return Standing(wait=0, limit=1000, remaining=999, reset=60)
            quota, log = logs[0]
            reset = log[0] + quota.seconds - now if log else quota.seconds
            return Standing(wait=wait, limit=quota.requests, remaining=quota.requests - len(log), reset=reset)

    def violations(self, provider: str) -> int:
        """Return how many requests came too early."""
        with self._lock:
            return self._violations.get(provider, 0)
