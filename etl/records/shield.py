"""
What keeps erased persons and calls out: keyed hashes of who was erased, and the instants before which calls are erased by age.

A hash says nothing without the key (`warehouse.erasure_key`), which stands in no table.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from etl.model import JSON
from etl.records.persons import Person, named, named_in_text

_PROOF = b"call-warehouse\0erasure key"


class Cut(Enum):
    """How much of a record is cut out."""

    NOTHING = "nothing"
    WORDS = "words"  # what was said: transcript, messages, the recording's address
    PERSONS = "persons"  # everything but ids, times, status and measures: somebody erased appears in it, or it was asked for
    AGED = "aged"  # the same, because of its age


@dataclass(frozen=True, slots=True, kw_only=True)
class Shield:
    """Who is erased of one connection's calls, and up to when its calls, or the words in them, are erased by their age."""

    key: bytes = b""
    hashes: frozenset[bytes] = frozenset()
    calls_before: datetime | None = None
    words_before: datetime | None = None

    def names(self, value: JSON) -> bool:
        """Whether anybody erased is named in a decoded record."""
        return bool(self.hashes) and self._knows(named(value))

    def names_in_text(self, text: str) -> bool:
        """Whether anybody erased is named in a text that need not be JSON."""
        return bool(self.hashes) and self._knows(named_in_text(text))

    def by_age(self, cursor: datetime | None) -> Cut:
        """Return what is cut out of a call because of its age."""
        if cursor is not None and self.calls_before is not None and cursor < self.calls_before:
            return Cut.AGED
        if cursor is not None and self.words_before is not None and cursor < self.words_before:
            return Cut.WORDS
        return Cut.NOTHING

    def alias(self, digest: bytes, how: Cut) -> bytes:
        """
        Return by what a reject is known once its text is cut: the text could be guessed from a hash without a key.

        Where its age is the reason, there need not be a key, and nobody who asked to be forgotten.
        """
        return hmac.digest(b"" if how is Cut.AGED else self.key, b"reject\0" + digest, "sha256")[: len(digest)]

    def _knows(self, persons: Iterable[Person]) -> bool:
        return any(hash_of(self.key, person) in self.hashes for person in set(persons))


def hash_of(key: bytes, person: Person) -> bytes:
    """Return the keyed hash of a person: HMAC-SHA-256."""
    return hmac.digest(key, f"{person.kind.value}\0{person.name}".encode("utf-8", "surrogatepass"), "sha256")


def proof_of(key: bytes) -> bytes:
    """Return what tells, without telling the key, whether another key is the same."""
    return hmac.digest(key, _PROOF, "sha256")
