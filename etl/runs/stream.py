"""Brings one stream up to date: decides what to read, demands proof before claiming it, loads one page per transaction."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from dataclasses import replace
from datetime import datetime

from etl.coverage import ORIGIN, Span, Spans
from etl.errors import AnchorNotMet, ResponseTooLarge
from etl.log import Logger
from etl.reading.orders import way_of
from etl.reading.walks import Note, Step
from etl.reading.walks.way import Attempt, Held
from etl.runs.context import Empty, Task
from etl.runs.listed import Sighting
from etl.runs.loading import drafted, load_page
from etl.runs.missing import Missing
from etl.runs.moves import is_listed_there
from etl.runs.port import PageTransaction
from etl.runs.prefetch import prefetch
from etl.runs.proof import Proof
from etl.runs.state import StreamState
from etl.runs.streams import fail_alone, oldest_wanted
from etl.runs.terms import Absent, Counters, Elsewhere, Finding, Loaded, Observed

log = Logger(__name__)

ANCHORS = 100
"""How many of the newest held calls may serve to prove that a walk sees the right account."""

PAGES_REMEMBERED = 3
"""How many earlier pages' ids are remembered: a call of the current page's slice may have been listed on one of them."""

NONE_ABSENT = Absent(held=0, call_ids=frozenset())

NOTES = {
    Note.ORDER_VIOLATED: "The provider's list is not in order; it is read completely at every run, and claimed only when whole.",
    Note.PAGE_IGNORED: "The provider serves its first page whatever page is asked for; what lies below it cannot be reached.",
    Note.PAGE_REPEATED: "The provider served a page again in the place of another; what belongs there is left as a gap.",
    Note.PAGE_SHORT: "A page in the midst of the list shows fewer calls than others; what may belong there is left as a gap.",
    Note.TOTAL_DISAGREES: "The provider's total and what it lists disagree; where that may hide a call, a gap is left.",
    Note.WINDOW_CUT: "The provider answers a long stretch of time in part only; it is read in stretches that are answered whole.",
    Note.FILTER_IGNORED: "The provider lists calls from outside of what was asked for; its list is read without that filter.",
}


def sync_stream(task: Task, stream: str, state: StreamState) -> StreamState:
    """
    Read what is owed of the stream, page by page, each in its own transaction; return the state at the end.

    Raises ConnectionFailed and its subclasses, BudgetSpent, FenceLost, WarehouseError; what was committed before stays.
    """
    reading = _Reading(task, stream, state)
    # What settled by a shorter lookback, or by a clock that was ahead, is restless by those of now; theirs is not known yet.
    reading.state = state.unsettled() if task.want.full else state.unsettled(task.clock.now() - task.account.lookback)
    while True:
        try:
            reading.read()
            break
        except ResponseTooLarge:
            # What was committed stands, so that a smaller page goes on there.
            if not reading.pager.smaller():
                raise
            log.warning("page.too_large", connection=task.connection, stream=stream, per_page=reading.pager.size)
    if reading.empty is not None:
        task.empty[stream] = reading.empty
    for gap in reading.state.lost - state.lost:
        task.find(
            Finding(
                stream=stream,
                code="gap",
                text=f"What happened from {gap.start:%Y-%m-%d %H:%M:%S} to {gap.end:%Y-%m-%d %H:%M:%S} UTC had left the "
                "provider's list before it was read, and can be had no more. Sync more often, so that the list still reaches "
                "what is held.",
            )
        )
    return reading.state


class _Reading:
    def __init__(self, task: Task, stream: str, state: StreamState) -> None:
        self.task = task
        self.stream = stream
        self.state = state
        self.covered_before = state.coverage
        self.floor = oldest_wanted(task.account, task.want)
        self.way = way_of(task.account.provider)
        self.pager = task.access(stream).pager()
        self.recent: deque[frozenset[str]] = deque(maxlen=PAGES_REMEMBERED)
        self.proof = Proof(task=task, stream=stream, way=self.way, pager=self.pager)
        retention = task.account.retention
        self.kept_since = task.clock.now() - retention if retention is not None else None
        self.missing = Missing(account=task.account, stream=stream, kept_since=self.kept_since)
        self.anew = self._anew()  # what to go on from once the list shows a call
        self.mostly_new = self.anew is not None or not state.coverage  # a guess for the next page
        self.empty: Empty | None = None  # the stream, if its list says that it has no call
        self.sighted: deque[frozenset[str]] = deque(maxlen=PAGES_REMEMBERED)  # call ids of the pages fetched last

    def _anew(self) -> StreamState | None:
        """
        Return an agent's stream as one that was never read, if its list was read before and has no call to show from then.

        Such a list is read whole: what it shows did not continue anything, and if it was empty in error, nothing is lost by it.
        """
        if not fail_alone(self.task.account) or not self.state.coverage or self.newest(None):
            return None
        return replace(self.state, coverage=Spans(), settled=Spans(), horizon=None)

    def wanted(self, end: datetime) -> Spans:
        """Return what this run is to read, up to `end`."""
        want = self.task.want
        if want.is_range:
            return Spans([Span(want.since or self.state.domain_start or ORIGIN, min(want.until or end, end))])
        if want.full:
            # Below the horizon too: the provider may serve more of the past than it did before.
            return Spans([Span(self.state.start or ORIGIN, end)])
        return (self.anew or self.state).to_read(end).below(end)

    def read(self) -> None:
        """Read what is wanted, walk by walk; of each walk's alternative plans, load the first that is proven."""
        now = self.task.clock.now()
        for plan in self.way.plans(self.pager, self.wanted(self.way.end(now)), self, now=now, exactly=self.task.want.is_range):
            for attempt in plan:
                if self._load(attempt, last=attempt is plan[-1]):
                    break
        self._decide()

    def _load(self, attempt: Attempt, *, last: bool) -> bool:
        """
        Load a walk's steps, but none before the first step proves that the account is the right one.

        Returns False if it does not, or raises AnchorNotMet if this was the last attempt.
        """
        before, missing = self.missing.unsettled(self.state), self.missing.copy()
        with closing(prefetch(map(self._drafted, attempt.steps), threads=self.task.threads)) as pages:
            for index, (step, observed) in enumerate(pages):
                enough = last or (attempt.by_detail and bool(step.records))
                if index == 0 and not self.proof.given_by(step, attempt.anchors, last=enough):
                    if not last:
                        return False
                    raise self.proof.missing(step, asked=len(attempt.anchors))
                if index == 0 and step.records and self.anew is not None:
                    self.state, before, self.anew = self.anew, self.anew, None
                if step.takes_back:
                    self.missing = missing
                self._commit(step, observed, before)
                if step.empty_before is not None and not attempt.anchors:
                    self.empty = Empty(self.state, step, step.empty_before)
                self.task.check_stop()
        return True

    def _drafted(self, step: Step) -> tuple[Step, Observed]:
        """Prepare the rows that will probably be written; runs in a thread while the page before is loaded."""
        task = self.task
        records = step.records
        if self.floor is not None:
            records = tuple(record for record in records if record.cursor is None or record.cursor >= self.floor)
            step = replace(step, read=step.read.above(self.floor), read_so_far=step.read_so_far.above(self.floor))
        observed = Observed(stream=self.stream, records=records, observed_at=step.sent_at, due_at=task.details_due_at())
        if self.mostly_new:
            # Pages overlap at their seams, and a page may be requested again.
            known = frozenset[str]().union(*(observed.call_ids & others for others in self.sighted))
            observed.draft = task.warehouse.encoded(drafted(task.account, observed, run_id=task.run_id, known=known))
        self.sighted.append(observed.call_ids)
        return step, observed

    def _commit(self, step: Step, observed: Observed, before: StreamState) -> None:
        try:
            self._write(step, observed, before)
        except AnchorNotMet:
            self.task.write(lambda page, _: page.save_state(self.stream, before))
            raise
        for note in step.notes:
            self._note(note)
        self.task.watcher.page_loaded(self.task.connection, self.stream, records=len(step.records), total=step.total)

    def _write(self, step: Step, observed: Observed, before: StreamState) -> None:
        task = self.task
        state = before if step.takes_back else self.state.after(step, lookback=task.account.lookback)
        shown = frozenset(record.call_id for record in step.records if record.call_id is not None)
        self.recent.append(shown)
        loaded, absent = Loaded(), NONE_ABSENT

        def load(page: PageTransaction, counters: Counters) -> None:
            nonlocal loaded, absent
            task.check_organization(step.records, page)
            absent = self.missing.look(page, step, recent=self.recent)
            loaded = load_page(
                page,
                task.account,
                observed,
                run_id=task.run_id,
                covered=self.covered_before,
                listed_there=lambda found: self._listed_there(found, observed.observed_at),
            )
            if absent.call_ids and task.account.provider.detail is not None:
                page.ask_for(absent.call_ids, due_at=task.at_once())
            counters.pages += 1
            counters.records_seen += len(step.records)
            counters.add(loaded)
            task.capabilities = self.pager.found
            page.save_state(self.stream, self.missing.unsettled(state, step, absent))

        task.write(load)
        self.state = state
        self.missing.note(absent, step, seen=shown | step.seen)
        self.mostly_new = 2 * loaded.inserted > len(step.records)
        task.open_seen |= loaded.open_ids
        if task.account.provider.detail is not None or fail_alone(task.account):
            task.listed.page(self.stream, step.records, read=step.read, absent=absent.call_ids)

    def _decide(self) -> None:
        """Bury the calls that are missing from all that was read, unless they have moved to where nothing was read."""
        if not self.missing.undecided:
            return
        end = self.way.end(self.task.clock.now())
        unread = Spans([Span(self.state.start or ORIGIN, end)]) - self.missing.read
        moved = self.way.moved(self.pager, unread, self)
        while self.missing.gone_at and (page := next(moved, None)) is not None:
            step = Step(records=page.records, sent_at=page.sent_at, read=Spans(), settles_before=page.sent_at, number=1)
            self._commit(*self._drafted(step), self.state)
            self.task.check_stop()

        def bury(page: PageTransaction, counters: Counters) -> None:
            counters.deleted += self.missing.bury(page)
            page.save_state(self.stream, self.state)

        self.task.write(bury)

    def _listed_there(self, found: Elsewhere, observed_at: datetime) -> bool | None:
        """Whether the stream that holds a call has listed it in this run, too; None: it has still to be read."""
        self.task.account_seen = True  # the account's own call, whichever stream has it
        if is_listed_there(self.task, found):
            return True
        waits = self.task.moves.wait(Sighting(self.stream, observed_at, found.record, found))
        return None if waits else False

    def _note(self, note: Note) -> None:
        log.warning("walk.noted", connection=self.task.connection, stream=self.stream, note=note.value)
        self.task.find(Finding(stream=self.stream, code=note.value, text=NOTES[note]))

    def newest(self, before: datetime | None) -> tuple[Held, ...]:
        """Return the newest held calls that the provider must still list: none older than its retention."""
        task = self.task
        newest = task.warehouse.newest(connection=task.connection, stream=self.stream, before=before, limit=ANCHORS)
        return newest if self.kept_since is None else tuple(one for one in newest if one.cursor >= self.kept_since)

    def oldest(self, since: datetime) -> tuple[Held, ...]:
        """Return the oldest held calls from `since` on."""
        return self.task.warehouse.oldest(connection=self.task.connection, stream=self.stream, since=since, limit=ANCHORS)

    def position(self, instant: datetime) -> int:
        """Return how many held calls are at or after `instant`."""
        return self.task.warehouse.position(connection=self.task.connection, stream=self.stream, instant=instant)
