"""The log of requests, and actions appointed for after a number of further requests."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    One request as it was answered; `status` 0: the connection was cut before a response.

    `credential`: the request carried one; `authorised`: a valid one; `limited`: it came too early for the rate limit;
    `at`: the virtual now (ISO 8601).
    """

    provider: str
    method: str
    path: str
    query: dict[str, str]
    status: int
    credential: bool
    authorised: bool
    limited: bool
    faults: list[str]
    at: str
    number: int = 0


@dataclass(slots=True, kw_only=True)
class _Appointment:
    provider: str
    path: str
    left: int
    action: Callable[[], object]


class Journal:
    """The newest 200,000 requests, and the appointments. Safe to share by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._entries: deque[Entry] = deque(maxlen=200_000)
        self._appointments: list[_Appointment] = []

    def note(self, entry: Entry) -> Entry:
        """Keep an entry; return it with its number."""
        with self._lock:
            self._count += 1
            self._entries.append(replace(entry, number=self._count))
            return self._entries[-1]

    def entries(self, provider: str | None) -> list[Entry]:
        """Return the entries, oldest first."""
        with self._lock:
            return [entry for entry in self._entries if provider in (None, entry.provider)]

    def clear(self) -> None:
        """Forget the entries, not the appointments."""
        with self._lock:
            self._entries.clear()

    def appoint(self, requests: int, action: Callable[[], object], *, provider: str, path: str) -> None:
        """Do `action` at the `requests`-th request from now whose path contains `path`."""
        with self._lock:
            self._appointments.append(_Appointment(provider=provider, path=path, left=requests, action=action))

    def due(self, provider: str, path: str) -> list[Callable[[], object]]:
        """Count a request; return what is to be done with it."""
        actions = []
        with self._lock:
            for appointment in list(self._appointments):
                if appointment.provider == provider and appointment.path in path:
                    appointment.left -= 1
                    if appointment.left <= 0:
                        self._appointments.remove(appointment)
                        actions.append(appointment.action)
        return actions
