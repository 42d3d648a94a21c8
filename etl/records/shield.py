"""
What keeps erased persons and calls out: keyed hashes of who was erased, and the instants before which calls are erased by age.

A hash says nothing without the key (`warehouse.erasure_key`), which stands in no table.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from etl.json_text import decoded
from etl.model import JSON
from etl.records.persons import LONGEST, Person, named, names_nobody, texts_in, texts_of

TEXTS_REMEMBERED = 65_536
"""Of how many texts is remembered whether they name anybody erased: most of what records say, others have said before."""

_PROOF = b"call-warehouse\0erasure key"


class Cut(Enum):
    """How much of a record is cut out."""

    NOTHING = "nothing"
    WORDS = "words"  # what was said: transcript, messages, the recording's address
    PERSONS = "persons"  # everything but ids, times, status and measures: somebody erased appears in it, or it was asked for
    AGED = "aged"  # the same, because of its age


@dataclass(frozen=True, slots=True, kw_only=True)
class Shield:
    """
    Who is erased of one connection's calls, and up to when its calls, or the words in them, are erased by their age.

    `told`: texts, and whether they name anybody of the hashes; shared by all shields of the same ones.
    """

    key: bytes = field(default=b"", repr=False)
    hashes: frozenset[bytes] = frozenset()
    told: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)
    calls_before: datetime | None = None
    words_before: datetime | None = None

    def names(self, value: JSON) -> bool:
        """Whether anybody erased is named in a decoded record."""
        if not self.hashes:
            return False
        return any(map(self._tells, texts_of(value)))

    def may_name(self, texts: Iterable[bytes]) -> bool:
        """
        Whether anybody erased may be named in one of these texts, which are JSON without escapes. False is certain.

        Texts are searched together and without being decoded, as nearly all pages name nobody: it costs a third.
        """
        if not self.hashes:
            return False
        return any(map(self._tells, texts_in(b"\n".join(texts).decode())))

    def names_in_text(self, text: str) -> bool:
        """Whether anybody erased is named in a text that need not be JSON."""
        value = decoded(text.encode("utf-8", "replace"))
        return self.names(text if value is None else value)

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

    def _tells(self, text: str) -> bool:
        known = self.told.get(text)
        return self._learns(text) if known is None else known

    def _learns(self, text: str) -> bool:
        if names_nobody(text):
            return False  # instants and ids, of which each is another one, need not be remembered
        known = any(hash_of(self.key, person) in self.hashes for person in set(named(text)))
        if len(text) <= LONGEST:
            if len(self.told) >= TEXTS_REMEMBERED:
                self.told.clear()
            self.told[text] = known
        return known


def hash_of(key: bytes, person: Person) -> bytes:
    """Return the keyed hash of a person: HMAC-SHA-256."""
    return hmac.digest(key, f"{person.kind.value}\0{person.name}".encode("utf-8", "surrogatepass"), "sha256")


def proof_of(key: bytes) -> bytes:
    """Return what tells, without telling the key, whether another key is the same."""
    return hmac.digest(key, _PROOF, "sha256")
