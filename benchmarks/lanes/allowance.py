"""
Knows how much of a provider's request allowance a long backfill spends: the program's own limiter against the sandbox's exact
rule, both on a clock that only this lane moves. No waiting, no chance but a seeded one: hours take a second.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.bench import Found, Sample
from etl import providers
from etl.config import ConnectionSettings
from etl.http.allowance import Allowance, DaySpent
from etl.provider import Limit
from etl.sandbox.limits import TRUE_LIMITS, Limiter, Quota
from etl.wiring import limits_of

START = datetime(2026, 3, 15, 12, tzinfo=UTC)
TUPLE_HOURS = 6
KROSAI_SECONDS = 600
KROSAI_DAYS = 30
PREFIX = "allowance: "
SECOND, UNKNOWN = "krosai, by the second", "krosai, by the second, where the way is not known"
CALENDAR, ROLLING = "krosai, by the calendar's day", "krosai, by 24 hours"
DAILY = 1000
"""KrosAI's plan Free: so many requests a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """
    Who asks, and how the API answers: so many threads without a pause, answers after up to `slowest` seconds.

    `way` are the seconds of it that request and answer travel at least, as the system knows; they arrive anywhere in the rest.
    """

    workers: int
    slowest: float
    way: float = 0.0


LOADS = {"one thread": Load(workers=1, slowest=0.5), "six threads": Load(workers=6, slowest=2.0)}


class _Simulation:
    """A day of requests in a second: the allowance is asked, requests fly, the server counts them as they arrive."""

    def __init__(self, limits: tuple[Limit, ...], rule: tuple[Quota, ...], load: Load, *, daily: int | None, seed: int) -> None:
        self.now = self._arrived = START
        self._allowance = Allowance(limits=limits, daily=daily)
        self._server = Limiter({"api": rule}, self._arriving)
        self._load = load
        self._chance = random.Random(seed)  # noqa: S311 - a story, not a key
        self._arrivals: list[datetime] = []

    def _arriving(self) -> float:
        return self._arrived.timestamp()

    def run(self, length: timedelta) -> None:
        """Let everybody ask until the time is over."""
        end, idle, order = START + length, self._load.workers, itertools.count()
        way = timedelta(seconds=self._load.way)
        flying: list[tuple[datetime, int]] = []
        while self.now < end:
            wait = self._wait() if idle else None
            if wait == timedelta():
                self._allowance.sent(self.now)
                idle -= 1
                latency = timedelta(seconds=self._chance.uniform(max(0.02, self._load.way), self._load.slowest))
                self._arrivals.append(self.now + way / 2 + (latency - way) * self._chance.random())
                heapq.heappush(flying, (self.now + latency, next(order)))
            elif flying and (wait is None or flying[0][0] <= self.now + wait):
                self.now = heapq.heappop(flying)[0]
                idle += 1
                self._allowance.answered(self.now, None, way=way)
            else:
                self.now += wait or timedelta(seconds=1)

    def _wait(self) -> timedelta | None:
        try:
            return self._allowance.wait(self.now)
        except DaySpent:  # a run ends here; the next one of the schedule finds another day
            midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            return midnight - self.now

    def refused(self) -> int:
        """Return how many requests the server's rule refuses, in the order in which they arrive."""
        for arrived in sorted(self._arrivals):
            self._arrived = arrived
            self._server.ask("api", "main")
        return self._server.violations("api")

    def arrived_until(self, end: datetime) -> int:
        """Return how many requests reached the server before an instant."""
        return sum(arrival < end for arrival in self._arrivals)

    def by_calendar_day(self, end: datetime) -> tuple[int, int]:
        """Return how many arrived until then, and how many a server refuses that begins to count anew at each midnight (UTC)."""
        days = Counter(arrival.date() for arrival in self._arrivals if arrival < end)
        return days.total(), sum(max(count - DAILY, 0) for count in days.values())


def measure(found: Found, *, repeat: int, say: Callable[[str], object]) -> None:
    """Add, for each round (a seed), the share of each allowance that was spent and the requests refused."""
    say("request allowances, on a clock of its own")
    rules = {name: tuple(TRUE_LIMITS[name]) for name in ("tuple", "krosai")}
    for seed in range(repeat):
        for who, load in LOADS.items():
            minute = _Simulation(_limits("tuple"), rules["tuple"], load, daily=None, seed=seed)
            length = timedelta(hours=TUPLE_HOURS)
            found[f"{PREFIX}tuple, {who}"].append(_spent(minute, length, 60 * 60 * TUPLE_HOURS))
        load = LOADS["six threads"]
        quick = Load(workers=6, slowest=0.15)  # six at once cannot ask ten times a second for longer than their answers take
        far = Load(workers=6, slowest=0.12, way=0.05)  # answers take as long on average: 85 ms
        length = timedelta(seconds=KROSAI_SECONDS)
        for lane, asking in ((SECOND, far), (UNKNOWN, quick)):
            second = _Simulation(_limits("krosai"), rules["krosai"][:1], asking, daily=None, seed=seed)
            found[f"{PREFIX}{lane}"].append(_spent(second, length, 10 * KROSAI_SECONDS))
        day = _Simulation(_limits("krosai", daily=DAILY), rules["krosai"], load, daily=DAILY, seed=seed)
        length = timedelta(days=KROSAI_DAYS)
        found[f"{PREFIX}{ROLLING}"].append(_spent(day, length, DAILY * KROSAI_DAYS))
        days = KROSAI_DAYS + 1  # from noon to noon: that many of the calendar's are begun
        found[f"{PREFIX}{CALENDAR}"].append(_counted(day.by_calendar_day(START + length), DAILY * days))


def _limits(name: str, *, daily: int | None = None) -> tuple[Limit, ...]:
    """Return the limits that the program keeps at a provider, as it does where nothing else is configured."""
    return limits_of(ConnectionSettings(provider=name, daily_requests=daily), providers.get(name))


def _spent(simulation: _Simulation, length: timedelta, allowed: int) -> Sample:
    simulation.run(length)
    return _counted((simulation.arrived_until(START + length), simulation.refused()), allowed)


def _counted(arrived_refused: tuple[int, int], allowed: int) -> Sample:
    arrived, refused = arrived_refused
    return {"allowed": allowed, "arrived": arrived, "refused": refused, "share": (arrived - refused) / allowed}
