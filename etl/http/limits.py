"""How threads take turns at a rate limit, and when it is saved; the arithmetic is in `allowance`, accounts are in `accounts`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

from etl.effects import Clock
from etl.errors import BudgetSpent, GaveWay
from etl.http.allowance import LONGEST_PAUSE, SAVED_EVERY, Allowance, DaySpent
from etl.http.quota import ServerClock, quota
from etl.http.retry import LONGEST_WAIT
from etl.provider import Limit
from etl.runs.allowances import NOTHING, Found, Standing

SAFE = "What was loaded before stays, and the next sync continues there."

OTHERS_WAIT = timedelta(minutes=10)
"""How long another process that waits for the account is left waiting."""

Save = Callable[[Standing], bool]
"""Keeps a standing, and returns whether another process waits for the account."""

Waited = Callable[[str, float], object]
"""Is told for how many seconds a request of a connection was held back."""


class Answered(NamedTuple):
    """The head of a response, as `Slot.answered` is told of it."""

    headers: Mapping[str, str]
    date: datetime | None
    names: str
    way: timedelta | None


class Limiter:
    """
    Makes requests wait until the provider's allowance has room for them: first come, first served, for any number of threads.

    `limits` empty means that no limit is known (the server's headers still count); `daily` is the budget of a UTC day. `found` is
    what was kept of the account. `save` keeps it again: at most once a second while requests go out, and before the request
    whose sending it counts; it was saved once when this limiter was made. Waiting is done by `clock.sleep`, and told to `waited`.
    """

    def __init__(
        self,
        *,
        limits: Iterable[Limit],
        daily: int | None,
        clock: Clock,
        found: Found = NOTHING,
        save: Save = lambda _: False,
        waited: Waited = lambda _, __: None,
    ) -> None:
        self._clock = clock
        self._turn = _Turn()
        self._changed = threading.Condition()  # guards the three below
        self._allowance = Allowance(limits=limits, daily=daily)
        self._server = ServerClock()
        self._way: timedelta | None = None
        self._saving = threading.Lock()  # guards the three below
        self._save = save
        self._waited = waited
        self._saved_at = now = clock.now()
        self._wanted_since: datetime | None = None
        self._allowance.remember(found, now)

    def acquire(self, connection: str) -> Slot:
        """
        Wait for a place and take it. Every slot must be ended by one of its three methods.

        Raises BudgetSpent if the day's budget is spent, or if the wait is clearly longer than `LONGEST_WAIT`; GaveWay if another
        process has waited for the account for `OTHERS_WAIT`; what `save` raises.
        """
        with self._turn.taken():
            while True:
                self._give_way()
                wait = self._take(connection)
                if isinstance(wait, Slot):
                    self._save_before(wait)
                    return wait
                if wait > LONGEST_WAIT * 1.2:
                    raise BudgetSpent(
                        f"the request allowance is used up for the next {in_words(wait)}.",
                        safe=SAFE,
                        hint="Nothing needs to be done: a run after that goes on.",
                    )
                self._clock.sleep(wait.total_seconds())
                self._waited(connection, wait.total_seconds())

    def pause(self, wait: timedelta) -> None:
        """Send nothing for this long, in later runs too, because the server asked for it. A pause lasts at most a day."""
        with self._changed:
            self._allowance.pause(self._clock.now() + min(wait, LONGEST_PAUSE))
        self._keep()  # at once: whoever comes after a killed process must know of it too

    def standing(self) -> Standing:
        """Return what a later run must know."""
        with self._changed:
            return self._allowance.standing(self._clock.now())

    def join(self, *, limits: Iterable[Limit], daily: int | None) -> None:
        """Keep another connection's limits as well."""
        with self._changed:
            self._allowance.restrict(limits=limits, daily=daily)

    def _save_before(self, slot: Slot) -> None:
        """Save what a killed process must not leave untold: before a request that follows the last saving by a second."""
        if timedelta() <= slot.sent_at - self._saved_at < SAVED_EVERY:
            return
        try:
            self._keep()
        except BaseException:
            slot.unsent()
            raise

    def _keep(self) -> None:
        with self._saving:
            standing = self.standing()
            wanted = self._save(standing)
            self._saved_at = now = standing.at or self._clock.now()
            self._wanted_since = (self._wanted_since or now) if wanted else None

    def _give_way(self) -> None:
        since = self._wanted_since
        if since is not None and self._clock.now() - since >= OTHERS_WAIT:
            raise GaveWay(
                f"another process has waited {in_words(OTHERS_WAIT)} for the request allowance of its account.",
                safe=SAFE,
                hint="Nothing needs to be done. Connections with one token share its allowance side by side if one command or "
                "one worker syncs them.",
            )

    def _take(self, connection: str) -> Slot | timedelta:
        """Take a place, or return how long to wait for one. While only the end of a request can make room, wait for it here."""
        with self._changed:
            try:
                while (wait := self._allowance.wait(now := self._clock.now())) is None:
                    self._changed.wait()
            except DaySpent as spent:
                raise BudgetSpent(
                    f"{spent}.",
                    safe=SAFE,
                    hint=f"Raise connections.{connection}.daily_requests if the provider allows more.",
                ) from None
            if wait > timedelta():
                return wait
            self._allowance.sent(now)
            return Slot(self, sent_at=now)

    def _answered(self, sent_at: datetime, answer: Answered) -> None:
        with self._changed:
            now = self._clock.now()
            if answer.date is not None:
                self._server.heard(answer.date, sent=sent_at, received=now)
            if answer.way is not None:
                self._way = min(answer.way, self._way or answer.way)
            way = timedelta() if self._way is None or answer.way is None else self._way
            self._allowance.answered(now, quota(answer.headers, self._server, now=now, names=answer.names), way=way)
            self._changed.notify_all()

    def _lost(self) -> None:
        with self._changed:
            self._allowance.lost(self._clock.now())
            self._changed.notify_all()

    def _unsent(self) -> None:
        with self._changed:
            self._allowance.unsent(self._clock.now())
            self._changed.notify_all()


class Slot:
    """One request's place in the allowance. Only the first call that ends it has an effect."""

    def __init__(self, limiter: Limiter, *, sent_at: datetime) -> None:
        self._limiter = limiter
        self._open = True
        self.sent_at = sent_at

    def answered(
        self, headers: Mapping[str, str], date: datetime | None, *, names: str = "X-RateLimit", way: timedelta | None = None
    ) -> None:
        """
        End the slot: the head of a response was received.

        `names` is how its headers about the limit begin, `way` how long it and the request travelled at least, if that is known.
        """
        if self._ends():
            self._limiter._answered(self.sent_at, Answered(headers, date, names, way))  # noqa: SLF001 - a slot is a part of its limiter

    def lost(self) -> None:
        """End the slot: there was no answer, but the request may have arrived."""
        if self._ends():
            self._limiter._lost()  # noqa: SLF001 - as above

    def unsent(self) -> None:
        """End the slot: the request certainly did not arrive."""
        if self._ends():
            self._limiter._unsent()  # noqa: SLF001 - as above

    def _ends(self) -> bool:
        was_open, self._open = self._open, False
        return was_open


def in_words(wait: timedelta) -> str:
    """Return a wait in whole minutes or hours, rounded up: `3 hours`."""
    length, unit = (3600, "hours") if wait > timedelta(minutes=90) else (60, "minutes")
    return f"{-int(-wait.total_seconds() // length)} {unit}"


class _Turn:
    """A lock that is handed over in the order in which it was asked for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def taken(self) -> Iterator[None]:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
        try:
            with self._changed:
                while self._waiting[0] is not ticket:
                    self._changed.wait()
            yield
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()
