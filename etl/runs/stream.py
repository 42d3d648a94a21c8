"""Brings one stream up to date: decides what to read, demands proof before claiming it, loads one page per transaction."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from datetime import datetime

import structlog

from etl.coverage import ORIGIN, Span, Spans
from etl.errors import AnchorNotMet, NotFound, ResponseTooLarge
from etl.reading.orders import way_of
from etl.reading.source import Page
from etl.reading.walks import Note, Step
from etl.reading.walks.way import Attempt, Held
from etl.runs.context import Task
from etl.runs.loading import drafted, load_page
from etl.runs.port import PageTransaction
from etl.runs.prefetch import prefetch
from etl.runs.state import StreamState
from etl.runs.terms import Counters, Finding, Loaded, Observed

log = structlog.get_logger(__name__)

ANCHORS = 100
"""How many of the newest held calls may serve to prove that a walk sees the right account."""

ASKED_ANCHORS = 5
"""How many of them are requested by their detail if the first page shows none."""

PAGES_REMEMBERED = 3
"""How many earlier pages' ids are remembered: a call of the current page's slice may have been listed on one of them."""

NOTES = {
    Note.ORDER_VIOLATED: "The provider's list is not in order; it is read completely at every run, and claimed only when whole.",
    Note.PAGE_IGNORED: "The provider serves its first page whatever page is asked for; what lies below it cannot be reached.",
    Note.PAGE_REPEATED: "The provider served a page again in the place of another; what belongs there is left as a gap.",
    Note.TOTAL_DISAGREES: "The provider's total and what it lists disagree; where that may hide a call, a gap is left.",
}


def sync_stream(task: Task, stream: str, state: StreamState) -> StreamState:
    """
    Read what is owed of the stream, page by page, each in its own transaction; return the state at the end.

    Raises ConnectionFailed and its subclasses, BudgetSpent, FenceLost, WarehouseError; what was committed before stays.
    """
    reading = _Reading(task, stream, state)
    if task.want.full:
        reading.state = state.unsettled()
    while True:
        try:
            reading.read()
            break
        except ResponseTooLarge:
            # What was committed stands, so that a smaller page goes on there.
            if not reading.pager.smaller():
                raise
            log.warning("page.too_large", connection=task.connection, stream=stream, per_page=reading.pager.size)
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
        self.way = way_of(task.account.provider)
        self.pager = task.access(stream).pager()
        self.recent: deque[frozenset[str]] = deque(maxlen=PAGES_REMEMBERED)
        self.held = self.missed = 0
        self.mostly_new = not state.coverage  # a guess for the next page: a stream never read is mostly new
        self.sighted: deque[frozenset[str]] = deque(maxlen=PAGES_REMEMBERED)  # call ids of the pages fetched last

    def wanted(self, end: datetime) -> Spans:
        """Return what this run is to read, up to `end`."""
        want = self.task.want
        if want.is_range:
            return Spans([Span(want.since or self.state.domain_start or ORIGIN, min(want.until or end, end))])
        if want.full:
            # Below the horizon too: the provider may serve more of the past than it did before.
            return Spans([Span(self.state.start or ORIGIN, end)])
        return self.state.to_read(end).below(end)

    def read(self) -> None:
        """Read what is wanted, walk by walk; of each walk's alternative plans, load the first that is proven."""
        wanted = self.wanted(self.way.end(self.task.clock.now()))
        for plan in self.way.plans(self.pager, wanted, self, exactly=self.task.want.is_range):
            for attempt in plan:
                if self._load(attempt, last=attempt is plan[-1]):
                    break

    def _load(self, attempt: Attempt, *, last: bool) -> bool:
        """
        Load a walk's steps, but none before the first step proves that the account is the right one.

        Returns False if it does not, or raises AnchorNotMet if this was the last attempt.
        """
        before = self.state
        with closing(prefetch(map(self._drafted, attempt.steps), threads=self.task.threads)) as pages:
            for index, (step, observed) in enumerate(pages):
                if index == 0 and not self._proven(step, attempt.anchors, last=last):
                    if not last:
                        return False
                    raise self._anchor_not_met(len(attempt.anchors))
                self._commit(step, observed, before)
                self.task.check_stop()
        return True

    def _drafted(self, step: Step) -> tuple[Step, Observed]:
        """Prepare the rows that will probably be written; runs in a thread while the page before is loaded."""
        task = self.task
        observed = Observed(stream=self.stream, records=step.records, observed_at=step.sent_at, due_at=task.details_due_at())
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
        self.recent.append(observed.call_ids)
        held, missed = self.held, self.missed
        loaded = Loaded()

        def load(page: PageTransaction, counters: Counters) -> None:
            nonlocal loaded
            self.held, self.missed = held, missed
            task.check_organization(step.records, page)
            absent = self._absent(page, step)
            loaded = load_page(page, task.account, observed, run_id=task.run_id, covered=self.covered_before)
            counters.deleted += self._settle_absent(page, absent, step)
            counters.pages += 1
            counters.records_seen += len(step.records)
            counters.add(loaded)
            task.capabilities = self.pager.found
            page.save_state(self.stream, state)

        task.write(load)
        self.state = state
        self.mostly_new = 2 * loaded.inserted > len(step.records)
        task.open_seen |= loaded.open_ids

    def _note(self, note: Note) -> None:
        log.warning("walk.noted", connection=self.task.connection, stream=self.stream, note=note.value)
        self.task.find(Finding(stream=self.stream, code=note.value, text=NOTES[note]))

    def newest(self, before: datetime | None) -> tuple[Held, ...]:
        """Return the newest held calls that the provider must still list: none older than its retention."""
        task = self.task
        newest = task.warehouse.newest(connection=task.connection, stream=self.stream, before=before, limit=ANCHORS)
        if task.account.retention is None:
            return newest
        kept_since = task.clock.now() - task.account.retention
        return tuple(anchor for anchor in newest if anchor.cursor >= kept_since)

    def oldest(self, since: datetime) -> tuple[Held, ...]:
        """Return the oldest held calls from `since` on."""
        return self.task.warehouse.oldest(connection=self.task.connection, stream=self.stream, since=since, limit=ANCHORS)

    def position(self, instant: datetime) -> int:
        """Return how many held calls are at or after `instant`."""
        return self.task.warehouse.position(connection=self.task.connection, stream=self.stream, instant=instant)

    def _proven(self, step: Step, anchors: tuple[Held, ...], *, last: bool) -> bool:
        """Whether a walk's first step shows a held call, and so the right account; true if no call is held yet."""
        if not anchors or self._meets(step):
            return True
        if any(self._meets(page) for page in self.way.elsewhere(self.pager, step, anchors)):
            return True
        return last and self._answers(step, anchors)

    def _meets(self, shown: Step | Page) -> bool:
        """Whether a step or a page shows any call that is held."""
        ids = [record.call_id for record in shown.records if record.call_id is not None]
        met = self.task.warehouse.held_among(connection=self.task.connection, stream=self.stream, call_ids=ids)
        self.task.account_seen = self.task.account_seen or bool(met)
        return bool(met)

    def _answers(self, step: Step, anchors: tuple[Held, ...]) -> bool:
        """
        Whether the provider accounts for the newest held calls although its list does not show them.

        Either it still has one of them (its list of recent calls does not reach that far back), or it says of each that it is
        gone, and this run has met held calls in another stream of the account.
        """
        if self.task.account.provider.detail is None:
            return False
        gone = 0
        for anchor in anchors[:ASKED_ANCHORS]:
            try:
                self.task.source.detail(stream=self.stream, call_id=anchor.call_id)
            except NotFound as absent:
                gone += absent.naming == "call"
                continue
            return True
        accounted = self.task.account_seen and gone == len(anchors[:ASKED_ANCHORS])
        if accounted and not step.records:
            text = "The provider lists no call, and says that those held are gone. Nothing was claimed or deleted."
            self.task.find(Finding(stream=self.stream, code="list_empty", text=text))
        return accounted

    def _anchor_not_met(self, asked: int) -> AnchorNotMet:
        known = "the newest call held" if asked == 1 else f"the {asked} newest calls held"
        return AnchorNotMet(
            f"in stream {self.stream}, the provider's answer shows none of {known}.",
            safe="Nothing was stored or claimed.",
            hint="Either the provider has an outage (the next sync continues), or the token belongs to another account: "
            f"check connections.{self.task.connection}.token, and give another account a connection name of its own.",
        )

    def _absent(self, page: PageTransaction, step: Step) -> frozenset[str]:
        """Return the held calls that the walk should have seen and did not. Raises AnchorNotMet if they are too many."""
        held, absent = page.absent(stream=self.stream, read=step.read, seen=(step.seen, *self.recent))
        self.held, self.missed = self.held + held, self.missed + len(absent)
        task = self.task
        if not task.account.believes_deleted(self.missed, of=self.held):
            raise AnchorNotMet(
                f"in stream {self.stream}, {self.missed} of {self.held} calls held are missing from what the provider listed.",
                safe="What this walk claimed was taken back, and nothing was deleted.",
                hint="If they were really deleted at the provider, set "
                f"connections.{task.connection}.max_delete_share = 1 for one run; else wait until its outage ends.",
            )
        return absent

    def _settle_absent(self, page: PageTransaction, absent: frozenset[str], step: Step) -> int:
        """
        Schedule the details of absent calls to confirm that they are gone; without details, the complete reading is proof.

        Return how many calls were moved to the history.
        """
        if not absent:
            return 0
        task = self.task
        if task.account.provider.detail is not None:
            page.ask_for(absent, due_at=task.at_once())
        elif step.records:
            return page.bury(absent, gone_at=step.sent_at)
        return 0
