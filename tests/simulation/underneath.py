"""
Knows what stands under a simulated process: a warehouse and its locks, opened by each process for itself, and laid open to looks.

This one is in memory; the one on Postgres is in `on_postgres`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from etl.records.persons import Person
from etl.runs.state import StreamState
from tests.memory.allowances import MemoryAllowances, Shared
from tests.memory.erasing import ForgettingWarehouse
from tests.simulation.pulse import Mortal, Pulse

Row = dict[str, Any]


class Period(NamedTuple):
    """How long a version that is history was held, and whether its call was gone afterwards."""

    valid_from: datetime
    valid_to: datetime
    deleted: bool


class Process(Protocol):
    """What one process has of the warehouse; each method of the two is an effect."""

    warehouse: Any
    book: Any

    def killed(self) -> None:
        """Let its locks be free, as those of a process are that was killed."""
        ...

    def ended(self) -> None:
        """Give back what is left of it."""
        ...


class Underneath(Protocol):
    """One warehouse, of one connection."""

    def process(self, pulse: Pulse, *, kind: str) -> Process:
        """Open the warehouse for a process that does a `sync`, an `audit`, a `replay`, or a `forget`."""
        ...

    def register(self, people: Collection[Person], call_ids: Collection[str], *, pulse: Pulse) -> None:
        """Keep these persons and calls out from now on, step by step, as a process that may be killed."""
        ...

    def erased(self) -> frozenset[str]:
        """Return the calls that are erased."""
        ...

    def texts(self) -> Iterable[tuple[str | None, str]]:
        """Return whatever is kept as text, row by row, each with the call that it is of, if it is of one."""
        ...

    def cut_off(self) -> None:
        """Take the locks of every process away, as where it hangs for too long."""
        ...

    def calls(self) -> Collection[Row]:
        """Return the rows of `calls`, with their documents decoded or as text."""
        ...

    def states(self) -> Mapping[str, StreamState]:
        """Return the streams' states."""
        ...

    def marks(self) -> Mapping[str, datetime | None]:
        """Return the streams' high-water marks, as stored."""
        ...

    def history(self) -> Mapping[str, Sequence[Period]]:
        """Return the versions that are history, by call, the oldest first."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

    def contradictions(self) -> str | None:
        """Return what in the warehouse contradicts itself; None if nothing."""
        ...


@dataclass
class InMemory:
    """The warehouse in memory."""

    connection: str
    warehouse: ForgettingWarehouse = field(default_factory=ForgettingWarehouse)
    shared: Shared = field(default_factory=Shared)

    def process(self, pulse: Pulse, *, kind: str) -> Process:
        """See `Underneath.process`."""
        return _InMemory(self, pulse)

    def register(self, people: Collection[Person], call_ids: Collection[str], *, pulse: Pulse) -> None:
        """See `Underneath.register`."""
        calls = {self.connection: call_ids} if call_ids else {}
        self.warehouse.register(people, calls, between=pulse.beat)

    def erased(self) -> frozenset[str]:
        """See `Underneath.erased`."""
        return frozenset(self.warehouse.erased[self.connection].calls)

    def texts(self) -> Iterable[tuple[str | None, str]]:
        """See `Underneath.texts`."""
        kept = self.warehouse.connections.get(self.connection)
        if kept is None:
            return
        shelf = kept.shelf
        for call_id, entry in shelf.calls.items():
            yield call_id, str(entry)
        for call_id, versions in shelf.history.items():
            yield call_id, str([(one.call.raw, one.call.detail) for one in versions])
        for reject in shelf.rejects.values():
            yield reject.call_id, str(reject)
        for rest in (shelf.agents, shelf.departures, shelf.about):
            yield None, str(rest)

    def cut_off(self) -> None:
        """See `Underneath.cut_off`."""
        self.warehouse.release(self.connection)
        self.shared.taken.clear()

    def calls(self) -> Collection[Row]:
        """See `Underneath.calls`."""
        return [entry.call._asdict() for entry in self.warehouse.entries(self.connection)]

    def states(self) -> Mapping[str, StreamState]:
        """See `Underneath.states`."""
        return self.warehouse.streams(self.connection)

    def marks(self) -> Mapping[str, datetime | None]:
        """See `Underneath.marks`."""
        kept = self.warehouse.connections.get(self.connection)
        return kept.shelf.marks if kept else {}

    def history(self) -> Mapping[str, Sequence[Period]]:
        """See `Underneath.history`."""
        kept = self.warehouse.connections.get(self.connection)
        return {
            call_id: [Period(one.valid_from, one.valid_to, one.deleted) for one in versions]
            for call_id, versions in (kept.shelf.history if kept else {}).items()
        }

    def close(self) -> None:
        """See `Underneath.close`."""

    def contradictions(self) -> str | None:
        """See `Underneath.contradictions`; nothing is kept twice here."""
        return None


class _InMemory:
    def __init__(self, under: InMemory, pulse: Pulse) -> None:
        self._under = under
        self._book = MemoryAllowances(under.shared)
        self.warehouse = Mortal(under.warehouse, pulse)
        self.book = Mortal(self._book, pulse)

    def killed(self) -> None:
        self._under.warehouse.release(self._under.connection)
        for name in [name for name, user in self._under.shared.taken.items() if user is self._book]:
            self._book.killed(name)

    def ended(self) -> None:
        pass
