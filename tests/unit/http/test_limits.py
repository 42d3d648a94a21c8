"""The limiter, held against a server that counts exactly, and against clocks, memories and headers that lie."""

import heapq
import itertools
import json
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.errors import BudgetSpent
from etl.http.allowance import Allowance, DaySpent
from etl.http.limits import Limiter
from etl.http.quota import Quota, ServerClock, quota
from etl.provider import Limit
from etl.runs.allowances import NOTHING, Found, Standing

START = datetime(2026, 3, 15, 12, 0, 0, tzinfo=UTC)
SIXTY = Limit(requests=60, per=timedelta(minutes=1))


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def stored(standing: Standing, *, is_orphan: bool = False) -> Found:
    """Return a standing as it comes out of the warehouse."""
    return Found(standing._replace(memory=json.loads(json.dumps(standing.memory))), is_orphan)


def simulate(
    limit: Limit,
    *,
    workers: int,
    slowest: float,
    length: timedelta,
    seed: int,
    restarts: int = 0,
    way: float = 0.0,
    out: float = 0.5,
) -> list[datetime]:
    """
    Let `workers` ask without a pause; return when each request arrived at the server.

    A request takes up to `slowest` seconds, its arrival lies anywhere in that time, and every tenth is lost. `way` seconds more
    are known to be spent on the network, of which the part `out` on the way to the server. `restarts` times everybody stops, and
    a new allowance goes on from what the old one remembered.
    """
    chance = random.Random(seed)
    allowance = Allowance(limits=[limit], daily=None)
    now, ends, arrivals = START, START + length, []
    idle, flying = workers, []
    order = itertools.count()
    restart_at = [START + length * (part + 1) / (restarts + 1) for part in range(restarts)]
    while now < ends:
        if restart_at and now >= restart_at[0] and not flying:
            restart_at.pop(0)
            found = stored(allowance.standing(now))
            allowance = Allowance(limits=[limit], daily=None)
            allowance.remember(found, now)
        stopping = bool(restart_at) and now >= restart_at[0]
        wait = allowance.wait(now) if idle and not stopping else None
        if wait == timedelta():
            allowance.sent(now)
            idle -= 1
            latency = seconds(chance.uniform(0.001, slowest))
            arrivals.append(now + seconds(way * out) + latency * chance.random())
            heapq.heappush(flying, (now + seconds(way) + latency, next(order)))
        elif flying and (wait is None or flying[0][0] <= now + wait):
            now = heapq.heappop(flying)[0]
            idle += 1
            allowance.lost(now) if chance.random() < 0.1 else allowance.answered(now, None, way=seconds(way))
        else:
            now += wait or seconds(1)
    return sorted(arrivals)


def most_in_a_window(arrivals: list[datetime], per: timedelta) -> int:
    """Count as the strictest server does: both ends of the window belong to it."""
    first, most = 0, 0
    for last, arrival in enumerate(arrivals):
        while arrival - arrivals[first] > per:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("seed", range(5))
def test_an_hour_of_demand_uses_the_allowance_and_never_exceeds_it(seed: int) -> None:
    """60 a minute, eight threads, answers after up to two seconds: at least 95 % of 3,600 arrive, never 61 in a minute."""
    arrivals = simulate(SIXTY, workers=8, slowest=2, length=timedelta(hours=1), seed=seed)

    used, most = len(arrivals) / 3600, most_in_a_window(arrivals, SIXTY.per)
    used_words = f"{used:.1%} of the allowance, at most {most} in a minute"
    print(f"seed {seed}: {len(arrivals)} requests, {used_words}")  # noqa: T201 - a number to look at
    assert (used >= 0.95, most) == (True, 60)


@settings(max_examples=40, deadline=None)
@given(
    requests=st.integers(1, 30),
    per=st.floats(0.5, 90),
    workers=st.integers(1, 12),
    slowest=st.floats(0.01, 20),
    restarts=st.integers(0, 3),
    seed=st.integers(0, 10**6),
    way=st.floats(0, 2),
    out=st.floats(0, 1),
)
def test_no_limit_is_ever_exceeded(requests: int, per: float, **given: Any) -> None:
    """Whatever the limit, the threads, the latencies, the restarts, and the way, however it divides into there and back."""
    limit = Limit(requests=requests, per=seconds(per))

    arrivals = simulate(limit, length=limit.per * 12, **given)

    assert most_in_a_window(arrivals, limit.per) <= requests


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("out", [0.0, 0.3, 1.0])
def test_ten_a_second_use_95_percent_where_the_way_is_known(seed: int, out: float) -> None:
    """Answers after 51 to 120 ms, of which 50 are the way there and back: 95 %, and never eleven in a second."""
    ten = Limit(requests=10, per=seconds(1))
    arrivals = simulate(ten, workers=6, slowest=0.07, length=timedelta(minutes=5), seed=seed, way=0.05, out=out)

    used = len(arrivals) / 3000
    print(f"seed {seed}: {used:.1%} of the allowance")  # noqa: T201 - a number to look at
    assert (used >= 0.95, most_in_a_window(arrivals, ten.per)) == (True, 10)


def test_the_shortest_way_seen_counts_and_one_that_is_not_known_does_not(make_clock: Callable[[], Any]) -> None:
    """A place is free a window after its answer, less the shortest way of all connections; where that is unknown, no sooner."""
    waits = []
    for ways in ((0.05, 0.02), (0.02, 0.05), (0.05, None)):
        clock = make_clock()
        limiter = Limiter(limits=[Limit(requests=1, per=seconds(1))], daily=None, clock=clock)
        for way in ways:
            limiter.acquire("voice").answered({}, None, way=None if way is None else seconds(way))
        limiter.acquire("voice").answered({}, None)
        waits.append(clock.slept[-1])

    assert waits == pytest.approx([0.981, 0.981, 1.001])


@pytest.mark.parametrize("seed", range(3))
def test_several_limits_hold_at_once_and_the_day_is_any_24_hours(seed: int) -> None:
    """
    10 a second, 1,000 a day: a run every quarter of an hour for five days from an evening on, which asks as long as it may.

    Each run knows what was kept by the one before; a server that counts any 24 hours, or from midnight to midnight, refuses
    nothing, and 95 % of the five days' requests are used.
    """
    chance, now, kept = random.Random(seed), START + timedelta(hours=9), NOTHING
    limits = [Limit(requests=10, per=seconds(1)), Limit(requests=1000, per=timedelta(days=1))]
    ends, arrivals = now + timedelta(days=5), []
    while now < ends:
        began, allowance = now, Allowance(limits=limits, daily=1000)
        allowance.remember(kept, now)
        while (wait := asked(allowance, now)) <= timedelta(minutes=15) and now < ends:
            now += wait
            allowance.sent(now)
            latency = seconds(chance.uniform(0.02, 0.15))
            arrivals.append(now + latency * chance.random())
            now += latency
            allowance.answered(now, None)
        kept = stored(allowance.standing(now))
        now = max(now, began + timedelta(minutes=15))

    assert [most_in_a_window(sorted(arrivals), limit.per) for limit in limits] == [10, 1000]
    assert max(Counter(arrival.date() for arrival in arrivals).values()) == 1000
    assert len(arrivals) >= 4750


def asked(allowance: Allowance, now: datetime) -> timedelta:
    """Return how long to wait, where nothing is in flight; a day that is spent is waited for by nobody."""
    try:
        return allowance.wait(now) or timedelta()
    except DaySpent:
        return timedelta(days=1)


def test_a_burst_goes_out_at_once_and_then_places_come_free(make_clock: Callable[[], Any]) -> None:
    """Sixty without a wait, the next when the first has left the server's window."""
    clock = make_clock()
    limiter = Limiter(limits=[SIXTY], daily=None, clock=clock)
    for _ in range(60):
        limiter.acquire("voice").answered({}, None)
    burst = list(clock.slept)
    limiter.acquire("voice").answered({}, None)

    assert (burst, clock.slept) == ([], [60.06])


def test_threads_share_one_allowance(make_clock: Callable[[], Any]) -> None:
    """Eight threads that wait for each other's places never exceed the limit."""
    clock = make_clock()
    limiter = Limiter(limits=[Limit(requests=5, per=seconds(10))], daily=None, clock=clock)
    arrivals: list[datetime] = []

    def ask() -> None:
        for _ in range(25):
            slot = limiter.acquire("voice")
            arrivals.append(clock.now())
            slot.answered({}, None)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(arrivals), most_in_a_window(sorted(arrivals), seconds(10)) <= 5) == (200, True)


def test_threads_are_served_in_the_order_they_came(make_clock: Callable[[], Any]) -> None:
    """Nobody overtakes."""
    limiter = Limiter(limits=[Limit(requests=1, per=seconds(10))], daily=None, clock=make_clock())
    held = limiter.acquire("voice")
    served: list[int] = []

    def ask(name: int) -> None:
        slot = limiter.acquire("voice")
        served.append(name)
        slot.answered({}, None)

    threads = [threading.Thread(target=ask, args=[name]) for name in range(6)]
    for count, thread in enumerate(threads, start=1):
        thread.start()
        while len(limiter._turn._waiting) < count:
            threading.Event().wait(0.001)
    held.answered({}, None)
    for thread in threads:
        thread.join()

    assert list(range(6)) == served


def test_who_fails_while_waiting_makes_room(make_clock: Callable[[], Any]) -> None:
    """An interrupted wait leaves the queue in order."""

    class Stopped(Exception):
        pass

    class Stopping:
        now = staticmethod(lambda: START)

        @staticmethod
        def sleep(_seconds: float) -> None:
            raise Stopped

    limiter = Limiter(limits=[Limit(requests=1, per=seconds(10))], daily=None, clock=Stopping())
    limiter.acquire("voice").answered({}, None)
    for _ in range(2):
        with pytest.raises(Stopped):
            limiter.acquire("voice")


# ── Memory ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_limiter_goes_on_from_what_the_old_one_remembers(make_clock: Callable[[], Any]) -> None:
    """A request of the run before counts until it has left the window."""
    clock = make_clock()
    first = Limiter(limits=[SIXTY], daily=100, clock=clock)
    for _ in range(60):
        first.acquire("voice").answered({}, None)
    clock.sleep(20)
    second = Limiter(limits=[SIXTY], daily=100, clock=clock, found=stored(first.standing()))
    second.acquire("voice")

    waited, exact = clock.slept[-1], 40.06  # what is kept is later than it was by a five-hundredth of its age at most
    assert (exact <= waited <= exact + 20 / 512, second.standing().requests) == (True, 61)


@pytest.mark.parametrize(
    "memory",
    [
        None,
        [],
        "text",
        7,
        {},
        {"answered": "x", "quota": "y"},
        {"answered": [None, "1", 1.5, [True, 1], [10**30, 1], [-(10**30), 1], [1], [1, "x"]], "quota": [0, 1, None, 2]},
        {"answered": [], "quota": [0, 10**30, 10**30, None]},
        {"answered": [], "quota": [0, 1, 1, "x"]},
    ],
)
@pytest.mark.parametrize("day", [None, date(2026, 3, 14), date(2031, 1, 1)])
def test_a_memory_that_makes_no_sense_is_none(memory: Any, day: date | None, make_clock: Callable[[], Any]) -> None:
    """Garbage, another day, another year: the first request goes out at once."""
    clock = make_clock()
    found = Found(Standing(memory=memory, paused_until=None, day=day, requests=10, at=None))
    limiter = Limiter(limits=[Limit(requests=1, per=seconds(60))], daily=10, clock=clock, found=found)
    limiter.acquire("voice")

    assert (clock.slept, limiter.standing().requests) == ([], 1)


def test_what_has_left_every_window_is_not_remembered() -> None:
    """A generous limit would else make a long memory of a long run, written every second."""
    minute, second = timedelta(minutes=1), timedelta(seconds=1)
    allowance = Allowance(limits=[Limit(requests=10_000, per=second), Limit(requests=60, per=minute)], daily=None)
    for tick in range(100):
        now = START + tick * second
        allowance.sent(now)
        allowance.answered(now, None)
    # A window is taken for a thousandth longer than it is, and an instant to a part of its age, later rather than earlier.
    answered = allowance.standing(now).memory["answered"]
    early = [instant - round((START + tick * second).timestamp() * 1_000_000) for tick, (instant, _) in enumerate(answered, 39)]
    assert ([times for _, times in answered], min(early) >= 0, max(early) <= 60_000_000 / 512) == ([1] * 61, True, True)
    assert allowance.standing(now + 2 * minute).memory["answered"] == []


def test_a_memory_from_the_future_costs_one_window(make_clock: Callable[[], Any]) -> None:
    """After a clock was set back by a year nobody waits for a year."""
    clock = make_clock()
    ahead = Limiter(limits=[SIXTY], daily=None, clock=make_clock(START + timedelta(days=365)))
    for _ in range(60):
        ahead.acquire("voice").answered({}, None)
    limiter = Limiter(limits=[SIXTY], daily=None, clock=clock, found=stored(ahead.standing()))
    limiter.acquire("voice")

    assert clock.slept == [60.06]


def test_a_clock_that_is_set_back_costs_one_window(make_clock: Callable[[], Any]) -> None:
    """The same within one process, for places, pauses and what a server said."""
    clock = make_clock()
    limiter = Limiter(limits=[Limit(requests=1, per=seconds(60))], daily=None, clock=clock)
    limiter.acquire("voice").answered({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "600"}, None)
    limiter.pause(timedelta(minutes=10))
    clock.set(START - timedelta(days=2))
    limiter.acquire("voice")

    assert clock.slept == [60.06]


# ── The day's budget ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("daily", "said"), [(1, "1 request"), (2, "2 requests"), (1000, "1,000 requests")])
def test_the_budget_of_a_day_is_spent_and_comes_back_at_midnight(make_clock: Callable[[], Any], daily: int, said: str) -> None:
    """The sentence names the day and the setting."""
    clock = make_clock()
    limiter = Limiter(limits=(), daily=daily, clock=clock)
    for _ in range(daily):
        limiter.acquire("voice").answered({}, None)
    with pytest.raises(BudgetSpent) as raised:
        limiter.acquire("voice")
    clock.set(datetime(2026, 3, 16, tzinfo=UTC))
    limiter.acquire("voice")

    assert str(raised.value) == (
        f"the budget of {said} for 2026-03-15 (UTC) is spent. "
        "What was loaded before stays, and the next sync continues there. "
        "Raise connections.voice.daily_requests if the provider allows more."
    )


def test_a_request_that_never_left_costs_nothing(make_clock: Callable[[], Any]) -> None:
    """An outage of the network does not spend the budget; a lost answer does."""
    limiter = Limiter(limits=(), daily=2, clock=make_clock())
    for _ in range(5):
        limiter.acquire("voice").unsent()
    limiter.acquire("voice").lost()

    assert limiter.standing().requests == 1


def test_a_place_that_is_too_far_away_ends_the_run(make_clock: Callable[[], Any]) -> None:
    """A limit by the hour is not waited for."""
    clock = make_clock()
    limiter = Limiter(limits=[Limit(requests=1, per=timedelta(hours=1))], daily=None, clock=clock)
    limiter.acquire("voice").answered({}, None)
    with pytest.raises(BudgetSpent, match="used up for the next 61 minutes"):
        limiter.acquire("voice")

    assert clock.slept == []


# ── What the server says ────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_sent_before_the_reset_when_nothing_remains(make_clock: Callable[[], Any]) -> None:
    """The server's clock is ten minutes ahead of ours; its Date header says so."""
    clock = make_clock()
    limiter = Limiter(limits=(), daily=None, clock=clock)
    theirs = START + timedelta(minutes=10)
    reset = str(int((theirs + seconds(30)).timestamp()))
    limiter.acquire("voice").answered(
        {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}, theirs
    )
    limiter.acquire("voice")

    assert clock.slept == [30.0]


@pytest.mark.parametrize(
    ("limit", "remaining", "reset"),
    [
        ("60", "0", "0"),
        ("60", "0", "-5"),
        ("60", "0", "nan"),
        ("60", "0", "soon"),
        ("60", "0", "1"),  # a second from now has passed by then
        ("60", "0", "99999999999999999999"),
        ("60", "0", str(int((START + timedelta(days=3)).timestamp()))),
        ("60", "0", str(int((START - timedelta(days=3)).timestamp()))),
        ("60", "-1", str(int((START + seconds(30)).timestamp()))),
        ("60", "61", str(int((START + seconds(30)).timestamp()))),
        ("0", "0", str(int((START + seconds(30)).timestamp()))),
        ("60", "", str(int((START + seconds(30)).timestamp()))),
    ],
)
def test_headers_that_make_no_sense_are_ignored(limit: str, remaining: str, reset: str, make_clock: Callable[[], Any]) -> None:
    """Nobody waits for a reset in 1970, in the year 3000000000000, or of an allowance of nothing."""
    clock = make_clock()
    limiter = Limiter(limits=(), daily=None, clock=clock)
    limiter.acquire("voice").answered(
        {"x-ratelimit-limit": limit, "x-ratelimit-remaining": remaining, "x-ratelimit-reset": reset}, None
    )
    clock.set(START + seconds(2))
    limiter.acquire("voice")

    assert clock.slept == []


def test_a_reset_is_understood_in_seconds_milliseconds_and_from_now() -> None:
    """All three are in use."""
    at = int((START + seconds(30)).timestamp())
    told = [
        quota({"x-ratelimit-remaining": "3", "x-ratelimit-reset": reset}, ServerClock(), now=START)
        for reset in (str(at), str(at * 1000), "30")
    ]

    assert [Quota(remaining=3, resets_at=START + seconds(30), window=START + seconds(30))] * 3 == told


def test_a_provider_may_have_names_of_its_own_for_what_is_left(make_clock: Callable[[], Any]) -> None:
    """They are read in place of the usual ones, which mean nothing there."""
    clock = make_clock()
    limiter = Limiter(limits=(), daily=None, clock=clock)
    left = {
        "x-acme-limit": "60",
        "x-acme-remaining": "0",
        "x-acme-reset": "30",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "90",
    }
    limiter.acquire("voice").answered(left, None, names="X-Acme")
    limiter.acquire("voice")

    assert clock.slept == [30.0]


def test_a_lost_answer_may_have_been_counted(make_clock: Callable[[], Any]) -> None:
    """Of two requests that remain, one that was lost and one that is in flight are two."""
    clock = make_clock()
    limiter = Limiter(limits=(), daily=None, clock=clock)
    limiter.acquire("voice").answered({"x-ratelimit-remaining": "1", "x-ratelimit-reset": "30"}, None)
    limiter.acquire("voice").lost()
    limiter.acquire("voice")

    assert clock.slept == [30.0]


def ask_by_headers(
    limit: Limit | None,
    *,
    workers: int,
    slowest: tuple[float, float],
    length: timedelta,
    seed: int,
    count: Callable[[datetime, timedelta], tuple[dict[str, str], datetime]],
) -> None:
    """
    Let `workers` ask without a pause a server that tells with every answer what is left.

    A request takes a time between those of `slowest`, and arrives anywhere in it; then `count` gets the instant and how far the
    server's clock is ahead of it, and returns the headers and the server's time.
    """
    chance = random.Random(seed)
    allowance, clock = Allowance(limits=[limit] if limit else [], daily=None), ServerClock()
    ahead = seconds(chance.uniform(-5000, 5000))
    now, idle, order = START, workers, itertools.count()
    events: list[tuple[datetime, int, Callable[[], None]]] = []

    def arrive(sent: datetime, latency: timedelta) -> None:
        headers, date = count(now, ahead)

        def answer() -> None:
            clock.heard(date.replace(microsecond=0), sent=sent, received=now)
            allowance.answered(now, quota(headers, clock, now=now))

        heapq.heappush(events, (sent + latency, next(order), answer))

    while now < START + length:
        wait = allowance.wait(now) if idle else None
        if wait == timedelta():
            allowance.sent(now)
            idle -= 1
            latency, part = seconds(chance.uniform(*slowest)), chance.random()
            heapq.heappush(events, (now + latency * part, next(order), partial(arrive, now, latency)))
        elif events and (wait is None or events[0][0] <= now + wait):
            now, _, happen = heapq.heappop(events)
            idle += not isinstance(happen, partial)
            happen()
        else:
            now += wait or seconds(1)


@pytest.mark.parametrize("seed", range(4))
def test_an_unknown_limit_is_kept_by_what_the_server_says(seed: int) -> None:
    """20 in each 10 seconds of the server's clock, six threads, no limit configured: none too many, and 90 % are used."""
    counts: Counter[int] = Counter()

    def count(now: datetime, ahead: timedelta) -> tuple[dict[str, str], datetime]:
        theirs = now + ahead
        window = int(theirs.timestamp()) // 10
        counts[window] += 1
        return {"x-ratelimit-remaining": str(20 - counts[window]), "x-ratelimit-reset": str((window + 1) * 10)}, theirs

    ask_by_headers(None, workers=6, slowest=(0.05, 0.6), length=timedelta(minutes=10), seed=seed, count=count)

    print(f"seed {seed}: {counts.total() / 1200:.1%} of the allowance, at most {max(counts.values())}")  # noqa: T201 - a number to look at
    assert (max(counts.values()), counts.total() / 1200 > 0.9) == (20, True)


@pytest.mark.parametrize("seed", range(4))
def test_a_server_that_repeats_what_we_know_does_not_slow_us_down(seed: int) -> None:
    """
    10 in any second, kept here, and told with every answer, the reset rounded up to a whole second as KrosAI gives it.

    What it says is no news: all that are gone were ours. None is refused, and 90 % are used although answers take up to 100 ms.
    """
    limit = Limit(requests=10, per=seconds(1))
    arrivals: list[datetime] = []

    def count(now: datetime, ahead: timedelta) -> tuple[dict[str, str], datetime]:
        arrivals.append(now)
        counted = [arrival for arrival in arrivals[-11:] if arrival > now - limit.per]
        reset = math.ceil((counted[0] + limit.per + ahead).timestamp())
        left = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": str(10 - len(counted)), "x-ratelimit-reset": str(reset)}
        return left, now + ahead

    ask_by_headers(limit, workers=4, slowest=(0.01, 0.1), length=timedelta(minutes=5), seed=seed, count=count)

    used, most = len(arrivals) / 3000, most_in_a_window(arrivals, limit.per)
    print(f"seed {seed}: {used:.1%} of the allowance, at most {most}")  # noqa: T201 - a number to look at
    assert (most, used > 0.9) == (10, True)


def test_a_server_that_has_less_left_than_we_took_is_believed(make_clock: Callable[[], Any]) -> None:
    """Somebody else uses the same account: then its reset is waited for."""
    clock = make_clock()
    limiter = Limiter(limits=[Limit(requests=10, per=seconds(1))], daily=None, clock=clock)
    headers = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "2"}
    limiter.acquire("voice").answered(headers, None)
    limiter.acquire("voice")

    assert clock.slept == [2.0]


def test_answers_that_overtake_each_other_do_not_raise_the_allowance(make_clock: Callable[[], Any]) -> None:
    """Of one window the least that was said counts, and what is in flight may not be in it yet."""
    clock = make_clock()
    limiter = Limiter(limits=(), daily=None, clock=clock)
    reset = str(int((START + seconds(30)).timestamp()))
    first, second, third = (limiter.acquire("voice") for _ in range(3))
    second.answered({"x-ratelimit-remaining": "2", "x-ratelimit-reset": reset}, None)
    first.answered({"x-ratelimit-remaining": "3", "x-ratelimit-reset": reset}, None)
    fourth = limiter.acquire("voice")
    third.answered({"x-ratelimit-remaining": "1", "x-ratelimit-reset": reset}, None)
    before = list(clock.slept)
    fourth.answered({"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}, None)
    limiter.acquire("voice")

    assert (before, clock.slept) == ([], [30.0])


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 3), st.floats(0, 1)), min_size=1, max_size=30), st.floats(-1e6, 1e6))
def test_the_servers_clock_is_known_from_below(replies: list[tuple[float, float, float]], ahead: float) -> None:
    """Whatever was heard, an instant of the server's clock is never taken to come earlier than it does, nor a second too late."""
    clock = ServerClock()
    latencies = []
    for sent, latency, part in sorted(replies):
        theirs = START + seconds(sent + latency * part + ahead)
        clock.heard(theirs.replace(microsecond=0), sent=START + seconds(sent), received=START + seconds(sent + latency))
        latencies.append(latency)

    late = clock.ours(START) - (START - seconds(ahead))

    assert -timedelta(microseconds=5) <= late <= seconds(1 + min(latencies)) + timedelta(microseconds=5)


# ── What outlives a run ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pause_outlives_the_run_that_was_told(clock: Any) -> None:
    """`Retry-After: 3600`: a run that begins ten minutes later sends nothing for fifty, and one after that sends at once."""
    told = Limiter(limits=(), daily=None, clock=clock)
    told.pause(timedelta(hours=1))
    found = stored(told.standing())
    clock.set(clock.now() + timedelta(minutes=10))
    with pytest.raises(BudgetSpent, match="50 minutes"):
        Limiter(limits=(), daily=None, clock=clock, found=found).acquire("voice")
    clock.set(clock.now() + timedelta(minutes=50))

    Limiter(limits=(), daily=None, clock=clock, found=found).acquire("voice")
    assert clock.slept == []


@pytest.mark.parametrize("asked", [timedelta(days=30), timedelta(days=1)])
def test_a_pause_is_a_day_at_most(clock: Any, asked: timedelta) -> None:
    """Who asks for a month is asked again after a day; a memory of a pause that lies further ahead makes no sense."""
    told = Limiter(limits=(), daily=None, clock=clock)
    told.pause(asked)
    with pytest.raises(BudgetSpent, match="24 hours"):
        told.acquire("voice")
    clock.set(clock.now() - timedelta(days=2))

    Limiter(limits=(), daily=None, clock=clock, found=stored(told.standing())).acquire("voice")
    assert clock.slept == []


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system's zone cannot be changed for a process")
@pytest.mark.parametrize("zone", ["Etc/GMT+9", "Etc/GMT-14"])
@pytest.mark.parametrize("own", [False, True])
def test_the_days_budget_is_that_of_the_utc_day_wherever_the_machine_stands(
    clock: Any, monkeypatch: pytest.MonkeyPatch, zone: str, own: bool
) -> None:
    """Its midnight is at 0:00 UTC, though the machine's zone has another day, and though a clock may tell its own zone's time."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for hour, room in ((12, True), (23, False), (24, True), (35, False)):
            now = datetime(2026, 3, 15, tzinfo=UTC) + timedelta(hours=hour)
            clock.set(now.astimezone() if own else now)
            if hour == 12:
                limiter = Limiter(limits=(), daily=1, clock=clock)
            if room:
                limiter.acquire("voice").answered({}, None)
            else:
                with pytest.raises(BudgetSpent, match=r"1 request for 2026-03-1[56] \(UTC\)"):
                    limiter.acquire("voice")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_is_used_of_each_limit_is_told() -> None:
    """Of rolling windows what lies in them, requests in flight included; of the budget what the UTC day has had."""
    day = Limit(requests=500, per=timedelta(days=1))
    allowance = Allowance(limits=[day, SIXTY], daily=400)
    for second in (0, 30, 50):
        allowance.sent(START + seconds(second))
        allowance.answered(START + seconds(second), None)
    allowance.sent(START + seconds(61))

    assert allowance.use(START + seconds(61)) == (
        (timedelta(minutes=1), 3, 60),
        (timedelta(days=1), 4, 500),
        (None, 4, 400),
    )
    later = allowance.use(START + timedelta(days=1))
    assert later == ((timedelta(minutes=1), 1, 60), (timedelta(days=1), 4, 500), (None, 1, 400))


def test_how_long_a_request_was_held_back_is_told(make_clock: Callable[[], Any]) -> None:
    """With the connection that it is for; one that goes out at once is not told."""
    told: list[tuple[str, float]] = []
    limiter = Limiter(
        limits=[Limit(requests=1, per=timedelta(seconds=10))],
        daily=None,
        clock=make_clock(),
        waited=lambda connection, wait: told.append((connection, wait)),
    )
    for connection in ("pairing", "voice"):
        limiter.acquire(connection).answered({}, None)

    assert told == [("voice", pytest.approx(10.01))]
