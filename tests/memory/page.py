"""One page's transaction in memory (`etl.runs.port.PageTransaction`): what it writes is nowhere else until it is committed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from etl.coverage import Spans
from etl.model import JSON, OPEN_STATUSES, AgentRow, Context, Derived, DriftNote, Record, Rejection
from etl.records.derive import derive, same_content
from etl.records.identify import as_reject, identify
from etl.runs.account import Account
from etl.runs.port import Due
from etl.runs.state import StreamState
from etl.runs.terms import Absent, Counters, Loaded, Observed
from tests.memory.kept import KeptAgent, KeptDeparture, KeptReject, Shelf, Version

TICK = timedelta(microseconds=1)
SIGHTING = timedelta(days=1)
"""An agent that is listed as it was is written again once in so long."""

_HUGE = re.compile(rb"[eE]\+?[0-9]{6,}")


def stored(value: JSON) -> JSON:
    """Return what comes back of a JSON value that is stored: a copy, which nobody else can change."""
    return msgspec.json.decode(msgspec.json.encode(value))


class MemoryPage:
    """Reads through what it has written to what was committed before it."""

    def __init__(self, committed: Shelf, account: Account, run_id: int) -> None:
        self._committed = committed
        self._account = account
        self._run_id = run_id
        self._came: list[tuple[str, frozenset[str], datetime, bool]] = []  # stream, calls, when, whether by their details
        self.written = Shelf()

    # Calls

    def load(self, observed: Observed, *, covered: Spans) -> Loaded:
        """See `PageTransaction.load`."""
        stream, seen_at = observed.stream, observed.observed_at
        rejects = [(record, record.rejection) for record in observed.records if record.rejection is not None]
        drift: Counter[DriftNote] = Counter()
        inserted: list[Record] = []
        updated = unchanged = 0
        open_ids: set[str] = set()
        for call_id, record in observed.latest.items():
            held = self._held(call_id)
            if held is not None and held.call.status in OPEN_STATUSES:
                open_ids.add(call_id)
            if held is not None and held.call.stream != stream:
                rejects.append((record, Rejection.ID_IN_TWO_STREAMS))
                continue
            if held is not None and (held.call.observed_at > seen_at or self._says_the_same(held, record)):
                unchanged += 1
                continue
            entry = self._derived(observed, record, held)
            if _refused(record):
                rejects.append((as_reject(self._account.provider, record), Rejection.DATABASE_REFUSED))
                continue
            self._put(entry, held)
            drift.update(entry.drift)
            if entry.call.status in OPEN_STATUSES:
                open_ids.add(call_id)
            if held is None:
                inserted.append(record)
            else:
                updated += 1
        self._note_rejects(stream, rejects, seen_at)
        self._note_drift(drift, seen_at)
        self._came.append((stream, frozenset(observed.latest), seen_at, False))
        late = [covered.last.end - record.cursor for record in inserted if record.cursor is not None and record.cursor in covered]
        return Loaded(
            inserted=len(inserted),
            updated=updated,
            unchanged=unchanged,
            rejected=len(rejects),
            late=len(late),
            max_lateness=max(late, default=None),
            open_ids=frozenset(open_ids),
        )

    def load_detail(self, *, stream: str, call_id: str, detail: Record, observed_at: datetime, due: Due) -> Loaded:
        """See `PageTransaction.load_detail`."""
        held, provider = self._held(call_id), self._account.provider
        if held is None or (held.call.detail_observed_at is not None and held.call.detail_observed_at > observed_at):
            return Loaded()
        entry = derive(
            provider,
            self._context(stream),
            self._record(held),
            observed_at=held.call.observed_at,
            detail=detail,
            detail_observed_at=observed_at,
            last_changed_at=observed_at,
        )
        due_at = due(entry, detail.value)
        before = self._detail(held)
        if before is not None and same_content(provider, before.value, detail.value):
            self.ask_for([call_id], due_at=due_at)
            loaded = Loaded(unchanged=1)
        elif _refused(detail):
            reject = as_reject(provider, detail._replace(call_id=call_id))
            self._note_rejects(stream, [(reject, Rejection.DATABASE_REFUSED)], observed_at)
            return Loaded(rejected=1)
        else:
            self._put(entry._replace(call=entry.call._replace(detail_due_at=due_at)), held)
            self._note_drift(Counter(entry.drift), observed_at)
            loaded = Loaded(updated=1)
        self._came.append((stream, frozenset([call_id]), observed_at, True))
        return loaded

    def absent(self, *, stream: str, read: Spans, seen: Iterable[Collection[str]]) -> Absent:
        """See `PageTransaction.absent`."""
        held = {entry.call.call_id for entry in self._all() if entry.call.stream == stream and entry.call.cursor_at in read}
        return Absent(len(held), frozenset(held).difference(*seen))

    def ask_for(self, call_ids: Collection[str], *, due_at: datetime | None) -> None:
        """See `PageTransaction.ask_for`."""
        for call_id in call_ids:
            if (held := self._held(call_id)) is not None:
                self.written.calls[call_id] = held._replace(call=held.call._replace(detail_due_at=due_at))

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

    def save_connection(self, *, capabilities: JSON, request_log: JSON) -> None:
        """See `PageTransaction.save_connection`."""
        self.written.about |= {"capabilities": stored(capabilities), "request_log": stored(request_log)}

    def save_counters(self, counters: Counters) -> None:
        """See `PageTransaction.save_counters`."""
        self.written.counted = {name: getattr(counters, name) for name in Counters.__slots__}

    def resolve_rejects(self) -> None:
        """Resolve the rejects whose calls came right in this transaction, unless they were seen then or later."""
        rejects = self._committed.rejects | self.written.rejects
        for stream, call_ids, observed_at, by_detail in self._came:
            for key, reject in rejects.items():
                fits = reject.reason == Rejection.DATABASE_REFUSED if by_detail else True
                open_before = reject.resolved_at is None and reject.last_seen_at < observed_at
                if key[0] == stream and reject.call_id in call_ids and open_before and fits:
                    self.written.rejects[key] = reject._replace(resolved_at=observed_at)

    # Inside

    def _held(self, call_id: str) -> Derived | None:
        written = self.written.calls
        return written[call_id] if call_id in written else self._committed.calls.get(call_id)

    def _all(self) -> Iterator[Derived]:
        return (entry for entry in (self._committed.calls | self.written.calls).values() if entry is not None)

    def _says_the_same(self, held: Derived, record: Record) -> bool:
        return held.call.content_hash == record.digest or same_content(
            self._account.provider, self._record(held).value, record.value
        )

    def _derived(self, observed: Observed, record: Record, held: Derived | None) -> Derived:
        return derive(
            self._account.provider,
            self._context(observed.stream),
            record,
            observed_at=observed.observed_at,
            detail=self._detail(held) if held is not None else None,
            detail_observed_at=held.call.detail_observed_at if held is not None else None,
            detail_due_at=observed.due_at,
        )

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

    def _note_rejects(self, stream: str, rejects: Sequence[tuple[Record, Rejection]], seen_at: datetime) -> None:
        distinct = {record.digest: (record, reason) for record, reason in rejects}
        for digest, (record, reason) in distinct.items():
            key = (stream, digest.hex())
            known = self.written.rejects.get(key) or self._committed.rejects.get(key)
            call_id = record.call_id if reason is not Rejection.ID_TOO_LONG else None
            text = record.text.decode("utf-8", "replace").replace("\0", "\ufffd")
            self.written.rejects[key] = (
                known._replace(last_seen_at=seen_at, sightings=known.sightings + 1, reason=reason.value, resolved_at=None)
                if known
                else KeptReject(call_id, reason.value, text, seen_at, seen_at)
            )

    def _note_drift(self, drift: Counter[DriftNote], seen_at: datetime) -> None:
        for note, count in drift.items():
            key = (note.path, note.kind.value)
            known = self.written.departures.get(key) or self._committed.departures.get(key)
            first, before = (known.first_seen_at, known.count) if known else (seen_at, 0)
            self.written.departures[key] = KeptDeparture(note.sample, before + count, first, seen_at)

    def _context(self, stream: str) -> Context:
        account = self._account
        return Context(connection=account.connection, stream=stream, currency=account.currency, run_id=self._run_id)

    def _record(self, held: Derived) -> Record:
        record = identify(self._account.provider, held.call.raw.encode(), cleaned=False)
        return record._replace(digest=held.call.content_hash)

    def _detail(self, held: Derived) -> Record | None:
        detail = held.call.detail
        return None if detail is None else identify(self._account.provider, detail.encode(), cleaned=False)


def _refused(record: Record) -> bool:
    """Whether no database could hold the record: it has a number of more digits than `numeric` knows."""
    return _HUGE.search(record.text) is not None
