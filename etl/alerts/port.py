"""What watching needs from outside: the warehouse that remembers, and the addresses that are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from etl.alerts.changes import Alert, Change


class HookFailed(Exception):
    """An address was not reached, or did not answer with success. `cause` is a word of ours; the address is not in it."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Hook(Protocol):
    """Where alerts are told."""

    def tell(self, text: str) -> None:
        """Hand a text over. Raises HookFailed, or another error in the words of the command line."""
        ...


class Heartbeat(Protocol):
    """Where it is shown that all is well."""

    def beat(self) -> None:
        """Show it. Raises as `Hook` does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the warehouse knows of a connection, as in `Standing`; `read_until` is what has been read, or tried, so far."""

    connection: str
    read_until: datetime | None
    fresh_until: datetime | None
    last_error: str | None
    proof: str | None
    proved_at: datetime | None
    lost_gaps: int
    newest_call: datetime | None


class Book(Protocol):
    """Where alerts are remembered, by all workers together. Raises WarehouseError."""

    def alerts(self) -> list[tuple[Alert, datetime]]:
        """Return all that is remembered, each with when it was looked at last."""
        ...

    def facts(self, connections: Sequence[str], *, now: datetime) -> list[Facts]:
        """Return what is known of these connections; one that no sync has begun to read is left out."""
        ...

    def longest_pause(self, connection: str, *, before: datetime) -> timedelta | None:
        """Return the longest time between two calls of the 28 days before the newest one; None where there are not two."""
        ...

    def note(self, alert: Alert, *, instead_of: Alert | None, now: datetime) -> None:
        """Remember an alert, unless something else is remembered by now than `instead_of`."""
        ...

    def tell(self, told: Sequence[Change], send: Callable[[Sequence[Change]], None], *, now: datetime) -> None:
        """
        Take the alerts for this worker alone, send what is to be told of them, and remember that it was.

        Left out is what another worker has taken or told; nothing is sent if nothing is left. If `send` raises, nothing is
        remembered, and the error is passed on.
        """
        ...

    def looked_at(self, connections: Sequence[str], *, now: datetime, before: datetime) -> None:
        """Write down that the alerts of these connections are looked at, where that was last done before an instant."""
        ...

    def forget(self, connection: str, *, before: datetime) -> None:
        """Forget the alerts of a connection that were not looked at since an instant."""
        ...
