"""
Knows who is forgotten in a story, and what must hold of it: nothing of them is left, comes back, or is missing of what stays.

Texts are searched for as they are, in whatever the warehouse keeps, and not by what the program takes for a person.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from etl.records.persons import Person, by_email, by_phone
from tests.simulation.broken import Broken

if TYPE_CHECKING:
    from tests.simulation.play import Play

CUT = ("from_address", "to_address", "recording_url", "transcript")
STAYS = frozenset(
    {"connection", "provider", "call_id", "stream", "cursor_at", "occurred_at", "status", "provider_status", "direction"}
    | {"agent_id", "created_at", "ringing_at", "started_at", "answered_at", "ended_at", "duration_seconds", "is_test"}
    | {"latency_ms", "cost", "currency", "parent_call_id"}
)

_EMAIL = re.compile(r"[\w.+-]+@[\w.-]+\w")
_NUMBER = re.compile(r"\+?\d[\d ()-]{8,}\d")
_DATE = re.compile(r"\w{3}, \d\d \w{3} \d{4} ")


@dataclass(slots=True)
class Wish:
    """A person, or a call, that was asked to be forgotten, and how far that has come."""

    person: Person | None = None
    call_id: str | None = None
    is_registered: bool = False
    is_done: bool = False


@dataclass(slots=True)
class Erasure:
    """All that was asked for in a story."""

    wishes: list[Wish] = field(default_factory=list)
    said: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # what erased calls say, in letters and digits

    @property
    def unregistered(self) -> list[Wish]:
        """Those that a killed process has left unsaid."""
        return [wish for wish in self.wishes if not wish.is_registered]

    @property
    def is_done(self) -> bool:
        """Whether nothing may be left of anybody."""
        return all(wish.is_done for wish in self.wishes)

    @property
    def registered(self) -> list[Wish]:
        """Those that are kept out from now on."""
        return [wish for wish in self.wishes if wish.is_registered]

    def people(self) -> list[Person]:
        """Return the persons."""
        return [wish.person for wish in self.wishes if wish.person is not None]


def wish(play: Play, which: int) -> Wish | None:
    """Return what a user may ask for: a call that is held, or somebody who is met in one; None if nothing is held."""
    rows = sorted(play.under.calls(), key=lambda row: row["call_id"])
    if not rows:
        return None
    row = rows[which // 2 % len(rows)]
    people = sorted(set(_people_in(row)))
    if which % 2 or not people:
        return Wish(call_id=row["call_id"])
    return Wish(person=people[which % len(people)])


def check_erased(play: Play) -> None:
    """Look at what must hold once everything that was asked for was done. Raises Broken."""
    if not play.erasure.wishes or not play.erasure.is_done:
        return
    traces = {_bare(person.name) for person in play.erasure.people()}
    erased = play.under.erased()
    for call_id in erased:
        play.erasure.said[call_id].update(_says(play, call_id))
    for call_id, text in play.under.texts():
        bare = _bare(text)
        if found := [trace for trace in traces if trace in bare]:
            raise Broken("somebody who was forgotten is named", (call_id, found, text))
        if call_id in erased and (found := [said for said in play.erasure.said[call_id] if said in bare]):
            raise Broken("an erased call says something", (call_id, found, text))
    for row in play.under.calls():
        if row["call_id"] in erased and (left := [name for name in CUT if row[name]]):
            raise Broken("an erased call keeps what is cut", (row["call_id"], left))


def check_wished(play: Play) -> None:
    """No call is erased that was not asked for and in which nobody appears who was. Raises Broken."""
    asked = {one.call_id for one in play.erasure.wishes}
    traces = {_bare(person.name) for person in play.erasure.people()}
    for call_id in play.under.erased() - asked:
        call = play.world.history.find(play.story.provider, call_id)
        if call is not None and not any(
            trace in _bare(str(play.world.history.detail(play.story.provider, call_id))) for trace in traces
        ):
            raise Broken("a call was erased that nobody asked for", call_id)


def _people_in(row: dict[str, Any]) -> Iterator[Person]:
    for name in ("from_address", "to_address"):
        if row[name] is not None and _NUMBER.fullmatch(row[name]) and (person := by_phone(row[name])) is not None:
            yield person
    for found in _EMAIL.findall(str(row["raw"])):
        if (person := by_email(found)) is not None:
            yield person


def _says(play: Play, call_id: str) -> Iterator[str]:
    """Yield the numbers, e-mail addresses and sentences of a call as it lives at the provider now."""
    for text in _leaves(play.world.history.detail(play.story.provider, call_id)):
        if _NUMBER.fullmatch(text) or _EMAIL.fullmatch(text) or (len(text.split()) > 3 and not _DATE.match(text)):
            yield _bare(max(text.splitlines(), key=len))


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _leaves(one)
    elif isinstance(value, Sequence):
        for one in value:
            yield from _leaves(one)


def _bare(text: str) -> str:
    """Return the letters and digits of a text, so that it is found however it is written."""
    return re.sub(r"[\W_]+", "", text).lower()
