"""Makes calls out of the records of the payloads: the same shape, other ids and other instants."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from etl.model import JSON
from etl.provider import Provider, all_of
from etl.records.values import date_and_time
from etl.testing.clocks import KINDS, Write, kind_of, writer
from etl.testing.faults import Fault
from etl.testing.leaves import Place, leaves, put
from etl.testing.payloads import Payloads
from etl.testing.records import record_of

_INSTANTS = ("created_at", "ringing_at", "started_at", "answered_at", "ended_at")
_DIGITS = 6
_UNIT = 10**_DIGITS


@dataclass(frozen=True, slots=True)
class Made:
    """One call at the provider: how its list shows it, and its detail."""

    call_id: str
    at: datetime
    record: JSON
    detail: JSON


class Moving(NamedTuple):
    """An instant in a sample: where it stands, when it is, and what writes another one."""

    place: Place
    at: datetime
    write: Write


class Sample(NamedTuple):
    """A record of the payloads, and what of it is another in each call that is made of it."""

    value: JSON
    cursor: datetime
    instants: tuple[Moving, ...]
    ids: tuple[tuple[Place, JSON], ...]

    def moved(self, by: timedelta, number: int) -> JSON:
        """Return the record with another id, and its instants moved."""
        copy = deepcopy(self.value)
        for place, at, write in self.instants:
            put(copy, place, write(at + by))
        for place, call_id in self.ids:
            put(copy, place, _numbered(call_id, number))
        return copy


class Maker:
    """Makes calls of one provider; each kind of record that the payloads have comes in turn."""

    def __init__(self, provider: Provider, payloads: Payloads) -> None:
        self._provider = provider
        keys = [key for field in provider.fields if field.column in _INSTANTS for key in all_of(field.key)]
        self._moving = {*keys, *all_of(provider.cursor)}
        kept = {key.partition(".")[0] for key in (*all_of(provider.call_id), *all_of(provider.cursor))}
        details = [case.get("detail") for case in payloads.calls if "record" in case]
        records = payloads.listed(provider)
        self._samples: list[tuple[Sample, Sample | None]] = []
        for value, detail in zip(records, [*details, *[None] * (len(records) - len(details))], strict=True):
            if detail is None:
                listed, whole = self._sample(value), None
            else:  # both show the call as it is now, and not at two instants
                now = {key: inner if key in kept else detail.get(key, inner) for key, inner in value.items()}
                listed, whole = self._sample(now), self._sample(detail)
            if listed is not None:
                self._samples.append((listed, whole))

    def call(self, number: int, at: datetime) -> Made | Fault:
        """Return a call of this number, whose cursor is `at` (whole seconds)."""
        sample, detail = self._samples[number % len(self._samples)]
        record = sample.moved(at - sample.cursor, number)
        found = record_of(self._provider, record)
        if found.call_id is None or found.cursor != at:
            return Fault(
                "read_cursor" if found.call_id is not None else "read_id",
                f"a record like those of the payloads, but of {at.isoformat()}, is not read as that",
                "Take parsers of etl.records.parse and etl.records.values for cursor and id: the kit writes what those read.",
            )
        return Made(found.call_id, at, record, record if detail is None else detail.moved(at - sample.cursor, number))

    def _sample(self, value: JSON) -> Sample | None:
        """Return a record with what moves in it; None for one that becomes no call."""
        cursor = record_of(self._provider, value).cursor
        if cursor is None:
            return None
        found = {".".join(map(str, place)): (place, leaf) for place, leaf in leaves(value)}
        instants = []
        for place, leaf in (found[path] for path in sorted(self._moving & found.keys())):
            kind = KINDS.get(kind_of(leaf) or "")
            at, write = (kind(leaf), writer(leaf, kind)) if kind is not None else (None, None)
            if at is not None and write is not None:
                instants.append(Moving(place, at, write))
        if self._provider.read_cursor is date_and_time:
            day, clock, *_ = (tuple(key.split(".")) for key in all_of(self._provider.cursor))
            instants += [Moving(day, cursor, lambda at: f"{at:%Y-%m-%d}"), Moving(clock, cursor, lambda at: f"{at:%H:%M:%S}")]
        ids = tuple(found[path] for path in all_of(self._provider.call_id) if path in found and found[path][1] is not None)
        return Sample(value, cursor, tuple(instants), ids)


def _numbered(call_id: JSON, number: int) -> JSON:
    """Return another id of the same kind: a number of other last digits, or a text whose end is digits."""
    if isinstance(call_id, int):
        return (call_id // _UNIT + 1) * _UNIT + number
    text = str(call_id)
    return f"{text[:-_DIGITS] if len(text) > _DIGITS else text[:1]}{number:0{_DIGITS}d}"
