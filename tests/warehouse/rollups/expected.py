"""
Works out what every roll-up must show, from the rows of calls and participants, in plain Python and by the words of the design.

It shares nothing with the views: no SQL, no ranges of the database, no bucket formula but the bounds themselves.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

OPEN = {"queued", "ringing", "in_progress", "unknown"}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REACH = timedelta(days=7)
EPOCH, MICROSECOND = datetime(2000, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
Call = Mapping[str, Any]
Row = dict[str, Any]
COUNTED = (
    "completed", "busy", "no_answer", "failed", "canceled", "rejected", "voicemail", "unknown",
)  # fmt: skip


def _bounds() -> list[tuple[int, int]]:
    """Return the whole seconds that each bucket from 60 on holds, one after the other."""
    bounds, second = [], 60
    for bucket in range(60, 560):
        last = ceil(60 * 1.04 ** (bucket - 59)) - 1
        bounds.append((second, last))
        second = last + 1
    return bounds


BOUNDS = _bounds()


@dataclass(slots=True)
class World:
    """The calls and participants held, and the time zone."""

    calls: list[Call]
    participants: list[Call]
    zone: ZoneInfo
    agents: dict[tuple[str, str], str | None] = field(default_factory=dict)

    def day(self, at: datetime) -> date:
        """Return the calendar day of an instant."""
        return at.astimezone(self.zone).date()

    def hour(self, at: datetime) -> datetime:
        """Return the beginning of the local hour of an instant."""
        local = at.astimezone(self.zone)
        return at - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)

    def own(self) -> Iterator[Call]:
        """Return the calls that are no legs."""
        return (call for call in self.calls if call["parent_call_id"] is None)


def answered(call: Call) -> bool | None:
    """Whether a call was answered; None while that is open."""
    if call["answered_at"] is not None or call["status"] in ("in_progress", "completed"):
        return True
    return None if call["status"] in OPEN else False


def seconds(span: timedelta) -> int | None:
    """Return whole seconds, None of a negative span."""
    return None if span < timedelta() else span // timedelta(seconds=1)


def talk(call: Call) -> int | None:
    """Return how long was talked."""
    if not answered(call):
        return None
    if call["answered_at"] is not None and call["ended_at"] is not None:
        return seconds(call["ended_at"] - call["answered_at"])
    found: int | None = call["duration_seconds"]
    return found


def wait(call: Call) -> int | None:
    """Return how long the caller waited for an answer."""
    began = call["ringing_at"] or call["created_at"]
    return None if began is None or call["answered_at"] is None else seconds(call["answered_at"] - began)


def cost(call: Call) -> Decimal | None:
    """Return what a call cost, to six places."""
    given = call["cost"]
    return None if given is None or abs(given) > 10**11 else given.quantize(Decimal("0.000001"), ROUND_HALF_UP)


def counts(calls: Sequence[Call]) -> Row:
    """Return what the daily roll-ups say of some calls."""
    own = [call for call in calls if call["parent_call_id"] is None]
    by_status = Counter(call["status"] for call in own)
    inbound = [call for call in own if call["direction"] == "inbound"]
    waits = [waited for call in own if (waited := wait(call)) is not None]
    costs = [price for call in calls if (price := cost(call)) is not None]
    return {
        "provider": calls[0]["provider"],
        "calls": len(own),
        "open_calls": sum(call["status"] in OPEN for call in own),
        "answered": sum(answered(call) is True for call in own),
        **{status: by_status[status] for status in COUNTED},
        "missed": sum(answered(call) is False for call in inbound),
        "abandoned": sum(call["status"] == "canceled" for call in inbound),
        "short_calls": sum((spoken := talk(call)) is not None and spoken < 10 for call in own),
        "talk_seconds": sum(talk(call) or 0 for call in own),
        "duration_seconds": sum(call["duration_seconds"] or 0 for call in own if answered(call)),
        "answer_wait_seconds": sum(waits),
        "answer_wait_calls": len(waits),
        "answered_within_20s": sum(waited <= 20 for waited in waits),
        "cost": sum(costs) if costs else None,
    }


def grouped(calls: Iterable[Call], *keys: Any) -> dict[tuple[Any, ...], list[Call]]:
    """Return calls by the values of keys, each a name or a function."""
    found: dict[tuple[Any, ...], list[Call]] = defaultdict(list)
    for call in calls:
        found[tuple(call[key] if isinstance(key, str) else key(call) for key in keys)].append(call)
    return found


def calls_daily(world: World) -> list[Row]:
    """Work out `calls_daily`."""
    keys = ("connection", "day", "direction", "is_test", "currency")
    found = grouped(world.calls, "connection", lambda call: world.day(call["occurred_at"]), *keys[2:])
    return [dict(zip(keys, key, strict=True)) | counts(calls) for key, calls in found.items()]


def agent_daily(world: World) -> list[Row]:
    """Work out `agent_daily`."""
    keys = ("connection", "day", "direction", "is_test", "currency", "agent_id")
    found = grouped(world.calls, "connection", lambda call: world.day(call["occurred_at"]), *keys[2:])
    return [
        dict(zip(keys, key, strict=True)) | {"agent_name": world.agents.get((key[0], key[5]))} | counts(calls)
        for key, calls in found.items()
    ]


def occupied(world: World, call: Call) -> list[tuple[datetime, datetime, datetime]]:
    """Return the stretches that a call occupies a line, each with the hour that it lies in."""
    at = call["occurred_at"]
    began = call["started_at"] or call["answered_at"] or at
    local = at.astimezone(world.zone)
    midnight = datetime(local.year, local.month, local.day, tzinfo=world.zone).astimezone(UTC)
    began = min(max(began, midnight), at + REACH)
    if call["ended_at"] is None and call["status"] in OPEN:
        ended = world.hour(began) + HOUR
    else:
        by_duration = at if call["duration_seconds"] is None else at + timedelta(seconds=call["duration_seconds"])
        ended = min(call["ended_at"] or by_duration, at + REACH)
    found = []
    while began < ended:
        hour = world.hour(began)
        found.append((hour, began, min(ended, hour + HOUR)))
        began = hour + HOUR
    return found


def peak(stretches: Sequence[tuple[datetime, datetime]]) -> int:
    """Return how many stretches at most lie over one instant."""
    return max((sum(began <= at < ended for began, ended in stretches) for at, _ in stretches), default=0)


def calls_hourly(world: World) -> list[Row]:
    """Work out `calls_hourly`."""
    counted = grouped(world.own(), "connection", lambda call: world.hour(call["occurred_at"]), "direction", "is_test")
    going: dict[tuple[Any, ...], list[tuple[datetime, datetime]]] = defaultdict(list)
    for call in world.own():
        for hour, began, ended in occupied(world, call):
            going[call["connection"], hour, call["direction"], call["is_test"]].append((began, ended))
    rows = []
    for key in counted.keys() | going.keys():
        calls = counted.get(key, [])
        numbers = counts(calls) if calls else defaultdict(int)
        local = key[1].astimezone(world.zone)
        rows.append(
            dict(zip(("connection", "hour", "direction", "is_test"), key, strict=True))
            | {"day": local.date(), "local_hour": local.hour, "iso_weekday": local.isoweekday()}
            | {
                name: numbers[name]
                for name in (
                    *("calls", "answered", "missed", "abandoned", "talk_seconds"),
                    *("answer_wait_seconds", "answer_wait_calls", "answered_within_20s"),
                )
            }
            | {"peak_concurrent": peak(going.get(key, []))}
        )
    return rows


def lines_hourly(world: World) -> list[Row]:
    """Work out `lines_hourly`."""
    going: dict[tuple[Any, ...], list[tuple[datetime, datetime]]] = defaultdict(list)
    for call in world.own():
        if not call["is_test"]:
            for hour, began, ended in occupied(world, call):
                going[call["connection"], hour].append((began, ended))
    rows = []
    for (connection, hour), stretches in going.items():
        local = hour.astimezone(world.zone)
        total = sum(((ended - began) // timedelta(microseconds=1) for began, ended in stretches), 0)
        rows.append(
            {
                "connection": connection,
                "hour": hour,
                "day": local.date(),
                "local_hour": local.hour,
                "iso_weekday": local.isoweekday(),
                "peak_concurrent": peak(stretches),
                "erlangs": (Decimal(total) / Decimal(3_600_000_000)).quantize(Decimal("0.000001"), ROUND_HALF_UP),
            }
        )
    return rows


def bucket(spoken: int) -> tuple[int, int, int]:
    """Return the bucket of a talk time, and its bounds."""
    if spoken < 60:
        return spoken, spoken, spoken
    place = next(place for place, (first, last) in enumerate(BOUNDS) if first <= spoken <= last)
    return 60 + place, *BOUNDS[place]


def _talk_time(world: World, unit: str, period: Any) -> list[Row]:
    found: Counter[tuple[Any, ...]] = Counter()
    for call in world.own():
        if (spoken := talk(call)) is not None:
            found[call["connection"], period(call), call["direction"], call["is_test"], *bucket(spoken)] += 1
    keys = ("connection", unit, "direction", "is_test", "bucket", "from_seconds", "to_seconds")
    return [dict(zip(keys, key, strict=True)) | {"calls": number} for key, number in found.items()]


def talk_time_daily(world: World) -> list[Row]:
    """Work out `talk_time_daily`."""
    return _talk_time(world, "day", lambda call: world.day(call["occurred_at"]))


def talk_time_monthly(world: World) -> list[Row]:
    """Work out `talk_time_monthly`."""
    return _talk_time(world, "month", lambda call: world.day(call["occurred_at"]).replace(day=1))


def person(email: str | None) -> str | None:
    """Return who an e-mail address is; None for a guest."""
    return (email or "").strip(" ").lower() or None


Stretches = list[tuple[int, int]]
"""Stretches of time in microseconds, in order and apart."""


def merged(stretches: Iterable[tuple[int, int]]) -> Stretches:
    """Return what lies in any of them."""
    found: Stretches = []
    for began, ended in sorted(stretches):
        if found and began <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], ended))
        else:
            found.append((began, ended))
    return found


def shared(ones: Stretches, others: Stretches) -> Stretches:
    """Return what lies in both."""
    both = ((max(a, c), min(b, d)) for a, b in ones for c, d in others)
    return merged((began, ended) for began, ended in both if began < ended)


def whole_seconds(stretches: Stretches) -> int:
    """Return how long they last together."""
    return sum(ended - began for began, ended in stretches) // 1_000_000


def _stays(world: World) -> Iterator[tuple[Call, list[tuple[str, Call, Stretches]]]]:
    """Return each call with its participations: who, and when they were there."""
    by_call = grouped(world.participants, "connection", "call_id")
    for call in world.own():
        if not call["is_test"]:
            parts = by_call.get((call["connection"], call["call_id"]), [])
            yield call, [(person(part["email"]) or f"guest {part['participant_id']}", part, _stay(part)) for part in parts]


def _stay(part: Call) -> Stretches:
    if part["joined_at"] is None or part["left_at"] is None or part["left_at"] <= part["joined_at"]:
        return []
    first, last = ((part[name] - EPOCH) // MICROSECOND for name in ("joined_at", "left_at"))
    return [(first, last)]


def person_daily(world: World) -> list[Row]:
    """Work out `person_daily`."""
    there: dict[tuple[Any, ...], dict[str, Any]] = {}
    for call, stays in _stays(world):
        for who, part, stay in stays:
            if person(part["email"]) is None:
                continue
            others = merged(one for name, _, other in stays if name != who for one in other)
            key = (call["connection"], world.day(call["occurred_at"]), who)
            kept = there.setdefault(key, {"calls": set(), "in": [], "paired": [], "joined": [], "left": []})
            kept["calls"].add(call["call_id"])
            kept["in"] += stay
            kept["paired"] += shared(stay, others)
            kept["joined"] += [part["joined_at"]] if part["joined_at"] else []
            kept["left"] += [part["left_at"]] if part["left_at"] else []
    return [
        {
            "connection": key[0],
            "day": key[1],
            "person": key[2],
            "calls": len(kept["calls"]),
            "in_call_seconds": (inside := whole_seconds(merged(kept["in"]))),
            "paired_seconds": (paired := whole_seconds(merged(kept["paired"]))),
            "solo_seconds": inside - paired,
            "first_joined_at": min(kept["joined"], default=None),
            "last_left_at": max(kept["left"], default=None),
        }
        for key, kept in there.items()
    ]


def pair_weekly(world: World) -> list[Row]:
    """Work out `pair_weekly`."""
    together: dict[tuple[Any, ...], tuple[set[str], Stretches]] = defaultdict(lambda: (set(), []))
    for call, stays in _stays(world):
        mine: dict[str, Stretches] = defaultdict(list)
        for who, part, stay in stays:
            if person(part["email"]) is not None:
                mine[who] += stay
        day = world.day(call["occurred_at"])
        week = day - timedelta(days=day.weekday())
        for one, its in mine.items():
            for other, theirs in mine.items():
                if one < other:
                    calls, both = together[call["connection"], week, one, other]
                    calls.add(call["call_id"])
                    both += shared(merged(its), merged(theirs))
    keys = ("connection", "week", "person_a", "person_b")
    return [
        dict(zip(keys, key, strict=True)) | {"calls": len(calls), "seconds_together": whole_seconds(merged(both))}
        for key, (calls, both) in together.items()
    ]


ROLLUPS = {
    "calls_daily": calls_daily,
    "agent_daily": agent_daily,
    "calls_hourly": calls_hourly,
    "lines_hourly": lines_hourly,
    "talk_time_daily": talk_time_daily,
    "talk_time_monthly": talk_time_monthly,
    "person_daily": person_daily,
    "pair_weekly": pair_weekly,
}
"""Every roll-up, and what works it out."""


def facts(world: World, call: Call, *, has_message: bool) -> Row:
    """Work out the row of `call_facts`."""
    local = call["occurred_at"].astimezone(world.zone)
    inbound, outbound = (call["direction"] == word for word in ("inbound", "outbound"))
    spoken = talk(call)
    return {
        **{name: call[name] for name in ("connection", "call_id", "provider", "occurred_at", "direction", "status", "is_test")},
        **{name: call[name] for name in ("duration_seconds", "agent_id", "currency", "end_reason", "error_reason", "latency_ms")},
        "call_key": f"{call['connection']}:{call['call_id']}",
        "is_leg": call["parent_call_id"] is not None,
        "day": local.date(),
        "local_hour": local.hour,
        "iso_weekday": local.isoweekday(),
        "is_open": call["status"] in OPEN,
        "is_answered": answered(call),
        "is_missed": inbound and answered(call) is False,
        "is_abandoned": inbound and call["status"] == "canceled",
        "is_short_call": spoken is not None and spoken < 10,
        "talk_seconds": spoken,
        "speed_of_answer_seconds": wait(call),
        "our_number": call["to_address"] if inbound else call["from_address"] if outbound else None,
        "customer_number": call["from_address"] if inbound else call["to_address"] if outbound else None,
        "agent_name": world.agents.get((call["connection"], call["agent_id"])),
        "cost": cost(call),
        "has_recording": bool(call["recording_url"]),
        "has_transcript": bool(call["transcript"]) or has_message,
    }
