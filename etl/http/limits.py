"""How threads take turns at a rate limit, and which connections share one; the arithmetic is in `allowance`."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

from etl.effects import Clock
from etl.errors import BudgetSpent
from etl.http.allowance import LONGEST_PAUSE, Allowance, DaySpent
from etl.http.quota import ServerClock, quota
from etl.http.retry import LONGEST_WAIT
from etl.model import JSON
from etl.provider import Limit

SAFE = "What was loaded before stays, and the next sync continues there."

_KEY = secrets.token_bytes(32)


class Limiter:
    """
    Makes requests wait until the provider's allowance has room for them: first come, first served, for any number of threads.

    `limit` None means that no limit is known (the server's headers still count); `daily` is the budget of a UTC day. `memory` is
    what `memory()` returned in an earlier run; any other value is ignored. Waiting is done by `clock.sleep`.
    """

    def __init__(self, *, limit: Limit | None, daily: int | None, clock: Clock, memory: JSON = None) -> None:
        self._clock = clock
        self._turn = _Turn()
        self._changed = threading.Condition()  # guards the two below
        self._allowance = Allowance(limits=[limit] if limit else [], daily=daily)
        self._server = ServerClock()
        self._allowance.remember(memory, clock.now())

    def acquire(self, connection: str) -> Slot:
        """
        Wait for a place and take it. Every slot must be ended by one of its three methods.

        Raises BudgetSpent if the day's budget is spent, or if the wait is clearly longer than `LONGEST_WAIT`.
        """
        with self._turn.taken():
            while True:
                wait = self._take(connection)
                if isinstance(wait, Slot):
                    return wait
                if wait > LONGEST_WAIT * 1.2:
                    raise BudgetSpent(f"the request allowance is used up for the next {in_words(wait)}.", safe=SAFE)
                self._clock.sleep(wait.total_seconds())

    def pause(self, wait: timedelta) -> None:
        """Send nothing for this long, in later runs too, because the server asked for it. A pause lasts at most a day."""
        with self._changed:
            self._allowance.pause(self._clock.now() + min(wait, LONGEST_PAUSE))

    def memory(self) -> JSON:
        """Return what a later run must know, as JSON."""
        with self._changed:
            return self._allowance.memory(self._clock.now())

    def join(self, *, limit: Limit | None, daily: int | None, memory: JSON) -> None:
        """Keep another connection's limits as well, and add its memory."""
        with self._changed:
            self._allowance.restrict(limits=[limit] if limit else [], daily=daily)
            self._allowance.remember(memory, self._clock.now())

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

    def _answered(self, sent_at: datetime, headers: Mapping[str, str], date: datetime | None) -> None:
        with self._changed:
            now = self._clock.now()
            if date is not None:
                self._server.heard(date, sent=sent_at, received=now)
            self._allowance.answered(now, quota(headers, self._server, now=now))
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

    def answered(self, headers: Mapping[str, str], date: datetime | None) -> None:
        """End the slot: the head of a response was received."""
        if self._ends():
            self._limiter._answered(self.sent_at, headers, date)  # noqa: SLF001 - a slot is a part of its limiter

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


class Limiters:
    """The limiters of one process: one per account, shared by all connections that use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limiters: dict[tuple[str, str], Limiter] = {}

    def of(
        self,
        provider_name: str,
        token_fingerprint: str,
        *,
        limit: Limit | None,
        daily: int | None,
        clock: Clock,
        memory: JSON = None,
    ) -> Limiter:
        """Return the account's limiter. If it exists already, it keeps these limits as well and adds this memory."""
        with self._lock:
            known = self._limiters.get((provider_name, token_fingerprint))
            if known is None:
                known = self._limiters[provider_name, token_fingerprint] = Limiter(
                    limit=limit, daily=daily, clock=clock, memory=memory
                )
            else:
                known.join(limit=limit, daily=daily, memory=memory)
            return known


def fingerprint(token: str) -> str:
    """Return a name for a token that is valid in this process only and from which the token cannot be found."""
    return hmac.digest(_KEY, token.strip().encode(), "sha256").hex()


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
