"""One page's transaction in memory (`etl.runs.port.PageTransaction`): what it writes is nowhere else until it is committed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import repeat
from typing import Any

import msgspec

from etl.coverage import Spans
from etl.model import JSON, OPEN_STATUSES, AgentRow, CallRow, Derived, DriftNote, ParticipantRow, Record, Rejection
from etl.records.rows import Bulk, Columns, Draft, Same, Stored
from etl.runs.port import ErasingPage
from etl.runs.state import StreamState
from etl.runs.terms import Absent, Compared, Counters, Elsewhere, Reject
from etl.testing.memory.kept import KeptAgent, KeptDeparture, KeptReject, Shelf, Version

TICK = timedelta(microseconds=1)
SIGHTING = timedelta(days=1)
"""An agent that is listed as it was is written again once in so long."""

_HUGE = re.compile(r"[:\[,]\s*-?[0-9.]+[eE]\+?[0-9]{6,}")


def stored(value: JSON) -> JSON:
    """Return what comes back of a JSON value that is stored: a copy, which nobody else can change."""
    return msgspec.json.decode(msgspec.json.encode(value))


class MemoryPage:
    """Reads through what it has written to what was committed before it."""

    def __init__(self, committed: Shelf) -> None:
        self._committed = committed
        self._right: list[tuple[frozenset[str], str, datetime, Rejection | None]] = []
        self.written = Shelf()
        self.erasing: ErasingPage | None = None  # nobody is erased from this one

    # Calls

    def compare(self, records: Sequence[Record], *, stream: str, observed_at: datetime) -> Compared:
        """See `PageTransaction.compare`."""
        held: dict[str | None, Derived | None]
        held = {record.call_id: self._held(record.call_id) for record in records if record.call_id is not None}
        return Compared(
            new=[record for record in records if held.get(record.call_id) is None],
            elsewhere=[
                Elsewhere(record, one.call.stream, one.call.cursor_at, _stored(one))
                for record in records
                if (one := held.get(record.call_id)) and one.call.stream != stream
            ],
            differing=[
                (record, _stored(one))
                for record in records
                if (one := held.get(record.call_id)) and one.call.stream == stream
                if (one.call.content_hash != record.digest or one.call.detail is not None) and one.call.observed_at <= observed_at
            ],
            open_ids=frozenset(one.call.call_id for one in held.values() if one and one.call.status in OPEN_STATUSES),
        )

    def held(self, call_ids: Collection[str]) -> Mapping[str, Stored]:
        """See `PageTransaction.held`."""
        return {
            call_id: _stored(one)._replace(detail_failures=self._failures(call_id))
            for call_id in call_ids
            if (one := self._held(call_id)) is not None
        }

    def copy(self, draft: Draft) -> bool:
        """See `PageTransaction.copy`."""
        entries = entries_of(draft)
        if any(_refused(entry.call) or self._held(entry.call.call_id) for entry in entries):
            return False
        self.written.calls |= {entry.call.call_id: entry for entry in entries}
        return True

    def insert(self, entries: Sequence[Derived]) -> frozenset[str]:
        """See `PageTransaction.insert`."""
        taken = [entry for entry in entries if not _refused(entry.call)]
        self.written.calls |= {entry.call.call_id: entry for entry in taken}
        return frozenset(entry.call.call_id for entry in entries if _refused(entry.call))

    def update(self, entries: Sequence[Derived]) -> frozenset[str]:
        """See `PageTransaction.update`."""
        refused = frozenset(entry.call.call_id for entry in entries if _refused(entry.call))
        for entry in entries:
            held = self._held(entry.call.call_id)
            if held is not None and entry.call.call_id not in refused and not _later(held.call, entry.call):
                self._put(entry, held)
        return refused

    def note(self, *, stream: str, rejects: Sequence[Reject], drift: Mapping[DriftNote, int], observed_at: datetime) -> None:
        """See `PageTransaction.note`."""
        distinct = {reject.record.digest: reject for reject in rejects}
        for digest, (record, reason) in distinct.items():
            key = (stream, digest.hex())
            known = self.written.rejects.get(key) or self._committed.rejects.get(key)
            call_id = record.call_id if reason is not Rejection.ID_TOO_LONG else None
            text = record.text.decode("utf-8", "replace").replace("\0", "\ufffd")
            self.written.rejects[key] = (
                known._replace(last_seen_at=observed_at, sightings=known.sightings + 1, reason=reason.value, resolved_at=None)
                if known
                else KeptReject(call_id, reason.value, text, observed_at, observed_at)
            )
        self.note_drift(drift, observed_at=observed_at)

    def note_drift(self, drift: Mapping[DriftNote, int], *, observed_at: datetime) -> None:
        """See `PageTransaction.note_drift`."""
        for departure, count in drift.items():
            place = (departure.path, departure.kind.value)
            before = self.written.departures.get(place) or self._committed.departures.get(place)
            first, number = (before.first_seen_at, before.number) if before else (observed_at, 0)
            self.written.departures[place] = KeptDeparture(departure.sample, number + count, first, observed_at)

    def came_right(
        self, call_ids: Collection[str], *, stream: str, observed_at: datetime, reason: Rejection | None = None
    ) -> None:
        """See `PageTransaction.came_right`."""
        self._right.append((frozenset(call_ids), stream, observed_at, reason))

    def absent(self, *, stream: str, read: Spans, seen: Iterable[Collection[str]]) -> Absent:
        """See `PageTransaction.absent`."""
        held = {entry.call.call_id for entry in self._all() if entry.call.stream == stream and entry.call.cursor_at in read}
        return Absent(len(held), frozenset(held).difference(*seen))

    def ask_for(self, call_ids: Collection[str], *, due_at: datetime | None) -> None:
        """See `PageTransaction.ask_for`."""
        for call_id in call_ids:
            if (held := self._held(call_id)) is not None:
                self.written.calls[call_id] = held._replace(call=held.call._replace(detail_due_at=due_at))

    def detail_failed(self, due: Mapping[str, datetime]) -> None:
        """See `PageTransaction.detail_failed`."""
        for call_id, due_at in due.items():
            if self._held(call_id) is not None:
                self.written.failures[call_id] = self._failures(call_id) + 1
                self.ask_for([call_id], due_at=due_at)

    def detail_came(self, call_ids: Collection[str]) -> None:
        """See `PageTransaction.detail_came`."""
        self.written.failures |= dict.fromkeys(call_ids, 0)

    def bury(self, call_ids: Collection[str], *, gone_at: datetime) -> int:
        """See `PageTransaction.bury`."""
        buried = {call_id: held for call_id in call_ids if (held := self._held(call_id)) is not None}
        for call_id, held in buried.items():
            self._keep_version(held, valid_to=gone_at, deleted=True)
            self.written.calls[call_id] = None
        return len(buried)

    # What is kept beside them

    def save_state(self, stream: str, state: StreamState) -> None:
        """See `PageTransaction.save_state`."""
        self.written.states, self.written.marks = {stream: replace(state, start=None)}, {stream: state.high_water_mark}

    def save_agents(self, agents: Sequence[AgentRow], *, observed_at: datetime) -> None:
        """See `PageTransaction.save_agents`."""
        for agent in agents:
            known = self.written.agents.get(agent.agent_id) or self._committed.agents.get(agent.agent_id)
            listed = known is not None and known.closed_at is None and known.last_seen_at > observed_at - SIGHTING
            if known is None or not listed or (known.name, known.status) != (agent.name, agent.status):
                first_seen_at = known.first_seen_at if known else observed_at
                self.written.agents[agent.agent_id] = KeptAgent(agent.name, agent.status, first_seen_at, observed_at)

    def close_agent(self, agent_id: str, *, observed_at: datetime) -> None:
        """See `PageTransaction.close_agent`."""
        known = self.written.agents.get(agent_id) or self._committed.agents.get(agent_id)
        if known is not None:
            self.written.agents[agent_id] = known._replace(closed_at=observed_at)

    def pin_organization(self, organization: str) -> None:
        """See `PageTransaction.pin_organization`."""
        self.written.about["pinned_organization"] = organization

    def save_connection(self, *, capabilities: JSON) -> None:
        """See `PageTransaction.save_connection`."""
        self.written.about |= {"capabilities": stored(capabilities)}

    def save_counters(self, counters: Counters) -> None:
        """See `PageTransaction.save_counters`."""
        self.written.counted = {name: getattr(counters, name) for name in Counters.__slots__}

    def resolve_rejects(self) -> None:
        """Resolve the rejects whose calls came right in this transaction, unless they were seen then or later."""
        rejects = self._committed.rejects | self.written.rejects
        for call_ids, stream, observed_at, reason in self._right:
            for key, reject in rejects.items():
                is_open = reject.resolved_at is None and reject.last_seen_at < observed_at
                if key[0] == stream and reject.call_id in call_ids and is_open and reason in (None, reject.reason):
                    self.written.rejects[key] = reject._replace(resolved_at=observed_at)

    # Inside

    def _held(self, call_id: str) -> Derived | None:
        written = self.written.calls
        return written[call_id] if call_id in written else self._committed.calls.get(call_id)

    def _failures(self, call_id: str) -> int:
        return self.written.failures.get(call_id, self._committed.failures.get(call_id, 0))

    def _all(self) -> Iterator[Derived]:
        return (entry for entry in (self._committed.calls | self.written.calls).values() if entry is not None)

    def _put(self, entry: Derived, held: Derived | None) -> None:
        """Write a call over the version held, which becomes history."""
        if held is not None:
            self._keep_version(held, valid_to=entry.call.last_changed_at, deleted=False)
            changed_at = max(entry.call.last_changed_at, held.call.last_changed_at + TICK)
            call = entry.call._replace(first_seen_at=held.call.first_seen_at, last_changed_at=changed_at)
            entry = entry._replace(call=call)
        self.written.calls[entry.call.call_id] = entry

    def _keep_version(self, held: Derived, *, valid_to: datetime, deleted: bool) -> None:
        call = held.call
        before = self.written.history.get(call.call_id) or self._committed.history.get(call.call_id, ())
        valid_to = max(valid_to, call.last_changed_at + TICK)
        version = Version(call, len(before) + 1, call.last_changed_at, valid_to, deleted)
        self.written.history[call.call_id] = (*before, version)


def entries_of(draft: Draft) -> Sequence[Derived]:
    """Return the calls of a draft one by one, also where they were made columns."""
    bulk = draft.rows
    if not isinstance(bulk, Bulk):
        return bulk
    people: dict[str, list[ParticipantRow]] = defaultdict(list)
    for row in _rows(bulk.participants or {}, ParticipantRow._fields, bulk.participations):
        people[row[1]].append(ParticipantRow(*row))
    calls = [CallRow(*row) for row in _rows(bulk.calls, CallRow._fields, bulk.count)]
    calls = [call._replace(raw=_text(call.raw), attributes=_text(call.attributes)) for call in calls]
    return [Derived(call, tuple(people[call.call_id]), ()) for call in calls]


def _rows(columns: Columns, names: Sequence[str], number: int) -> Iterator[tuple[Any, ...]]:
    filled = (columns.get(name, Same(None)) for name in names)
    return zip(*(repeat(column.value, number) if isinstance(column, Same) else column for column in filled), strict=True)


def _text(value: Any) -> Any:
    """Return JSON as text: a draft may hold it as it came."""
    return value.decode() if isinstance(value, bytes) else value


def _stored(held: Derived) -> Stored:
    call = held.call
    return Stored(call.raw, call.observed_at, call.content_hash, call.detail, call.detail_observed_at, call.detail_due_at)


def _later(held: CallRow, new: CallRow) -> bool:
    """Whether either record of the call that is held was observed later than that of the new row."""
    if held.observed_at > new.observed_at:
        return True
    seen_at, asked_at = new.detail_observed_at, held.detail_observed_at
    return asked_at is not None and (seen_at is None or asked_at > seen_at)


def _refused(call: CallRow) -> bool:
    """Whether no database could hold the call: a record of it has a number of more digits than `numeric` knows."""
    return any(_HUGE.search(text) is not None for text in (call.raw, call.detail or ""))
