"""
A warehouse in memory from which persons and calls can be erased as from the one in Postgres (`etl.runs.forgetting`).

It is no part of `etl.testing`: what tries a provider erases nobody. What is too old is not erased here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

from etl.model import Derived
from etl.records.differences import KINDS
from etl.records.persons import Person
from etl.records.rows import HeldCalls, Rewrite
from etl.records.shield import Shield, hash_of
from etl.runs.account import Account
from etl.runs.forgetting import Aged, Standing, Texts
from etl.runs.port import KeptVersion, Place, RejectText
from etl.runs.terms import RunKind, Trigger
from etl.testing.memory.kept import Kept, KeptReject, Version
from etl.testing.memory.page import MemoryPage
from etl.testing.memory.warehouse import MemoryWarehouse

KEY = b"erasure key of the tests, of no warehouse"


@dataclass(slots=True)
class Erased:
    """What is erased: `sync.erasures` and, of one connection, its rows of `sync.erased_calls` and how its own row stands."""

    hashes: set[bytes]  # of the whole warehouse
    calls: set[str] = field(default_factory=set)
    erasures: int = 0
    erasures_done: int = 0


class ForgettingPage(MemoryPage):
    """Implements `etl.runs.forgetting.ForgettingPage` and `etl.runs.port.ErasingPage`, whose methods are documented there."""

    def __init__(self, kept: Kept, erased: Erased) -> None:
        super().__init__(kept.shelf)
        self._erased = erased
        self.noted: set[str] = set()
        self.gone: set[tuple[str, str]] = set()  # the keys of rejects that were kept, and are no more
        self.done = erased.erasures_done
        self.shield = Shield(key=KEY, hashes=frozenset(erased.hashes))
        self.erasing = self if erased.erasures else None

    # Where something was erased

    def erased_among(self, call_ids: Collection[str]) -> frozenset[str]:
        return frozenset((self._erased.calls | self.noted).intersection(call_ids))

    def note_erased(self, call_ids: Collection[str]) -> None:
        self.noted |= set(call_ids)

    def held_whole(self, call_ids: Collection[str]) -> HeldCalls:
        held = [one for call_id in sorted(set(call_ids)) if (one := self._held(call_id)) is not None]
        children = {kind: [child for one in held for child in getattr(one, kind)] for kind in KINDS}
        return HeldCalls(calls=[one.call for one in held], **children)

    def rewrite(self, rewrites: Sequence[Rewrite]) -> frozenset[str]:
        for derived, _, children in rewrites:
            held = cast("Derived", self._held(derived.call.call_id))
            first, changed = held.call.first_seen_at, held.call.last_changed_at
            kept = {kind: getattr(held, kind) for kind in KINDS if kind not in children}
            call = derived.call._replace(first_seen_at=first, last_changed_at=changed)
            self.written.calls[call.call_id] = derived._replace(call=call, **kept)
        return frozenset()

    def versions_of(self, call_ids: Collection[str]) -> Sequence[KeptVersion]:
        wanted = set(call_ids)
        return [
            KeptVersion(one.call.call_id, one.version, one.call.raw, one.call.detail, one.call.content_hash)
            for one in self._versions()
            if one.call.call_id in wanted
        ]

    def rewrite_versions(self, versions: Sequence[KeptVersion]) -> None:
        changed = {(one.call_id, one.version): one for one in versions}
        for call_id in {one.call_id for one in versions}:
            self.written.history[call_id] = tuple(
                version._replace(call=version.call._replace(raw=one.raw, detail=one.detail, content_hash=one.content_hash))
                if (one := changed.get((call_id, version.version))) is not None
                else version
                for version in self._versions_of(call_id)
            )

    def rejects_of(self, call_ids: Collection[str]) -> Sequence[RejectText]:
        return [RejectText(*key, one.raw_text) for key, one in self._rejects().items() if one.call_id in set(call_ids)]

    def rewrite_rejects(self, rejects: Sequence[tuple[RejectText, str, str]]) -> None:
        for one, text, key in rejects:
            kept, before, after = self._rejects(), (one.stream, one.record_key), (one.stream, key)
            if before != after:
                self.written.rejects.pop(before, None)
                self.gone.add(before)
            if before == after or after not in kept:
                self.written.rejects[after] = kept[before]._replace(raw_text=text)
                self.gone.discard(after)

    # What goes through everything

    def texts_after(self, after: str, *, limit: int) -> Sequence[Texts]:
        held = sorted((one.call for one in self._all() if one.call.call_id > after), key=lambda call: call.call_id)
        return [Texts(call.call_id, 0, call.raw, call.detail) for call in held[:limit]]

    def versions_after(self, after: tuple[str, int], *, limit: int) -> Sequence[Texts]:
        found = sorted((one.call.call_id, one.version, one.call.raw, one.call.detail) for one in self._versions())
        return [Texts(*one) for one in found if one[:2] > after][:limit]

    def aged_calls(
        self, stream: str, after: Aged | None, *, since: datetime | None, until: datetime, limit: int
    ) -> Sequence[Aged]:
        return []

    def aged_versions(self, after: str, *, since: datetime | None, until: datetime, limit: int) -> Sequence[Aged]:
        return []

    def reject_texts_after(self, place: Place, *, limit: int) -> Sequence[RejectText]:
        kept = sorted(self._rejects().items())
        return [RejectText(*key, one.raw_text) for key, one in kept if key > place][:limit]

    def ask_deletion(self, call_ids: Collection[str]) -> None:
        raise NotImplementedError("nothing is deleted at a provider here")

    def cut_others(self, names_somebody: Callable[[str], bool]) -> int:
        agents = {key: one for key, one in self._committed.agents.items() if one.name is not None and names_somebody(one.name)}
        self.written.agents |= {key: one._replace(name=None) for key, one in agents.items()}
        samples = {key: one for key, one in self._committed.departures.items() if names_somebody(one.sample)}
        self.written.departures |= {key: one._replace(sample="") for key, one in samples.items()}
        return len(agents) + len(samples)

    def age(self, *, calls_after: timedelta | None, words_after: timedelta | None) -> None:
        if calls_after is not None or words_after is not None:
            raise NotImplementedError("nothing is erased by its age here")

    def standing(self) -> Standing:
        return Standing(self._erased.erasures, self.done, None, None, None, None)

    def gone_through(self, standing: Standing) -> None:
        self.done = standing.erasures

    def _rejects(self) -> dict[tuple[str, str], KeptReject]:
        kept = self._committed.rejects | self.written.rejects
        return {key: one for key, one in kept.items() if key not in self.gone}

    def _versions(self) -> Iterator[Version]:
        for call_id in self._committed.history | self.written.history:
            yield from self._versions_of(call_id)

    def _versions_of(self, call_id: str) -> tuple[Version, ...]:
        return self.written.history.get(call_id) or self._committed.history.get(call_id, ())


class ForgettingWarehouse(MemoryWarehouse):
    """Implements `etl.runs.forgetting.ForgettingWarehouse`, whose methods are documented there; also the list of erasures."""

    def __init__(self) -> None:
        super().__init__()
        self.hashes: set[bytes] = set()
        self.erased: dict[str, Erased] = defaultdict(lambda: Erased(self.hashes))

    def register(
        self, people: Collection[Person], calls: Mapping[str, Collection[str]], *, between: Callable[[], object]
    ) -> None:
        """Keep these persons, and these calls of connections, out of every page; `between` is what others do."""
        self.hashes |= {hash_of(KEY, person) for person in people}
        between()
        for connection, call_ids in calls.items():
            self.erased[connection].calls |= set(call_ids)
        between()
        for connection in self.connections:
            if people or connection in calls:
                self.erased[connection].erasures += 1

    def open_run(self, account: Account, *, kind: RunKind, trigger: Trigger) -> int:
        run_id = super().open_run(account, kind=kind, trigger=trigger)
        erased = self.erased[account.connection]
        if self.hashes and not erased.erasures:
            erased.erasures = 1
        return run_id

    def begun(self, kept: Kept) -> ForgettingPage:
        return ForgettingPage(kept, self.erased[kept.account.connection])

    @contextmanager
    def page(self, account: Account, *, run_id: int) -> Iterator[ForgettingPage]:
        with super().page(account, run_id=run_id) as page:
            yield cast("ForgettingPage", page)
        erased = self.erased[account.connection]
        erased.calls |= page.noted
        erased.erasures_done = page.done
        for key in page.gone:
            self.connections[account.connection].shelf.rejects.pop(key, None)

    def standing(self, connection: str) -> Standing | None:
        erased = self.erased[connection]
        known = self.is_known(connection)
        return Standing(erased.erasures, erased.erasures_done, None, None, None, None) if known else None

    def calls_held(self, connection: str) -> int:
        return len(self.entries(connection))
