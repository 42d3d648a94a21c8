"""Accounts: who shares a limiter, when it is saved, what a killed owner leaves, and when somebody else gets his turn."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from etl.errors import AccountBusy, GaveWay
from etl.http.accounts import Accounts, NoBook
from etl.http.allowance import Allowance
from etl.http.limits import Limiter
from etl.http.quota import Quota
from etl.provider import Limit
from etl.runs.allowances import AllowanceBook, Found
from tests.memory.allowances import MemoryAllowances, Shared

START = datetime(2026, 3, 15, 12, tzinfo=UTC)
TWENTY = Limit(requests=20, per=timedelta(minutes=1))
SECOND = timedelta(seconds=1)


def accounts(book: AllowanceBook, clock: Any, seed: int = 1) -> Accounts:
    return Accounts(book, clock=clock, random=random.Random(seed))


def ask(limiter: Limiter, times: int = 1) -> None:
    for _ in range(times):
        limiter.acquire("voice").answered({}, None)


def saved(book: MemoryAllowances) -> list[tuple[float, int]]:
    """Return when a process saved, in seconds from the start, and how many requests it told of."""
    return [((standing.at - START) / SECOND if standing.at else -1, standing.requests) for standing in book.saved]


def test_connections_with_one_token_share_a_limiter(clock: Any, token: str) -> None:
    """The limits of all of them count; another token or provider has its own."""
    book = MemoryAllowances()
    mine = accounts(book, clock)
    with ExitStack() as stack:
        of = lambda *who, **given: stack.enter_context(mine.limiter(*who, **({"limits": [TWENTY], "daily": None} | given)))  # noqa: E731
        one = of("acme", token)
        two = of("acme", f" {token}\n", limits=[Limit(requests=2, per=10 * SECOND)], daily=5)
        others = [of("acme", token + "x"), of("other", token)]
        ask(one), ask(two), ask(one)

    assert (one is two, one in others, clock.slept) == (True, False, [10.01])
    assert book.shared.taken == {}


def test_the_account_is_given_back_by_the_last_that_uses_it(clock: Any, token: str) -> None:
    """Until then no other process has it; then that one knows of every request."""
    shared = Shared()
    mine, theirs = MemoryAllowances(shared), MemoryAllowances(shared)
    ours, others = accounts(mine, clock), accounts(theirs, clock)
    with ours.limiter("acme", token, limits=[TWENTY], daily=None) as limiter:
        with ours.limiter("acme", token, limits=[TWENTY], daily=None):
            ask(limiter, 20)
        with pytest.raises(AccountBusy), others.limiter("acme", token, limits=[TWENTY], daily=None):
            pass
    with others.limiter("acme", token, limits=[TWENTY], daily=None) as limiter:
        ask(limiter)

    assert (clock.slept, saved(theirs)[-1][1]) == ([60.06], 21)


def test_it_is_saved_before_the_first_request_once_a_second_and_at_the_end(clock: Any, token: str) -> None:
    """Before the request that it counts, so that no request is sent that a killed process left untold for over a second."""
    book = MemoryAllowances()
    with accounts(book, clock).limiter("acme", token, limits=[], daily=None) as limiter:
        for _ in range(10):
            slot = limiter.acquire("voice")
            told = book.saved[-1].requests
            slot.answered({}, None)
            clock.sleep(0.4)

    assert saved(book) == [(0.0, 0), (1.2, 4), (2.4, 7), (3.6, 10), (4.0, 10)]
    assert told == 10


def test_a_pause_is_saved_at_once(clock: Any, token: str) -> None:
    """Whoever comes after a killed process must know of it too."""
    book = MemoryAllowances()
    with accounts(book, clock).limiter("acme", token, limits=[], daily=None) as limiter:
        limiter.pause(timedelta(hours=1))
        assert book.saved[-1].paused_until == START + timedelta(hours=1)


def test_a_request_whose_saving_fails_is_not_sent(clock: Any, token: str) -> None:
    """Another process took the account over: the place is given back, and the run ends."""
    shared = Shared()
    mine, theirs = MemoryAllowances(shared), MemoryAllowances(shared)
    with accounts(mine, clock, seed=1).limiter("acme", token, limits=[TWENTY], daily=None) as limiter:
        ask(limiter, 3)
        mine.killed(mine.account("acme", token))
        with accounts(theirs, clock, seed=2).limiter("acme", token, limits=[TWENTY], daily=None):
            clock.sleep(2)
            with pytest.raises(AccountBusy):
                limiter.acquire("voice")
            assert limiter.standing().requests == 3


def test_who_was_asked_gives_way_after_ten_minutes(clock: Any, token: str) -> None:
    """Ten minutes by its own clock from when it learnt of it, before its next request; the other one then has the account."""
    shared = Shared()
    mine, theirs = MemoryAllowances(shared), MemoryAllowances(shared)
    ours, others = accounts(mine, clock), accounts(theirs, clock)
    with ours.limiter("acme", token, limits=[], daily=None) as limiter:
        with pytest.raises(AccountBusy), others.limiter("acme", token, limits=[], daily=None):
            pass
        clock.sleep(60)
        ask(limiter)
        clock.sleep(599)
        ask(limiter)
        clock.sleep(1)
        with pytest.raises(GaveWay, match="waited 10 minutes"):
            limiter.acquire("voice")
    with others.limiter("acme", token, limits=[], daily=None) as limiter:
        ask(limiter)
        clock.sleep(601)
        ask(limiter)
        clock.sleep(601)
        ask(limiter)

    assert saved(theirs)[-1][1] == 5


def test_where_there_is_no_warehouse_nothing_is_kept(clock: Any, token: str) -> None:
    """A check before the first sync: requests wait for their limit, and the account's name holds no token."""
    book = NoBook()
    for _ in range(2):
        with accounts(book, clock).limiter("acme", token, limits=[Limit(requests=1, per=10 * SECOND)], daily=None) as limiter:
            ask(limiter, 2)

    assert (clock.slept, token in book.account("acme", token)) == ([10.01, 10.01], False)


# ── What a killed owner leaves ──────────────────────────────────────────────────────────────────────────────────────


def test_after_a_kill_the_short_limits_are_used_up(clock: Any, token: str) -> None:
    """As of a second after it had saved last, and one more for what was underway; the day counts as many requests more."""
    shared = Shared()
    killed, successor = MemoryAllowances(shared), MemoryAllowances(shared)
    stack = ExitStack()
    limits = [TWENTY, Limit(requests=1000, per=timedelta(days=1))]
    ask(stack.enter_context(accounts(killed, clock).limiter("acme", token, limits=limits, daily=1000)), 3)
    killed.killed(killed.account("acme", token))
    clock.sleep(30)
    with accounts(successor, clock, seed=2).limiter("acme", token, limits=limits, daily=1000) as limiter:
        ask(limiter)

    assert (clock.slept, saved(successor)[-1][1]) == ([30, 32.06], 21)


@example(
    seed=0, limits=[Limit(requests=60, per=3600 * SECOND)], ends=[(1, True, 0), (20, False, 0), (40, False, 0)], slowest=0.01
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # it gives a class
@given(
    seed=st.integers(0, 10**6),
    limits=st.lists(
        st.sampled_from(
            [Limit(requests=20, per=60 * SECOND), Limit(requests=5, per=SECOND), Limit(requests=60, per=3600 * SECOND)]
        ),
        min_size=1,
        unique=True,
    ),
    ends=st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.floats(0, 90)), min_size=2, max_size=8),
    slowest=st.sampled_from([0.01, 0.5]),
)
def test_no_limit_is_exceeded_whoever_is_killed(
    seed: int, limits: list[Limit], ends: list[tuple[int, bool, float]], slowest: float, make_clock: Callable[[], Any]
) -> None:
    """Processes one after another, each ended in order or killed after some requests: no window ever holds too many."""
    clock, shared, chance = make_clock(), Shared(), random.Random(seed)
    arrivals: list[datetime] = []
    dead: list[ExitStack] = []  # kept, so that nothing of a killed process is tidied up
    for number, (requests, is_killed, pause) in enumerate(ends):
        book, stack = MemoryAllowances(shared), ExitStack()
        limiter = stack.enter_context(accounts(book, clock, seed=number).limiter("acme", "t", limits=limits, daily=None))
        for _ in range(requests):
            if limiter._allowance.wait(clock.now()) > timedelta(minutes=15):  # type: ignore[operator] - none is in flight
                break
            slot = limiter.acquire("voice")
            latency = chance.uniform(0.001, slowest)
            arrivals.append(clock.now() + latency * chance.random() * SECOND)
            clock.sleep(latency)
            slot.answered({}, None)
        if is_killed:
            book.killed(book.account("acme", "t"))
            dead.append(stack)
        else:
            stack.close()
        clock.sleep(pause)

    for limit in limits:
        late = itertools.islice(arrivals, limit.requests, None)
        assert [arrival for before, arrival in zip(arrivals, late, strict=False) if arrival - before < limit.per] == []


@pytest.mark.parametrize(("remaining", "wait"), [(9_000, 0), (201, 0), (200, 58), (3, 58)])
def test_after_a_kill_a_servers_count_is_lower_by_what_nobody_saw(remaining: int, wait: int) -> None:
    """The killed owner sent no more than 200 requests after it had last saved: only a count below that makes its heir wait."""
    killed, heir = Allowance(limits=[], daily=None), Allowance(limits=[], daily=None)
    ends = START + timedelta(minutes=1)
    killed.sent(START)
    killed.answered(START, Quota(remaining=remaining, resets_at=ends, window=ends, limit=10_000))
    now = START + 2 * SECOND

    heir.remember(Found(killed.standing(START), is_orphan=True), now)

    assert heir.wait(now) == timedelta(seconds=wait)
