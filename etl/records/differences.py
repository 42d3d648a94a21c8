"""Compares a held call with what its records say: the row column by column, the children as sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import itemgetter
from typing import Any

from etl.model import JSON, CallRow, Derived, EventRow, MessageRow, ParticipantRow
from etl.records.content import same_text
from etl.records.rows import Bulk, Columns, HeldCalls, Same

OBSERVED = frozenset(
    {
        "raw",
        "detail",
        "first_seen_at",
        "last_changed_at",
        "observed_at",
        "detail_observed_at",
        "detail_due_at",
        "content_hash",
        "last_run_id",
    }
)
"""The columns of `CallRow` that record what was observed and when."""

DERIVED = tuple(name for name in CallRow._fields if name not in OBSERVED)
"""The columns that follow from the records."""

KINDS = ("participants", "messages", "events")
"""The kinds of a call's children, as `Derived` and `HeldCalls` name them."""

_JSON = frozenset({"attributes", "data"})


@dataclass(slots=True)
class Family:
    """The children that are held of one call."""

    participants: list[ParticipantRow] = field(default_factory=list)
    messages: list[MessageRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)


def families(held: HeldCalls, call_ids: Collection[str]) -> Mapping[str, Family]:
    """Return the held children of these calls by call id, without calls that have none."""
    found: dict[str, Family] = defaultdict(Family)
    if call_ids:
        for kind in KINDS:
            for child in getattr(held, kind):
                if child.call_id in call_ids:
                    getattr(found[child.call_id], kind).append(child)
    return found


def differing_columns(held: CallRow, derived: CallRow) -> tuple[str, ...]:
    """Return the derived columns that differ from the held ones, and `detail` if the held one is another call's."""
    found = tuple(name for name in DERIVED if not _same(name, getattr(held, name), getattr(derived, name)))
    return (*found, "detail") if held.detail is not None and derived.detail is None else found


def differing_kinds(held: Family, derived: Derived) -> tuple[str, ...]:
    """Return the kinds of children that differ from the held ones."""
    return tuple(kind for kind in KINDS if not _same_children(getattr(held, kind), getattr(derived, kind)))


def differing_places(rows: Sequence[CallRow], held: HeldCalls, bulk: Bulk) -> set[int]:
    """Return the indexes of the rows that differ from what `bulk` derived for them."""
    found: set[int] = set()
    theirs = dict(zip(CallRow._fields, zip(*rows, strict=True), strict=True))
    for name in DERIVED:
        found.update(_places(name, theirs[name], bulk.calls.get(name, Same(None))))
    call_ids = theirs["call_id"]
    within = set(call_ids)
    owners = _owners(
        [child for child in held.participants if child.call_id in within], _rows_of(bulk.participants, bulk.participations)
    )
    for kind in ("messages", "events"):  # `in_bulk` refuses records that hold any
        owners.update(child.call_id for child in getattr(held, kind) if child.call_id in within)
    if owners:
        found.update(place for place, call_id in enumerate(call_ids) if call_id in owners)
    return found


def _places(name: str, held: Sequence[JSON], ours: Sequence[JSON] | Same) -> Iterable[int]:
    if isinstance(ours, Same):
        if held.count(ours.value) == len(held):
            return ()
        ours = (ours.value,) * len(held)
    elif held == (ours := tuple(ours)):  # compared in C, not in a Python loop; nearly always they are equal
        return ()
    return [place for place, (one, other) in enumerate(zip(held, ours, strict=True)) if not _same(name, one, other)]


def _rows_of(columns: Columns | None, count: int) -> list[tuple[JSON, ...]]:
    if columns is None:
        return []
    given = (columns.get(name, Same(None)) for name in ParticipantRow._fields)
    return list(zip(*(repeat(one.value, count) if isinstance(one, Same) else one for one in given), strict=True))


def _owners(held: Sequence[ParticipantRow], ours: Sequence[tuple[JSON, ...]]) -> set[str]:
    """Return the ids of the calls whose participants differ. Ids are unique in a call, so sorting compares nothing else."""
    if sorted(held) == sorted(ours):
        return set()
    return {child[1] for child in set(held) ^ set(ours)}


def _same(name: str, held: JSON, derived: JSON) -> bool:
    return same_text(held, derived) if name in _JSON else bool(held == derived)


def _same_children(held: Sequence[Any], derived: Sequence[Any]) -> bool:
    if len(held) != len(derived):
        return False
    pairs = zip(sorted(held, key=_own_id), sorted(derived, key=_own_id), strict=True)
    return all(all(map(_same, one._fields, one, other)) for one, other in pairs)


_own_id = itemgetter(2)  # of a child's row, after the connection and the call's id
