"""Knows what a mutant is: one fault, put into one file of the program, that the tests or the simulator must notice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import sha256


class DoesNotApply(Exception):
    """The text that a mutant replaces does not stand in its file, or stands there more than once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """
    One fault. `name` says it in words; in `file`, `old` stands exactly once and becomes `new`.

    `tests` are those that should notice it; where none is named, or none does, the simulator has to.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What it is, so that a result is found again as long as the mutant is the same."""
        return sha256(repr(asdict(self)).encode()).hexdigest()[:16]

    def put_into(self, text: str) -> str:
        """Return its file's text with the fault. Raises DoesNotApply."""
        found = text.count(self.old)
        if found != 1:
            raise DoesNotApply(f"{self.name}: {self.file} holds the text {found} times")
        return text.replace(self.old, self.new)
