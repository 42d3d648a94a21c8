"""Switches for where a provider's documentation is silent or contradicts itself; the default is what its page says first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal as One
from typing import get_args, get_type_hints


@dataclass(slots=True, kw_only=True)
class TupleSwitches:
    """
    `over_maximum`: what a `per_page` over the maximum does.

    `first_days`, `newest_days`, `most_calls`: that part of a window is answered, as if it were all.
    """

    maximum: int = 1000
    over_maximum: One["clamped", "refused"] = "clamped"
    first_days: float | None = None
    newest_days: float | None = None
    most_calls: int | None = None


@dataclass(slots=True, kw_only=True)
class BimpeSwitches:
    """
    `order`: of a list without `sort`. `sortable`: whether calls can be sorted by `created_on`, or by nothing. `unknown_sort`:
    `ignored` falls back to `order`. `forbidden`: every request answers 403.
    """

    order: One["newest_first", "oldest_first"] = "newest_first"
    sortable: One["created_on", "nothing"] = "created_on"
    unknown_sort: One["ignored", "refused"] = "ignored"
    error_shape: One["reference", "guide"] = "reference"
    forbidden: bool = False


@dataclass(slots=True, kw_only=True)
class SalpreSwitches:
    """
    `detail_id`: under which form of its id a call is found. `recent_calls`, `recent_hours`: the list holds the newest only.

    `error_status`: the HTTP status of an error body: its own, or always 200.
    """

    page: One["honoured", "ignored", "refused"] = "honoured"
    maximum: int = 100
    default: int = 10
    detail_id: One["integer", "as_listed", "both"] = "integer"
    error_status: One["own", "always_200"] = "own"
    recent_calls: int | None = None
    recent_hours: float | None = None


@dataclass(slots=True, kw_only=True)
class KrosaiSwitches:
    """
    `dialect`: `reference` has page, data, cost; `guide` has offset, calls, cost_cents.

    `list_dates`: whether `start_date` and `end_date` filter the list. `first_organization`: whose calls a request without
    `x-organization-id` gets. `forbidden`: every request answers 403.
    """

    dialect: One["reference", "guide"] = "reference"
    list_dates: One["ignored", "honoured"] = "ignored"
    first_organization: One["main", "other"] = "main"
    forbidden: bool = False


@dataclass(slots=True, kw_only=True)
class AircallSwitches:
    """`most_calls`: of a query no more are served, whatever its total. `people`: whether they are always available."""

    maximum: int = 50
    most_calls: int = 10_000
    people: One["stay", "come_and_go"] = "stay"


@dataclass(slots=True, kw_only=True)
class TwilioSwitches:
    """`until`: whether `StartTime<` shows the calls of the day that it names. `filters`: whether any filter counts."""

    maximum: int = 1000
    until: One["exclusive", "inclusive"] = "exclusive"
    filters: One["honoured", "ignored"] = "honoured"


@dataclass(slots=True, kw_only=True)
class Switches:
    """All of them; may be set at any time."""

    tuple: TupleSwitches = field(default_factory=TupleSwitches)
    bimpe: BimpeSwitches = field(default_factory=BimpeSwitches)
    salpre: SalpreSwitches = field(default_factory=SalpreSwitches)
    krosai: KrosaiSwitches = field(default_factory=KrosaiSwitches)
    aircall: AircallSwitches = field(default_factory=AircallSwitches)
    twilio: TwilioSwitches = field(default_factory=TwilioSwitches)

    def set(self, provider: str, values: Mapping[str, object]) -> None:
        """Set some switches of a provider. Raise ValueError for an unknown provider, name or value."""
        if provider not in {one.name for one in fields(self)}:
            raise ValueError(f"no provider {provider!r}")
        group = getattr(self, provider)
        hints = get_type_hints(type(group))
        for name, value in values.items():
            if name not in hints:
                raise ValueError(f"{provider} has no switch {name!r}; there are {', '.join(hints)}")
            if not _fits(value, hints[name]):
                raise ValueError(f"{provider}.{name} cannot be {value!r}")
        for name, value in values.items():
            setattr(group, name, value)


def _fits(value: object, hint: object) -> bool:
    options = get_args(hint)
    if options and all(isinstance(option, str) for option in options):
        return value in options
    kinds = tuple(option for option in options or (hint,) if isinstance(option, type))
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) or (float in kinds and isinstance(value, int))
