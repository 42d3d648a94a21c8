"""Knows the goals of the design (section 9), and what was measured of each; a goal that was not measured says so."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Lanes = Mapping[str, Sequence[Mapping[str, Any]]]
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several measurements, and between what they lay."""

    middle: float
    least: float
    most: float
    count: int


def spread(values: Sequence[float]) -> Spread | None:
    """Return the spread of values; None of nothing."""
    return Spread(median(values), min(values), max(values), len(values)) if values else None


def values(lanes: Lanes, lane: str, name: str) -> list[float]:
    """Return what a lane measured under a name, one value for each round that has it."""
    return [float(sample[name]) for sample in lanes.get(lane, ()) if name in sample]


def ratios(lanes: Lanes, one: str, other: str, name: str = "rate") -> list[float]:
    """Return, round by round, how many times the other lane's value the one's is."""
    pairs = zip(lanes.get(one, ()), lanes.get(other, ()), strict=False)
    return [a[name] / b[name] for a, b in pairs if name in a and name in b and b[name]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A number to reach: `at_least` or at most `limit`. It is met where the median meets it; `worst`: where every value does."""

    text: str
    limit: float
    measured: Callable[[Lanes], list[float]]
    unit: str = ""
    at_least: bool = False
    worst: bool = False

    def met(self, found: Spread) -> bool:
        """Whether it is reached."""
        value = found.middle if not self.worst else found.least if self.at_least else found.most
        return value >= self.limit if self.at_least else value <= self.limit


_DAYS = ("allowance: krosai, by the calendar's day", "allowance: krosai, by 24 hours")
"""Which of the two KrosAI means is not documented."""


def _of(lane: str, name: str, scale: float = 1.0) -> Callable[[Lanes], list[float]]:
    return lambda lanes: [value / scale for value in values(lanes, lane, name)]


def _of_all(prefix: str, name: str) -> Callable[[Lanes], list[float]]:
    return lambda lanes: [value for lane in lanes if lane.startswith(prefix) for value in values(lanes, lane, name)]


def _ratio(one: str, other: str) -> Callable[[Lanes], list[float]]:
    return lambda lanes: ratios(lanes, one, other)


def _best_dlt(lanes: Lanes) -> list[float]:
    """Against the fastest of dlt's ways."""
    found = [ratios(lanes, "ours_beside", lane) for lane in ("dlt", "dlt_upsert", "dlt_csv")]
    return min((ratio for ratio in found if ratio), key=median, default=[])


def _memory(lanes: Lanes) -> list[float]:
    return [value / MB for lane in ("ours", "reread", "scale", "idle") for value in values(lanes, lane, "memory")]


def _reading(*, touched: bool, pairs: bool) -> Callable[[Lanes], list[float]]:
    """Every chart of the dashboards as the masked role asks it, at the largest number of calls."""

    def measured(lanes: Lanes) -> list[float]:
        charts = [
            one for one in lanes.get("reading", ()) if _is_chart(one) and one["touched"] is touched and one["pairs"] is pairs
        ]
        most = max((one["calls"] for one in charts), default=0)
        return [float(one.get("cpu_ms", math.inf)) for one in charts if one["calls"] == most]

    return measured


def _is_chart(sample: Mapping[str, Any]) -> bool:
    return str(sample["page"]).startswith("dashboard") and sample["reads"] == "masked"


def _growth(lanes: Lanes) -> list[float]:
    """What ten times the calls cost of each chart, nothing touched."""
    charts = [one for one in lanes.get("reading", ()) if _is_chart(one) and not one["touched"]]
    sizes = sorted({one["calls"] for one in charts})
    if len(sizes) < 2:
        return []
    few, many = (
        {(one["page"], one["title"]): one.get("cpu_ms", math.inf) for one in charts if one["calls"] == size}
        for size in (sizes[0], sizes[-1])
    )
    return [many[key] / few[key] for key in few if key in many]


GOALS = (
    Goal(
        text="backfill against COPY of the finished rows",
        limit=0.6,
        unit="×",
        at_least=True,
        measured=lambda lanes: ratios(lanes, "ours", "copy"),
    ),
    Goal(text="backfill against dlt", limit=3.5, unit="×", at_least=True, measured=_best_dlt),
    Goal(text="read again: rows rewritten", limit=0, worst=True, measured=_of_all("reread", "rewritten")),
    Goal(text="read again: WAL per 100,000 calls", limit=1, unit=" MB", worst=True, measured=_of("reread", "wal_per_100k", MB)),
    Goal(
        text="read again at once after loading: WAL per 100,000 calls",
        limit=1,
        unit=" MB",
        worst=True,
        measured=_of("reread_fresh", "wal_per_100k", MB),
    ),
    Goal(
        text="read again against the backfill",
        limit=3,
        unit="×",
        at_least=True,
        measured=lambda lanes: ratios(lanes, "reread", "ours"),
    ),
    Goal(text="replay against the backfill", limit=1, unit="×", at_least=True, measured=_ratio("replay", "replay_ours")),
    Goal(text="audit against the backfill", limit=1, unit="×", at_least=True, measured=_ratio("audit", "replay_ours")),
    Goal(text="nothing new: requests", limit=1, worst=True, measured=_of("idle", "requests")),
    Goal(text="nothing new: the whole process", limit=1, unit=" s", measured=_of("idle", "wall")),
    Goal(text="etl --help", limit=0.3, unit=" s", measured=_of("help", "wall")),
    Goal(text="memory of the process, one connection", limit=200, unit=" MB", worst=True, measured=_memory),
    Goal(text="memory of the process, the fleet", limit=200, unit=" MB", worst=True, measured=_of("fleet", "memory", MB)),
    Goal(text="allowance of Tuple spent", limit=0.95, at_least=True, worst=True, measured=_of_all("allowance: tuple", "share")),
    Goal(
        text="allowance of KrosAI spent, by the second",
        limit=0.95,
        at_least=True,
        worst=True,
        measured=_of("allowance: krosai, by the second", "share"),
    ),
    Goal(
        text="allowance of KrosAI spent, by the day",
        limit=0.95,
        at_least=True,
        worst=True,
        measured=lambda lanes: [value for day in _DAYS for value in values(lanes, day, "share")],
    ),
    Goal(text="requests refused (429): Tuple", limit=0, worst=True, measured=_of_all("allowance: tuple", "refused")),
    Goal(
        text="requests refused (429): KrosAI, by the second",
        limit=0,
        worst=True,
        measured=_of_all("allowance: krosai, by the second", "refused"),
    ),
    Goal(
        text="requests refused (429): KrosAI, whose day ends at midnight",
        limit=0,
        worst=True,
        measured=_of(_DAYS[0], "refused"),
    ),
    Goal(
        text="requests refused (429): KrosAI, whose day is any 24 hours",
        limit=0,
        worst=True,
        measured=_of(_DAYS[1], "refused"),
    ),
    Goal(text="fleet: connections that did not end well", limit=0, worst=True, measured=_of("fleet", "failed")),
    Goal(text="cost per call, last against first", limit=1.3, unit="×", measured=_of("scale", "growth")),
    Goal(text="a chart, nothing touched", limit=50, unit=" ms", worst=True, measured=_reading(touched=False, pairs=False)),
    Goal(
        text="a chart of pairs, nothing touched", limit=150, unit=" ms", worst=True, measured=_reading(touched=False, pairs=True)
    ),
    Goal(text="a chart, today touched", limit=100, unit=" ms", worst=True, measured=_reading(touched=True, pairs=False)),
    Goal(text="a chart of pairs, today touched", limit=100, unit=" ms", worst=True, measured=_reading(touched=True, pairs=True)),
    Goal(text="a chart of ten times the calls", limit=2, unit="×", worst=True, measured=_growth),
)
