"""
The steps of an audit: check the warehouse against itself, compare each stream with the provider, repair, give verdicts.

`look` changes nothing; `look_and_mend` repairs what disagrees and compares again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from etl.audit.breakdowns import compare_days, compare_statuses
from etl.audit.counts import END, Comparison, Counted, Located
from etl.audit.port import AuditOutcome, AuditWarehouse, Disagreement, StreamVerdict
from etl.audit.repair import mend_batch, read_again, read_damaged
from etl.audit.self_check import Wrong, compare_rollups, examine_batch
from etl.coverage import BEGINNING, ORIGIN, Span
from etl.errors import AnchorNotMet, ConnectionFailed, NotFound
from etl.model import Verdict
from etl.printable import number_of
from etl.reading.orders import way_of
from etl.reading.walks.way import Uncountable
from etl.runs.context import Task
from etl.runs.details import read_details
from etl.runs.state import StreamState
from etl.runs.streams import fail_alone, not_begun, start_of, streams_to_audit
from etl.runs.terms import Finding, Want


class _Stream:
    """The findings about one stream while it is audited."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.span = Span(BEGINNING, ORIGIN)
        self.counted: Counted | None = None
        self.located = Located()
        self.outage = False
        self.uncountable = False
        self.was_wrong = False
        self.notes: list[str] = []


class Audit:
    """The audit of one connection against itself and against its provider."""

    def __init__(self, task: Task, warehouse: AuditWarehouse, outcome: AuditOutcome) -> None:
        self.task = task
        self.warehouse = warehouse
        self.outcome = outcome
        self.states = warehouse.streams(task.connection)
        self.found: Counter[str] = Counter()  # by stream, the warehouse's disagreements with itself
        self.open: Counter[str] = Counter()  # by stream, those of them not repaired
        self.rollups: list[Disagreement] = []  # stored roll-ups that differ; named with the first stream
        self.copies: dict[str, dict[str, datetime]] = defaultdict(dict)  # by stream, held rows that are not calls

    def look(self) -> None:
        """Compare and give verdicts, changing nothing."""
        for batch in self.warehouse.batches(self.task.connection):
            self.task.check_stop()
            self.outcome.checked += len(batch.held.calls)
            wrong = examine_batch(self.task, self.warehouse, batch)
            for disagreement in _all(wrong):
                self._name(disagreement)
            for row in wrong.copies:
                self.copies[row.stream][row.call_id] = row.cursor_at
        streams = list(self._streams())
        for stream in streams:
            self._count(stream)
            for disagreement in stream.located.disagreements(stream.name, mended=False):
                self.outcome.name(disagreement)
        if not self.outcome.disagreements:  # else roll-ups may differ from rows that are wrong themselves
            self.rollups = compare_rollups(self.task, self.warehouse, mend=False)
        for stream in streams:
            self._conclude(stream)

    def look_and_mend(self) -> None:
        """Compare, repair what disagrees, compare again, and give verdicts."""
        damaged = []
        for batch in self.warehouse.batches(self.task.connection):
            self.task.check_stop()
            self.outcome.checked += len(batch.held.calls)
            wrong = examine_batch(self.task, self.warehouse, batch)
            for disagreement in mend_batch(self.task, self.warehouse, wrong):
                self._name(disagreement)
            damaged += wrong.damaged
        for disagreement in read_damaged(self.task, self.warehouse, damaged):
            self._name(disagreement)
        streams = list(self._streams())
        for stream in streams:
            self._count(stream)
            if stream.uncountable:
                stream.located = Located(stretches=[Span(BEGINNING, END)])
            if stream.uncountable or (stream.counted is not None and not stream.counted.agree and not stream.outage):
                self._reread(stream)
        read_details(self.task)
        self.rollups = compare_rollups(self.task, self.warehouse, mend=True)  # of days that nothing has touched until now
        for stream in streams:
            if stream.counted is not None and not stream.counted.agree and not stream.outage:
                self._count_again(stream)
            self._conclude(stream)

    def _streams(self) -> Iterator[_Stream]:
        return map(_Stream, streams_to_audit(self.task, self.states))

    def _start(self, name: str) -> datetime | None:
        """Return the start of the comparable range: not before the start date, nor where the provider's list ends."""
        account, state = self.task.account, self.states.get(name)
        return way_of(account.provider).counted_from(
            account.start_date,
            state.horizon if state is not None else None,
            held_in=lambda span: self.warehouse.count_in(connection=self.task.connection, stream=name, span=span),
        )

    def _compare(self, stream: _Stream) -> Comparison:
        comparison = Comparison(
            self.task, self.warehouse, stream.name, start=self._start(stream.name), copies=self.copies[stream.name]
        )
        stream.span, stream.counted = comparison.span, comparison.count()
        return comparison

    def _count(self, stream: _Stream) -> None:
        """Count one stream on both sides, and narrow down what disagrees."""
        state = self.states.get(stream.name)
        stream.span = Span(BEGINNING, self.task.clock.now())
        try:
            if state is not None and state.closed_at is not None:
                stream.notes.append("the agent no longer exists at the provider; its calls are kept")
                return
            if future := not_begun(self.task.account, Want(), now=self.task.clock.now()):
                stream.notes.append(future)
                return
            comparison = self._compare(stream)
            if stream.counted is not None and not stream.counted.agree:
                comparison = self._compare(stream)  # a call may have come or gone between two requests
            if (counted := stream.counted) is None:
                return
            self._note_gaps(stream, state, counted)
            if counted.agree:
                if state is None and not counted.held:
                    stream.counted, stream.uncountable = None, True  # nothing was ever compared with anything
                    return
                self._second_look(stream, counted)
                return
            stream.was_wrong = True
            if not counted.provider and counted.held:
                stream.outage = True
                stream.notes.append("the provider counts no call at all, as it would in an outage; nothing was deleted")
                return
            stream.located = comparison.locate(counted)
            self._excuse_repeats(stream)
        except Uncountable as why:
            stream.counted, stream.uncountable = None, True
            stream.notes.append(str(why))
        except NotFound as absent:
            if absent.naming != "agent":
                raise
            stream.notes.append("the provider knows no such agent")

    def _excuse_repeats(self, stream: _Stream) -> None:
        counted, repeats = stream.counted, stream.located.repeats
        if counted is not None and repeats:
            stream.counted = Counted(
                span=counted.span, provider=counted.provider - repeats, held=counted.held, rejected=counted.rejected
            )
            stream.notes.append(f"the provider lists {number_of(repeats, 'call')} twice; each is counted once")

    def _second_look(self, stream: _Stream, counted: Counted) -> None:
        """Compare a stream whose total agrees by status and by day as well."""
        for look in (compare_statuses, compare_days):
            if note := look(self.task, self.warehouse, stream.name, counted):
                stream.notes.append(note)

    def _note_gaps(self, stream: _Stream, state: StreamState | None, counted: Counted) -> None:
        if state is None or (not state.coverage and counted.provider):
            stream.notes.append("the stream was never read")
        elif gaps := replace(state, start=start_of(self.task.account)).gaps:
            first, last = gaps.first.start, gaps.last.end
            where = f"before {last:%Y-%m-%d}" if first == BEGINNING else f"between {first:%Y-%m-%d} and {last:%Y-%m-%d}"
            number = "a gap" if len(gaps) == 1 else f"{len(gaps)} gaps"
            stream.notes.append(f"{number} {where} {'was' if len(gaps) == 1 else 'were'} not read")

    def _reread(self, stream: _Stream) -> None:
        try:
            read_again(self.task, self.warehouse, stream.name, stream.located, start=self._start(stream.name))
        except AnchorNotMet as unproven:
            self.outcome.findings.append(Finding(stream=stream.name, code=unproven.code, text=str(unproven)))
        except ConnectionFailed as failure:
            if not fail_alone(self.task.account):
                raise
            self.outcome.error = self.outcome.error or failure.of(self.task.connection)

    def _count_again(self, stream: _Stream) -> None:
        self.states = self.warehouse.streams(self.task.connection)
        located = stream.located
        try:
            self._compare(stream)
            self._excuse_repeats(stream)
        except Uncountable as why:
            stream.notes.append(str(why))
        held = self.warehouse.held_ids(self.task.connection, [*located.missing, *located.extra])
        for found in located.disagreements(stream.name, mended=False):
            mended = (found.call_id in held) == (found.differs == ("missing",))
            self.outcome.name(found._replace(mended=mended))

    def _name(self, disagreement: Disagreement) -> None:
        self.outcome.name(disagreement)
        self.found[disagreement.stream] += 1
        self.open[disagreement.stream] += not disagreement.mended

    def _conclude(self, stream: _Stream) -> None:
        # Rows that belong to no call belong to no stream; they count for the first stream.
        of_none = [] if self.outcome.verdicts else [name for name in self.found if name not in self.states]
        found = sum(self.found[name] for name in {stream.name, *of_none})
        left = sum(self.open[name] for name in {stream.name, *of_none})
        counted = stream.counted
        if counted is not None and not counted.agree and stream.located.unread:
            stream.notes.append(
                f"{number_of(stream.located.unread, 'stretch', 'stretches')} of disagreement could not be narrowed down to calls"
            )
        if found:
            stream.notes.append(f"{number_of(found, 'call')} disagreed with the records kept, {found - left:,} mended")
        for disagreement in self.rollups:
            self.outcome.name(disagreement)
        if self.rollups:
            found_anywhere = ", ".join(name for one in self.rollups for name in one.differs)
            again = " and are made again" if self.rollups[0].mended else ""
            stream.notes.append(f"stored roll-ups did not agree with the calls held{again}: {found_anywhere}")
            stream.was_wrong = True
            left += not self.rollups[0].mended
            self.rollups = []
        if left or (counted is not None and not counted.agree):
            verdict = Verdict.MISMATCH
        elif counted is None:
            verdict = Verdict.UNVERIFIABLE
        else:
            verdict = Verdict.REPAIRED if found or stream.was_wrong else Verdict.COMPLETE
        self.outcome.verdicts.append(
            StreamVerdict(
                stream=stream.name,
                span=stream.span,
                provider_count=counted.provider if counted else None,
                warehouse_count=counted.held if counted else None,
                rejected_count=counted.rejected if counted else None,
                verdict=verdict,
                note="; ".join(dict.fromkeys(stream.notes)) or None,
            )
        )


def _all(wrong: Wrong) -> Iterator[Disagreement]:
    yield from (disagreement for disagreement, _ in wrong.rewrite)
    yield from wrong.erase
    yield from (disagreement for disagreement, _ in wrong.damaged)
    yield from wrong.versions
