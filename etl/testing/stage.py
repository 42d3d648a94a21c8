"""A provider with one of its styles, set up to be synced from: what was learned of it, and calls as the payloads have them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from etl.provider import PageFacts, Provider, Style, all_of
from etl.testing import answering, asking
from etl.testing.answering import Envelope, facts_of
from etl.testing.asking import Wording
from etl.testing.faults import Fault
from etl.testing.made import Maker
from etl.testing.payloads import Payloads
from etl.testing.server import Server
from etl.testing.world import NOW, Clock, World

FEW = 4
"""Calls on a page, where the page size can be asked for."""

STEP = timedelta(minutes=7)
"""What lies between two calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the form costs in requests: so many calls, in a first run and in one that follows when nothing has changed."""

    calls: int
    pages: int
    details: int
    pages_again: int
    details_again: int
    parts: int = 0
    parts_again: int = 0

    def __str__(self) -> str:
        first, next_one = (f" with {self.parts} parts", f" with {self.parts_again}") if self.parts else ("", "")
        return (
            f"{self.calls} calls: {self.pages} pages and {self.details} details{first} in the first run, "
            f"{self.pages_again} and {self.details_again}{next_one} in the next one, when nothing has changed"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A provider with one of its styles, and what was learned of it."""

    provider: Provider
    style: Style
    payloads: Payloads
    wording: Wording
    envelope: Envelope

    @classmethod
    def of(cls, provider: Provider, style: Style, payloads: Payloads) -> Stage | Fault:
        """Learn how the style asks and is answered. Raises Raised."""
        wording = asking.learn(provider, style)
        if isinstance(wording, Fault):
            return wording
        envelope = answering.learn(provider, style, payloads)
        if isinstance(envelope, Fault):
            return envelope
        alone = replace(provider, listing=replace(provider.listing, styles=(style,)))
        return cls(provider=alone, style=style, payloads=payloads, wording=wording, envelope=envelope)

    @property
    def facts(self) -> PageFacts:
        """What a page says of itself."""
        return facts_of(self.provider, self.envelope.page)

    @property
    def by_instant(self) -> bool:
        """Whether a page is reached by the cursor of the last call of the one before, which all calls of its instant have."""
        return self.style.last is not None and self.style.last in all_of(self.provider.cursor)

    @property
    def size(self) -> int:
        """The page size: a small one, if it can be asked for."""
        return FEW if self.wording.size is not None else self.provider.listing.page_sizes[0]

    @contextmanager
    def world(self, instants: list[datetime]) -> Iterator[World]:
        """Open a world in which there is a call at each instant."""
        clock = Clock()
        own = {setting.name: f"made-up-{setting.name}" for setting in self.provider.own if not setting.secret}
        server = Server(
            self.provider,
            self.style,
            wording=self.wording,
            envelope=self.envelope,
            payloads=self.payloads,
            now=clock.now,
            page_size=self.size,
            own=own,
        )
        maker = Maker(self.provider, self.payloads)
        with server:
            per_page = FEW if self.wording.size is not None else None
            world = World(self.provider, server, clock, per_page, own)
            for number, at in enumerate(instants):
                made = maker.call(number, at)
                server.faults.append(made) if isinstance(made, Fault) else server.calls.append(made)
            yield world

    def spread(self) -> list[datetime]:
        """Return the instants of calls on three pages, the last of which is not full."""
        return [NOW - timedelta(hours=1) - STEP * number for number in range(2 * self.size + 3)]
