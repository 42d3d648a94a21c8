"""What the kit finds: where in the form something is not as it should be, and what to change."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

Given = ParamSpec("Given")
Made = TypeVar("Made")


class Fault(NamedTuple):
    """One thing to change: where, what was seen there, and what would be right."""

    place: str
    seen: str
    change: str

    def __str__(self) -> str:
        return f"{self.place}: {self.seen}\n    → {self.change}"


class Raised(Exception):
    """A function of the form raised an error, which none may."""

    def __init__(self, place: str, error: Exception) -> None:
        super().__init__(place)
        self.fault = Fault(
            place,
            f"it raised {type(error).__name__}: {error}",
            "A function of the form answers whatever it is given: look before you take (`body.get(…)`, `isinstance`).",
        )


class Unproven(AssertionError):
    """A provider is not as its form and its payloads say; `faults` holds what to change."""

    def __init__(self, name: str, faults: tuple[Fault, ...]) -> None:
        number = f"{len(faults)} thing{'' if len(faults) == 1 else 's'}"
        super().__init__(f"the provider {name!r} is not proven: {number} to change.\n\n" + "\n\n".join(map(str, faults)))
        self.faults = faults


def tried(place: str, function: Callable[Given, Made], *given: Given.args, **named: Given.kwargs) -> Made:
    """Call a function of the form. Raises Raised."""
    try:
        return function(*given, **named)
    except Exception as error:
        raise Raised(place, error) from error
