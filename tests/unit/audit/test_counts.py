"""What disagrees among a million calls is narrowed down to one call with few requests, whichever way its provider lists."""

from __future__ import annotations

import json
import random
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from etl import providers
from etl.audit.counts import Comparison, Counted, Located
from etl.audit.port import AuditWarehouse, OpenReject
from etl.coverage import Span
from etl.model import Record
from etl.reading.api import Answer, Api
from etl.reading.source import Capabilities, Source
from etl.reading.walks.way import Uncountable
from etl.runs.account import Account
from etl.runs.context import Task
from etl.runs.making import Making
from etl.runs.port import Watcher
from etl.runs.terms import Counters, Want
from etl.system import SystemThreads
from tests.inline import Inline

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MILLION = 1_000_000
STEP = 47  # seconds between two calls: a million of them are a year and a half


def cursor_of(number: int) -> datetime:
    """Return the instant of a call; they are numbered from the oldest."""
    return NOW - timedelta(days=30) - timedelta(seconds=STEP * (MILLION - number))


def first_from(instant: datetime) -> int:
    """Return the number of the first call from an instant on."""
    return min(max(-(-int((instant - cursor_of(0)).total_seconds()) // STEP), 0), MILLION)


class Archive:
    """A provider with a million calls, in memory: `etl.reading.api.Api` by arithmetic; counts its requests."""

    def __init__(self, provider: str, *, total: Callable[[int, int], int] = lambda total, shown: total) -> None:
        self.provider = provider
        self.total = total  # what it says instead of the true total, given that and how many calls the page shows
        self.ignores_filter = False
        self.requests = self.retries = 0

    def get_list(self, path: str, params: Mapping[str, str], records: tuple[str, ...], body: Any = None) -> Answer:
        self.requests += 1
        page, size = int(params["page"]), int(params.get("per_page") or params["limit"])
        if self.provider == "tuple":
            low, high = (first_from(datetime.fromisoformat(params[name])) for name in ("since", "until"))
            low, high = (0, MILLION) if self.ignores_filter else (low, high)
            shown = range(low, high)[(page - 1) * size : page * size]
            listed = [{"id": f"call-{number}", "ended_at": cursor_of(number).isoformat()} for number in shown]
            fields, headers = {}, {"x-total-count": str(self.total(high - low, len(shown)))}
        else:
            shown = range(MILLION - 1, -1, -1)[(page - 1) * size : page * size]
            listed = [{"id": f"call-{number}", "created_at": cursor_of(number).isoformat()} for number in shown]
            fields, headers = {"total": self.total(MILLION, len(shown)), "page": page, "total_pages": -(-MILLION // size)}, {}
        texts = tuple(json.dumps(record).encode() for record in listed)
        return Answer(records=texts, fields=fields, headers=headers, date=NOW, sent_at=NOW)

    def get_one(self, path: str, record: str | None, body: Any = None) -> Answer:
        raise NotImplementedError

    def check_link(self, url: str) -> None:
        raise NotImplementedError


class Shelf:
    """What a warehouse holds of it: everything but the calls that are missing."""

    def __init__(self, missing: Sequence[int], rejects: Sequence[OpenReject] = ()) -> None:
        self.missing = sorted(missing)
        self.rejects = tuple(rejects)

    def count_in(self, *, connection: str, stream: str, span: Span) -> int:
        low, high = first_from(span.start), first_from(span.end)
        return high - low - (bisect_left(self.missing, high) - bisect_left(self.missing, low))

    def ids_in(self, *, connection: str, stream: str, span: Span) -> Mapping[str, datetime]:
        numbers = set(range(first_from(span.start), first_from(span.end))) - set(self.missing)
        return {f"call-{number}": cursor_of(number) for number in numbers}

    def middle(self, *, connection: str, stream: str, span: Span) -> datetime | None:
        low, high = first_from(span.start), first_from(span.end)
        return cursor_of((low + high) // 2) if low < high else None

    def open_rejects(self, *, connection: str, stream: str) -> tuple[OpenReject, ...]:
        return self.rejects


class Standstill:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError


def compared(
    provider: str, missing: Sequence[int], rejects: Sequence[OpenReject] = (), *, archive: Archive | None = None
) -> tuple[Comparison, Archive]:
    """Set an archive beside a shelf."""
    form, archive = providers.get(provider), archive or Archive(provider)
    task = Task(
        account=Account(connection="one", provider=form, lookback=timedelta(hours=24)),
        source=Source(form, cast("Api", archive)),
        warehouse=cast("Any", None),
        run_id=0,
        want=Want(),
        clock=Standstill(),
        threads=SystemThreads(),
        watcher=cast("Watcher", None),
        stop=threading.Event(),
        rollups=Making([], thread=Inline()),
        counters=Counters(),
        capabilities=Capabilities(),
        organization=None,
        pinned=None,
    )
    start = datetime(1970, 1, 1, tzinfo=UTC) if provider == "tuple" else None
    return Comparison(task, cast("AuditWarehouse", Shelf(missing, rejects)), "calls", start=start), archive


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("provider", ["tuple", "krosai"])
def test_one_missing_call_among_a_million_is_found_in_60_requests(provider: str, seed: int) -> None:
    """Counting, halving and reading the last page together."""
    missing = random.Random(seed).choice([0, MILLION - 1, random.Random(seed).randrange(MILLION)])
    comparison, archive = compared(provider, [missing])

    counted = comparison.count()
    located = comparison.locate(counted)

    assert (counted.provider, counted.held, counted.agree) == (MILLION, MILLION - 1, False)
    assert (located.missing, located.extra, located.unread) == ([f"call-{missing}"], [], 0)
    assert archive.requests <= 60, f"seed {seed}"


@pytest.mark.parametrize("provider", ["tuple", "krosai"])
def test_a_month_that_is_missing_is_found_as_a_few_stretches(provider: str) -> None:
    """However much is missing, narrowing down ends; what is left is named as a stretch."""
    missing = range(400_000, 460_000)
    comparison, archive = compared(provider, missing)

    located = comparison.locate(comparison.count())

    covered = list(located.stretches)
    assert all(any(cursor_of(number) in span for span in covered) for number in missing)
    assert archive.requests <= 600


def test_a_start_date_younger_than_the_lookback_leaves_nothing_to_count() -> None:
    """Ten calls lie between the two: the count is nought, not ten below it, which no warehouse could ever agree with."""
    comparison, _ = compared("krosai", [])

    assert comparison.side.count(Span(cursor_of(MILLION - 10), cursor_of(MILLION - 20))) == 0


STOPPED = MILLION - 10_000


@pytest.mark.parametrize("provider", ["tuple", "krosai"])
def test_a_total_that_stops_at_a_limit_makes_nothing_complete(provider: str) -> None:
    """The calls held are as many as the total says, and the provider lists more: that agrees by the limit alone."""
    archive = Archive(provider, total=lambda total, shown: min(total, STOPPED))
    comparison, _ = compared(provider, range(10_000), archive=archive)

    with pytest.raises(Uncountable, match="provider"):
        comparison.count()
    assert archive.requests <= 9


def test_a_total_of_the_page_makes_nothing_complete() -> None:
    """A hundred calls are held, a hundred stand on the page, whose total counts them: and a million are listed."""
    archive = Archive("krosai", total=lambda total, shown: shown)
    comparison, _ = compared("krosai", range(MILLION - 100), archive=archive)

    with pytest.raises(Uncountable, match="total and what it lists disagree"):
        comparison.count()


@pytest.mark.parametrize("off", [-5, 5])
@pytest.mark.parametrize("provider", ["tuple", "krosai"])
def test_a_total_that_is_wrong_by_some_makes_nothing_complete(provider: str, off: int) -> None:
    """All calls are held, and the provider counts five fewer or more: the sides differ, or the total and the list do."""
    comparison, _ = compared(provider, [], archive=Archive(provider, total=lambda total, shown: total + off))
    try:
        agree = comparison.count().agree
    except Uncountable:
        agree = False

    assert not agree


def test_a_count_without_the_filter_that_was_asked_for_is_none() -> None:
    """The window's smallest page shows a call from outside of it."""
    archive = Archive("tuple")
    archive.ignores_filter = True
    comparison, _ = compared("tuple", [], archive=archive)

    with pytest.raises(Uncountable, match="outside"):
        comparison.side.count(Span(cursor_of(500_000), NOW))


@pytest.mark.parametrize(("provider", "requests"), [("tuple", 4), ("krosai", 3)])
def test_where_all_agrees_the_total_is_looked_at_with_two_more_requests(provider: str, requests: int) -> None:
    """Tuple's two halves; in a list of full pages the last one, and the one behind it."""
    comparison, archive = compared(provider, [])

    assert comparison.count().agree
    assert archive.requests <= requests


class Shown:
    """The provider's side of a count that is larger than what its pages show."""

    bound = NOW
    size = 100

    def __init__(self, total: int, numbers: Sequence[int]) -> None:
        self.total, self.numbers = total, numbers

    def count(self, span: Span) -> int:
        return self.total

    def records(self, span: Span) -> Iterator[tuple[Record, datetime]]:
        for number in self.numbers:
            yield Record(f"call-{number}", cursor_of(number), None, b"{}", {}, str(number).encode(), False), NOW

    def placeless_above(self) -> frozenset[str]:
        return frozenset()

    def forget(self) -> None:
        pass


@pytest.mark.parametrize(
    ("numbers", "excused"),
    [([5, 4, 4, 3, 2, 2], 2), ([5, 4, 3, 5, 4, 3], 0), ([5, 4, 3, 2, 3, 2], 0)],
    ids=["two calls listed twice", "a page in the place of another", "a page that overlaps the one before"],
)
def test_only_a_call_that_stands_beside_itself_is_excused_as_listed_twice(numbers: list[int], excused: int) -> None:
    """A page served again in the place of another shows as few distinct calls, but then calls are missing: that is no excuse."""
    comparison, _ = compared("krosai", list(range(MILLION - 100)))
    comparison.side = Shown(6, numbers)
    found = Located()

    comparison._compare(Span(cursor_of(0), cursor_of(6)), 6, found)

    assert found.repeats == excused


def rejected(provider: str, number: int, *, call_id: str | None = None) -> OpenReject:
    """Return an open reject that stands where a call of the archive stands."""
    cursor = {"tuple": "ended_at", "krosai": "created_at"}[provider]
    value = {"id": call_id, cursor: cursor_of(number).isoformat()}
    return OpenReject(key=f"reject-{number}", call_id=call_id, text=json.dumps(value))


@pytest.mark.parametrize(
    ("held", "rejected_count", "agree"), [(10, 0, True), (8, 2, True), (8, 1, False), (8, 3, False), (10, 2, False)]
)
def test_complete_is_what_is_held_and_rejected_together_and_nothing_else(held: int, rejected_count: int, agree: bool) -> None:
    """A reject stands for one record of the provider's count: neither for more, nor for none."""
    assert Counted(span=Span(cursor_of(0), NOW), provider=10, held=held, rejected=rejected_count).agree is agree


@pytest.mark.parametrize("provider", ["tuple", "krosai"])
def test_a_reject_stands_for_the_call_that_it_could_not_become(provider: str) -> None:
    """The counts agree, and no call is named as missing."""
    comparison, _ = compared(provider, [500_000], [rejected(provider, 500_000, call_id="call-500000")])

    counted = comparison.count()

    assert (counted.provider, counted.held, counted.rejected, counted.agree) == (MILLION, MILLION - 1, 1, True)


@pytest.mark.parametrize("provider", ["tuple", "krosai"])
def test_a_reject_that_the_provider_no_longer_lists_is_not_forgiven(provider: str) -> None:
    """All calls are held, and one reject more than the provider counts: a mismatch, and the reject is named as stale."""
    comparison, _ = compared(provider, [], [rejected(provider, 500_000)])

    counted = comparison.count()
    located = comparison.locate(counted)

    assert (counted.held, counted.rejected, counted.agree) == (MILLION, 1, False)
    assert (located.stale, located.missing, located.extra) == (["reject-500000"], [], [])


@pytest.mark.parametrize("provider", ["tuple", "krosai"])
def test_a_reject_makes_up_for_no_missing_call_elsewhere(provider: str) -> None:
    """The counts agree as a whole by chance only where a reject is of the call that is missing: here the call is named."""
    comparison, _ = compared(provider, [200_000, 700_000], [rejected(provider, 700_000, call_id="call-700000")])

    counted = comparison.count()
    located = comparison.locate(counted)

    assert (counted.agree, located.missing, located.stale) == (False, ["call-200000"], [])
