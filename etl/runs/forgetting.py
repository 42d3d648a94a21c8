"""
A run that goes through what is held of one connection and cuts what is erased: persons, calls, and what is too old.

Who and what is erased was registered before, in transactions of its own, so that no page brings it back meanwhile. Each batch is
one transaction behind the fence. What is cut already is left alone: a run that was cut off is begun again, and ends the same.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from operator import add, attrgetter
from typing import Any, NamedTuple, Protocol, TypeVar

from etl.errors import Interrupted
from etl.records.identify import identify
from etl.records.shield import Cut
from etl.runs.account import Account
from etl.runs.erasing import cut_held, cut_rejects, erase_held
from etl.runs.lifecycle import Run, Surroundings, carry_out, under_lock
from etl.runs.port import FIRST, Cutting, ErasingPage, PageTransaction, Place, RejectText, RunRegister
from etl.runs.repeated import repeated
from etl.runs.state import StreamState
from etl.runs.terms import Outcome, RunKind, RunStatus

Result = TypeVar("Result")
Where = TypeVar("Where")
Batch = tuple[Sequence[Any], Cutting]
"""What was looked through in one transaction, and what was cut of it."""

CALLS = 500
"""The number of calls, or of superseded versions, that are looked through in one transaction."""

REJECTS = 200
"""The number of rejects looked through in one; a reject can be large."""

DAILY = timedelta(days=1)
"""How often calls become too old, so that not every look opens a run."""

STREAM = "forget"
"""The stream name given to the watcher."""


class Texts(NamedTuple):
    """The records of a held call (version 0), or of a superseded version of it, as JSON text."""

    call_id: str
    version: int
    raw: str
    detail: str | None


class Aged(NamedTuple):
    """A call, and where it stands in its stream."""

    cursor_at: datetime
    call_id: str


class Standing(NamedTuple):
    """Up to where a connection was gone through: for which erasures, and for which ages."""

    erasures: int
    erasures_done: int
    calls_before: datetime | None
    calls_done: datetime | None
    words_before: datetime | None
    words_done: datetime | None

    @property
    def is_behind(self) -> bool:
        """Whether somebody was forgotten since everything was gone through last."""
        return self.erasures > self.erasures_done

    @property
    def aged(self) -> tuple[datetime | None, datetime] | None:
        """The range of cursors (None: from the first) in which calls have become too old since; None: there is none."""
        pairs = ((self.calls_before, self.calls_done), (self.words_before, self.words_done))
        moved = [(before, done) for before, done in pairs if before is not None and before != done]
        if not moved:
            return None
        starts = [done for _, done in moved if done is not None]
        return (min(starts) if len(starts) == len(moved) else None), max(before for before, _ in moved)


class ForgettingPage(PageTransaction, Protocol):
    """The transaction of one batch."""

    def texts_after(self, after: str, *, limit: int) -> Sequence[Texts]:
        """Return the records of the next calls in the order of their ids."""
        ...

    def versions_after(self, after: tuple[str, int], *, limit: int) -> Sequence[Texts]:
        """Return the records of the next superseded versions, in the order of ids and versions."""
        ...

    def aged_calls(
        self, stream: str, after: Aged | None, *, since: datetime | None, until: datetime, limit: int
    ) -> Sequence[Aged]:
        """Return the next held calls of a stream with a cursor in this range, in its order."""
        ...

    def aged_versions(self, after: str, *, since: datetime | None, until: datetime, limit: int) -> Sequence[Aged]:
        """Return the next calls, in the order of their ids, of which a superseded version has a cursor in this range."""
        ...

    def reject_texts_after(self, place: Place, *, limit: int) -> Sequence[RejectText]:
        """Return the next rejects, resolved ones too."""
        ...

    def ask_deletion(self, call_ids: Collection[str]) -> None:
        """Note that these erased calls are to be deleted at the provider too, unless they were."""
        ...

    def cut_others(self, names_somebody: Callable[[str], bool]) -> int:
        """Cut what else is kept of the connection and may name a person; return how many rows."""
        ...

    def age(self, *, calls_after: timedelta | None, words_after: timedelta | None) -> None:
        """Erase from now on, by the clock of the database, what is older than this; what was erased already stays so."""
        ...

    def standing(self) -> Standing:
        """Return up to where the connection was gone through."""
        ...

    def gone_through(self, standing: Standing) -> None:
        """Remember that everything was gone through for what stood so."""
        ...


class ForgettingWarehouse(RunRegister, Protocol):
    """What erasure needs of the warehouse. Every method raises WarehouseError; those that write, FenceLost."""

    def standing(self, connection: str) -> Standing | None:
        """Return up to where a connection was gone through; None: it was never synced."""
        ...

    def streams(self, connection: str) -> Mapping[str, StreamState]:
        """Return the state of every known stream."""
        ...

    def calls_held(self, connection: str) -> int:
        """Return how many calls of the connection are held."""
        ...

    def page(self, account: Account, *, run_id: int) -> AbstractContextManager[ForgettingPage]:
        """Begin a transaction that checks the fence; leaving it commits."""
        ...


@dataclass(slots=True, kw_only=True)
class Forgotten(Outcome):
    """How going through one connection ended, and what was cut."""

    cutting: Cutting = field(default_factory=Cutting)
    others: int = 0


def forget_connection(
    account: Account,
    *,
    given: Surroundings[ForgettingWarehouse],
    only: Collection[str] = (),
    anew: bool = True,
    at_provider: bool = False,
) -> Forgotten:
    """
    Go through what is held of a connection and cut what is erased of it. Raises nothing but programming errors.

    `only` these calls, whatever they hold; else everything, if somebody was forgotten since it was gone through last, and what
    has become too old. With `at_provider` it is noted that the calls are to be deleted there too. Without `anew` no run is opened
    where nothing is due; what is too old is due once a day.
    """
    outcome = Forgotten(connection=account.connection)

    def forget(run: Run) -> None:
        _forget(_Pass(account, run.run_id, given, outcome, at_provider), only=only)
        outcome.counters.updated = outcome.cutting.calls

    def go_through() -> None:
        standing = given.warehouse.standing(account.connection)
        if standing is not None and (anew or _is_due(account, standing, now=given.clock.now())):
            carry_out(forget, account, kind=RunKind.ERASE, given=given, outcome=outcome)
        else:
            outcome.status = RunStatus.SUCCEEDED

    under_lock(go_through, warehouse=given.warehouse, outcome=outcome)
    return outcome


def _is_due(account: Account, standing: Standing, *, now: datetime) -> bool:
    ages = ((account.erase_calls_after, standing.calls_done), (account.erase_words_after, standing.words_done))
    moved = (after is not None and (done is None or now - after >= done + DAILY) for after, done in ages)
    return standing.is_behind or standing.aged is not None or any(moved)


class _Pass(NamedTuple):
    """One run through a connection."""

    account: Account
    run_id: int
    given: Surroundings[ForgettingWarehouse]
    outcome: Forgotten
    at_provider: bool

    def write(self, work: Callable[[ForgettingPage], Result]) -> Result:
        """Do the work of a batch in one transaction, again where it collided with another one."""

        def transaction() -> Result:
            with self.given.warehouse.page(self.account, run_id=self.run_id) as page:
                return work(page)

        return repeated(transaction, clock=self.given.clock)

    def each(
        self, work: Callable[[ForgettingPage, Where], Batch], first: Where, following: Callable[[Any], Where]
    ) -> Iterator[int]:
        """
        Do the work of batch after batch, each of them behind a place, until one is empty; yield how much each looked through.

        `following` leads from the last of a batch to the place behind it.
        """
        place = first
        while True:
            found, cutting = self.write(partial(self._batch, work, place))
            self.outcome.cutting = _sum(self.outcome.cutting, cutting)
            if not found:
                return
            place = following(found[-1])
            yield len(found)
            self.check_stop()

    def check_stop(self) -> None:
        """Raise Interrupted if the run is to stop."""
        if self.given.stop.is_set():
            raise Interrupted(
                "erasing was interrupted.",
                safe="Who was forgotten does not come back; of what is held, some is not cut yet.",
                hint="Run it again: it goes through everything anew, and cuts what is left.",
            )

    def remake(self) -> None:
        """Make the roll-ups of what was cut again: they name people too, so that without them nothing is done."""
        remake = self.given.warehouse.remake
        repeated(lambda: remake(self.account, run_id=self.run_id, stop=self.given.stop), clock=self.given.clock)
        self.check_stop()

    @staticmethod
    def _batch(work: Callable[[ForgettingPage, Where], Batch], place: Where, page: ForgettingPage) -> Batch:
        return work(page, place)


def _forget(one: _Pass, *, only: Collection[str]) -> None:
    account, watcher = one.account, one.given.watcher
    watcher.stream_started(account.connection, STREAM)
    try:
        ages = {"calls_after": account.erase_calls_after, "words_after": account.erase_words_after}
        one.write(lambda page: page.age(**ages))
        standing = one.write(lambda page: page.standing())
        if only:
            _cut_only(one, only)
        elif standing.is_behind:
            _through_all(one)
        if standing.aged is not None:
            _through_aged(one, *standing.aged)
        # A call alone was cut: whoever was forgotten before, and not gone through for, is still due.
        if only and standing.erasures_done + 1 < standing.erasures:
            standing = standing._replace(erasures=standing.erasures_done)
        one.remake()
        one.write(lambda page: page.gone_through(standing))
    finally:
        watcher.stream_finished(account.connection, STREAM)


def _cut_only(one: _Pass, only: Collection[str]) -> None:
    def calls(page: ForgettingPage, after: str) -> Batch:
        some = list(islice((call_id for call_id in sorted(only) if call_id > after), CALLS))
        return some, _cut(page, one, some)

    deque(one.each(calls, "", str), maxlen=0)


def _through_all(one: _Pass) -> None:
    """Look through every call, version and reject for whoever is forgotten."""
    name, watcher = one.account.connection, one.given.watcher
    total = one.given.warehouse.calls_held(name)

    def calls(page: ForgettingPage, after: str) -> Batch:
        return _cut_named(page, one, page.texts_after(after, limit=CALLS))

    def versions(page: ForgettingPage, after: tuple[str, int]) -> Batch:
        return _cut_named(page, one, page.versions_after(after, limit=CALLS))

    for number in one.each(calls, "", attrgetter("call_id")):
        one.outcome.counters.records_seen += number
        watcher.page_loaded(name, STREAM, records=number, total=total)
    deque(one.each(versions, ("", 0), attrgetter("call_id", "version")), maxlen=0)
    _through_rejects(one)
    one.outcome.others += one.write(lambda page: page.cut_others(_erasing_of(page).shield.names_in_text))


def _through_aged(one: _Pass, since: datetime | None, until: datetime) -> None:
    """Cut the calls of a range of cursors that have become too old."""

    def calls(page: ForgettingPage, after: tuple[str, Aged | None]) -> Batch:
        stream, place = after
        return _cut_aged(page, one, page.aged_calls(stream, place, since=since, until=until, limit=CALLS))

    def versions(page: ForgettingPage, after: str) -> Batch:
        return _cut_aged(page, one, page.aged_versions(after, since=since, until=until, limit=CALLS))

    beginning: Aged | None = None
    for stream in one.given.warehouse.streams(one.account.connection):
        deque(one.each(calls, (stream, beginning), partial(_place_in, stream)), maxlen=0)
    deque(one.each(versions, "", attrgetter("call_id")), maxlen=0)
    _through_rejects(one)


def _place_in(stream: str, last: Aged) -> tuple[str, Aged | None]:
    return stream, last


def _through_rejects(one: _Pass) -> None:
    def rejects(page: ForgettingPage, place: Place) -> Batch:
        found, erasing, provider = page.reject_texts_after(place, limit=REJECTS), _erasing_of(page), one.account.provider
        by_how: dict[Cut, list[RejectText]] = defaultdict(list)
        for text in found:
            named = erasing.shield.names_in_text(text.raw_text)
            cursor = identify(provider, text.raw_text.encode(), cleaned=False).cursor
            by_how[Cut.PERSONS if named else erasing.shield.by_age(cursor)].append(text)
        return found, Cutting(rejects=sum(cut_rejects(erasing, provider, some, how) for how, some in by_how.items()))

    deque(one.each(rejects, FIRST, lambda last: Place(last.stream, last.record_key)), maxlen=0)


def _cut_named(page: ForgettingPage, one: _Pass, found: Sequence[Texts]) -> Batch:
    """Cut the calls that are erased, and those in whose records somebody forgotten is named, which are erased from now on."""
    erasing = _erasing_of(page)
    named = {text.call_id for text in found if any(map(erasing.shield.names_in_text, filter(None, (text.raw, text.detail))))}
    cutting = _cut(page, one, named)
    erased = erasing.erased_among({text.call_id for text in found}) - named
    return found, _sum(cutting, cut_held(erasing, one.account, erased, Cut.PERSONS, run_id=one.run_id))


def _cut_aged(page: ForgettingPage, one: _Pass, found: Sequence[Aged]) -> Batch:
    erasing, cutting = _erasing_of(page), Cutting()
    for how in (Cut.WORDS, Cut.AGED):
        ids = {text.call_id for text in found if erasing.shield.by_age(text.cursor_at) is how}
        cutting = _sum(cutting, cut_held(erasing, one.account, ids, how, run_id=one.run_id))
    return found, cutting


def _cut(page: ForgettingPage, one: _Pass, call_ids: Collection[str]) -> Cutting:
    cutting = erase_held(_erasing_of(page), one.account, call_ids, run_id=one.run_id)
    if one.at_provider:
        page.ask_deletion(call_ids)
    return cutting


def _erasing_of(page: ForgettingPage) -> ErasingPage:
    if page.erasing is None:
        raise AssertionError("something is erased of the connection: its row says so")
    return page.erasing


def _sum(one: Cutting, other: Cutting) -> Cutting:
    return Cutting(*map(add, one, other))
