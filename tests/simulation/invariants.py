"""Knows what must hold after every step of a story, and what after a calm sync."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from etl.audit.port import StreamVerdict
from etl.coverage import BEGINNING, Span, Spans
from etl.model import Verdict
from etl.provider import CALLS, Order
from etl.sandbox.instants import moment
from tests.acceptance.expected import differences, expected_calls, held_calls
from tests.conformance.worlds import decoded
from tests.simulation.broken import Broken
from tests.simulation.erasure import STAYS, check_erased

if TYPE_CHECKING:
    from tests.simulation.play import Play
    from tests.simulation.underneath import Row

MOST = 60
"""Requests of a sync besides those for pages and calls: probing, agents, anchors, retries."""

UNTOLD = frozenset({"total_capped", "total_missing", "total_of_page"})
"""Lies with which no total tells that calls have vanished."""

MISPLACED = frozenset({"page_repeated", "cached", "again"})
"""Lies by which a page stands in the place of another; where a walk jumps over what is held, nothing shows it."""


@dataclass(frozen=True, slots=True)
class Before:
    """How things stood before a process began."""

    visible: Mapping[tuple[str, str], datetime]  # the cursors of the calls that live, by stream and id
    coverage: Mapping[str, Spans]
    listed: frozenset[str]  # the calls that ever lived
    seen: Mapping[str, tuple[datetime, datetime]]  # when both records of each call held were observed
    marks: Mapping[str, datetime | None]

    @classmethod
    def of(cls, play: Play) -> Before:
        """Look."""
        coverage = {stream: state.coverage for stream, state in play.under.states().items()}
        seen = {row["call_id"]: _observed(row) for row in play.under.calls()}
        return cls(_visible(play), coverage, frozenset(play.listed), seen, dict(play.under.marks()))


def truth(play: Play) -> dict[str, dict[str, Any]]:
    """Return the rows that the list records of the calls that live and are owed become."""
    rows = expected_calls(_Stage(play), play.story.provider)  # type: ignore[arg-type]
    start, agents = play.account.start_date, play.account.agents
    return {
        call_id: _plain(row)
        for call_id, row in rows.items()
        if (start is None or row["cursor_at"] >= start) and (agents is None or row["stream"] in agents)
    }


def check(play: Play, *, before: Before | None = None, sent: int = 0, whole: dict[str, dict[str, Any]] | None = None) -> None:
    """
    Look at everything that must hold. Raises Broken.

    `whole`: the truth as a sync in calm times found it; what has not changed since must be held.
    """
    if before is not None:
        _claims_are_true(play, before)
        _nothing_older_goes_over_newer(play, before)
        _requests_have_a_bound(play, sent)
        _marks_pass_no_gap(play, before)
    _history_is_gapless(play)
    # Whoever hangs between taking a place and sending cannot know that the account is another's by then.
    if play.world.apis.violations(play.story.provider) > play.taken_over:
        raise Broken("a request came too early")
    if unknown := {row["call_id"] for row in play.under.calls()} - play.listed:
        raise Broken("calls are held that never lived", unknown)
    check_erased(play)
    if whole is not None:
        _holds_the_truth(play, whole)
        if found := play.under.contradictions():
            raise Broken("the warehouse contradicts itself", found)


def check_verdicts(play: Play, verdicts: Iterable[StreamVerdict]) -> None:
    """Where an audit says `complete`, just the calls that live are held. Raises Broken."""
    for one in verdicts:
        if one.verdict is not Verdict.COMPLETE:
            continue
        span = Spans([one.span])
        living = {call_id for (stream, call_id), at in _visible(play).items() if stream == one.stream and _within(at, span)}
        held = {row["call_id"] for row in play.under.calls() if row["stream"] == one.stream and _within(row["cursor_at"], span)}
        if len(living) != len(held):
            raise Broken("an audit says that all is complete", (one, living ^ held))


def _claims_are_true(play: Play, before: Before) -> None:
    """What was newly claimed as read holds every call that lived before the process began and lives still."""
    now = _visible(play)
    held = {(row["stream"], row["call_id"]) for row in play.under.calls()}
    lived = {call_id for _, call_id in before.visible} | play.listed - before.listed
    gone, fresh = lived - {call_id for _, call_id in now}, play.listed - before.listed
    hides = _one_may_be_hidden(play, before, gone=gone, fresh=fresh)
    for stream, state in play.under.states().items():
        claimed = state.coverage - before.coverage.get(stream, Spans())
        for key, cursor in before.visible.items():
            if key[0] != stream or now.get(key) != cursor or key in held or not _within(cursor, claimed):
                continue
            if hides:
                play.excused.add(key[1])
            else:
                raise Broken("coverage claims what was not read", (key, cursor, claimed))
        if state.settled - state.coverage:
            raise Broken("settled reaches beyond coverage", (stream, state.settled - state.coverage))


def _one_may_be_hidden(play: Play, before: Before, *, gone: Collection[object], fresh: Collection[object]) -> bool:
    """Whether what happened during a walk of a list without filters is among what cannot be promised (docs/promise.md)."""
    if play.account.provider.listing.order is Order.ASCENDING:
        return False
    untold = play.story.provider == "salpre" or play.lie in UNTOLD
    if play.lie in MISPLACED and (untold or play.lie == "cached" or any(before.coverage.values())):
        return True
    return bool(gone) and (untold or bool(fresh))


def _nothing_older_goes_over_newer(play: Play, before: Before) -> None:
    """A call that is held all the while is never put back to an earlier observation of either of its records."""
    gone = {call_id for call_id, versions in play.under.history().items() if versions[-1].deleted}
    for row in play.under.calls():
        earlier = before.seen.get(row["call_id"])
        if earlier is None or row["call_id"] in gone:  # what had left begins anew
            continue
        if any(now < then for now, then in zip(_observed(row), earlier, strict=True)):
            raise Broken("an older observation went over a newer one", (row["call_id"], earlier, _observed(row)))


def _observed(row: Mapping[str, Any]) -> tuple[datetime, datetime]:
    return row["observed_at"], row["detail_observed_at"] or BEGINNING


def _requests_have_a_bound(play: Play, sent: int) -> None:
    known = len(play.listed)
    bound = MOST + 8 * (known // (play.account.per_page or 1) + 1) + 6 * known
    if play.misled:  # what contradicts itself is looked at again and again
        bound *= 4
    if sent > bound:
        raise Broken("more requests than any reason explains", (sent, bound))


def _marks_pass_no_gap(play: Play, before: Before) -> None:
    """
    Below the horizon nothing can be read any more: a gap there is lost, and said to be.

    A mark that no process has written anew is that of the start date as it was then.
    """
    states = play.under.states()
    for stream, mark in play.under.marks().items():
        state = states[stream]
        if mark is None or (mark, state.coverage) == (before.marks.get(stream), before.coverage.get(stream)):
            continue
        if not state.coverage:
            raise Broken("a mark without anything read", (stream, mark))
        begins = (state.coverage.first.start, state.horizon, play.account.start_date)
        start = max(one for one in begins if one is not None)
        if mark > start and Spans([Span(start, mark)]) - state.coverage:
            raise Broken("the mark is past a gap", (stream, mark, state))


def _history_is_gapless(play: Play) -> None:
    for call_id, versions in play.under.history().items():
        for number, version in enumerate(versions):
            if version.valid_from >= version.valid_to:
                raise Broken("a version ends before it begins", (call_id, version.valid_from, version.valid_to))
            earlier = versions[number - 1] if number else None
            if earlier is None or earlier.valid_to == version.valid_from:
                continue
            may_gap = earlier.deleted or call_id in play.torn  # a deleted call may have come back later
            if earlier.valid_to > version.valid_from or not may_gap:
                raise Broken("versions overlap or leave a gap", (call_id, number))


def _holds_the_truth(play: Play, found: dict[str, dict[str, Any]]) -> None:
    """Every call that is as it was found, and that our clock had come to by then, is held field by field as it is."""
    living = truth(play)
    owed = {call_id: row for call_id, row in living.items() if found.get(call_id) == row}
    play.excused -= {row["call_id"] for row in play.under.calls()}
    owed = {call_id: row for call_id, row in owed.items() if call_id not in play.excused}
    held = {call_id: _plain(row) for call_id, row in held_calls(_Stage(play), play.story.provider).items()}  # type: ignore[arg-type]
    erased = play.under.erased()
    counting = {call_id: {name: row[name] for name in STAYS & row.keys()} for call_id, row in owed.items() if call_id in erased}
    wrong = differences({call_id: row for call_id, row in owed.items() if call_id not in counting}, held)
    wrong |= differences(counting, _counts(play.under.calls(), counting))
    here = {row["call_id"] for row in play.under.calls()}
    lost, gone = play.torn.intersection(wrong) - here, here - living.keys()
    if len(lost) <= len(gone):  # no count shows that calls are missing here: as many are gone at the provider (docs/promise.md)
        play.excused |= lost
        wrong = {call_id: one for call_id, one in wrong.items() if call_id not in lost}
    if wrong:
        raise Broken("what is held is not the truth", wrong)


def _counts(rows: Collection[Row], counting: Mapping[str, Row]) -> dict[str, Row]:
    """Return of each of these calls what counts prove by."""
    return {row["call_id"]: {name: row[name] for name in counting[row["call_id"]]} for row in rows if row["call_id"] in counting}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "day"}


class _Stage:
    """As much of an acceptance test's stage as `tests.acceptance.expected` looks at."""

    def __init__(self, play: Play) -> None:
        self.history = play.world.history
        self.sandbox = play.world.apis
        self._play = play

    def calls(self, provider: str) -> dict[str, dict[str, Any]]:
        """Return all columns of all calls by their ids, but of those that are erased."""
        erased = self._play.under.erased()
        return {row["call_id"]: decoded(row) | {"day": None} for row in self._play.under.calls() if row["call_id"] not in erased}


def _visible(play: Play) -> dict[tuple[str, str], datetime]:
    return {(call.agent or CALLS, call.id): moment(call.cursor) for call in play.world.history.living(play.story.provider)}


def _within(instant: datetime, spans: Spans) -> bool:
    return bool(spans & Spans([Span(instant, instant + timedelta(microseconds=1))]))
