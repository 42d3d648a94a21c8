"""
The protocol of where request allowances are kept across runs, processes and machines: one row per account.

An account is what a provider counts requests by: a provider and a token. `etl.http.accounts` uses the allowance, and the
warehouse keeps what has to be remembered of it.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple, Protocol

from etl.model import JSON


class Standing(NamedTuple):
    """
    What has to be remembered of an account's allowance.

    `memory` is the limiter's own; nothing is sent before `paused_until`; on `day` (UTC) `requests` were sent. `at` is the instant
    to which all this belongs.
    """

    memory: JSON
    paused_until: datetime | None
    day: date | None
    requests: int
    at: datetime | None


class Found(NamedTuple):
    """What was found of an account; `is_orphan` says that its last owner was killed, so what it sent last is not known."""

    standing: Standing
    is_orphan: bool = False


NOTHING = Found(Standing(memory=None, paused_until=None, day=None, requests=0, at=None))
"""Of an account that was never used."""


class AllowanceBook(Protocol):
    """
    Keeps the standing of every account, each in transactions of its own, and lets one process at a time use an account.

    Every method raises WarehouseError.
    """

    def account(self, provider: str, token: str) -> str:
        """Return the account's name: the same for the same provider and token, and the token cannot be found from it."""
        ...

    def take(self, account: str, *, now: datetime) -> Found:
        """
        Take the account's lock and return what is kept of it.

        Raises AccountBusy where another process has it, after noting for that one that somebody waits.
        """
        ...

    def claim(self, account: str, standing: Standing, *, found: Found, owner: int) -> None:
        """
        Become the owner of an account that was taken, of which `found` was kept. Who waited for it before has to ask again.

        Raises AccountBusy if something else is kept of it: the lock was lost, and another process used the account meanwhile.
        """
        ...

    def save(self, account: str, standing: Standing, *, owner: int) -> bool:
        """Keep the standing, and return whether another process waits. Raises AccountBusy if another owner took over."""
        ...

    def leave(self, account: str, standing: Standing, *, owner: int) -> None:
        """Keep the standing, unless another owner took over, and give the account back, whatever fails."""
        ...
