"""Which calls exist, which of them are listed, and when each changes next. It has no clock of its own."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from etl.sandbox.call import NEVER, Call
from etl.sandbox.shelf import Shelf

_Key = tuple[str, str, str]
"""Provider, account, agent ("" where there are none)."""


class Ledger:
    """All calls of a history. Instants are microseconds; `now` never goes back."""

    def __init__(self) -> None:
        self._shelves: dict[_Key, Shelf] = {}
        self._calls: dict[_Key, dict[str, Call]] = {}
        self._removed: dict[_Key, dict[str, Call]] = {}
        self._events: list[tuple[int, int, Call]] = []
        self._ticket = 0

    def enter(self, calls: Iterable[Call], now: int) -> None:
        """Add calls."""
        for call in calls:
            self._calls.setdefault(_key(call), {})[call.id] = call
            self._look_at(call, now)

    def move(self, now: int) -> None:
        """Apply every change that is due."""
        while self._events and self._events[0][0] <= now:
            self._look_at(heapq.heappop(self._events)[2], now)

    def shelf(self, provider: str, account: str, agent: str) -> Shelf:
        """Return the calls that are listed."""
        return self._shelves.setdefault((provider, account, agent), Shelf())

    def find(self, provider: str, account: str, call_id: str, agent: str | None) -> Call | None:
        """Return a call that is listed; of any agent if none is named."""
        if agent is not None:
            calls = [self._calls.get((provider, account, agent), {})]
        else:
            calls = [calls for key, calls in self._calls.items() if key[:2] == (provider, account)]
        for one in calls:
            call = one.get(call_id)
            if call is not None and call.shown:
                return call
        return None

    def remove(self, call: Call) -> None:
        """Take a call off the list."""
        if call.shown:
            self.shelf(*_key(call)).take(call)
            call.shown = False
        if self._calls[_key(call)].get(call.id) is call:
            del self._calls[_key(call)][call.id]
            self._removed.setdefault(_key(call), {})[call.id] = call

    def restore(self, provider: str, account: str, call_id: str, now: int) -> None:
        """List a removed call again, with what has happened to it since. Raise KeyError if there is none."""
        for key, calls in self._removed.items():
            if key[:2] == (provider, account) and call_id in calls:
                call = calls.pop(call_id)
                call.deleted_at = NEVER
                self.enter([call], now)
                return
        raise KeyError(f"{provider} has removed no call {call_id}")

    def _look_at(self, call: Call, now: int) -> None:
        if call.deleted_at <= now:
            self.remove(call)
            return
        call.live_until(now)
        if not call.shown and call.visible_at <= now:
            call.shown = True
            self.shelf(*_key(call)).put(call)
        due = min(call.next_change, call.deleted_at, NEVER if call.shown else call.visible_at)
        if due < NEVER:
            self._ticket += 1
            heapq.heappush(self._events, (due, self._ticket, call))


def _key(call: Call) -> _Key:
    return call.provider, call.account, call.agent
