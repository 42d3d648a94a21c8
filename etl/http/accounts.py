"""
Which connections share a limiter: those with the same provider and token, which the provider counts together.

One process at a time uses an account. While any of its connections does, its standing is kept in the book
(`etl.runs.allowances`), for the next run and for other processes.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from random import Random

from etl.effects import Clock
from etl.http.limits import Limiter, Waited
from etl.provider import Limit
from etl.runs.allowances import NOTHING, AllowanceBook, Found, Standing


@dataclass(slots=True)
class _Used:
    """An account in use, and by how many connections."""

    limiter: Limiter
    owner: int
    users: int = 0


class Accounts:
    """The accounts of one process; safe to share between threads."""

    def __init__(self, book: AllowanceBook, *, clock: Clock, random: Random, waited: Waited = lambda _, __: None) -> None:
        self._book = book
        self._waited = waited
        self._clock = clock
        self._random = random
        self._guard = threading.Lock()
        self._used: dict[str, _Used] = {}

    def account(self, provider: str, token: str) -> str:
        """Return the name of an account, from which neither provider nor token can be found."""
        return self._book.account(provider, token)

    @contextmanager
    def limiter(self, provider: str, token: str, *, limits: Iterable[Limit], daily: int | None) -> Iterator[Limiter]:
        """
        Use an account for the block: its limiter, with these limits too, is the one of all connections that use it meanwhile.

        Raises AccountBusy if another process uses it, and WarehouseError.
        """
        account = self._book.account(provider, token)
        with self._guard:
            used = self._used.get(account)
            if used is None:
                used = self._used[account] = self._taken(account, limits, daily)
            else:
                used.limiter.join(limits=limits, daily=daily)
            used.users += 1
        try:
            yield used.limiter
        finally:
            with self._guard:
                used.users -= 1
                if not used.users:
                    del self._used[account]
                    self._book.leave(account, used.limiter.standing(), owner=used.owner)

    def _taken(self, account: str, limits: Iterable[Limit], daily: int | None) -> _Used:
        found = self._book.take(account, now=self._clock.now())
        owner = self._random.getrandbits(62)

        def save(standing: Standing) -> bool:
            return self._book.save(account, standing, owner=owner)

        limiter = Limiter(limits=limits, daily=daily, clock=self._clock, found=found, save=save, waited=self._waited)
        try:
            self._book.claim(account, limiter.standing(), found=found, owner=owner)
        except BaseException:
            self._book.leave(account, limiter.standing(), owner=owner)
            raise
        return _Used(limiter, owner)


class NoBook:
    """`AllowanceBook` where there is no warehouse yet: nothing is known, and nothing is kept."""

    def account(self, provider: str, token: str) -> str:
        """Return a name that holds neither."""
        return hmac.digest(b"nothing is kept by this name", f"{provider}\0{token.strip()}".encode(), "sha256").hex()

    def take(self, account: str, *, now: datetime) -> Found:
        """Find nothing."""
        return NOTHING

    def claim(self, account: str, standing: Standing, *, found: Found, owner: int) -> None:
        """Keep nothing."""

    def save(self, account: str, standing: Standing, *, owner: int) -> bool:
        """Keep nothing; nobody waits."""
        return False

    def leave(self, account: str, standing: Standing, *, owner: int) -> None:
        """Keep nothing."""
