"""The forms in which rows and records pass between this room and a warehouse: values, and nothing that is derived."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from etl.model import JSON, CallRow, Derived, DriftNote, EventRow, MessageRow, ParticipantRow, Record


class Same(NamedTuple):
    """A column that holds one value in every row."""

    value: JSON


Columns = Mapping[str, Sequence[JSON] | Same]
"""Columns by their names; one that is left out holds null in every row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """What `count` new calls become: columns of `CallRow` and, where any has one, of `ParticipantRow`; and which are open."""

    calls: Columns
    count: int
    participants: Columns | None
    participations: int
    open_ids: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """
    New calls as rows that wait to be written: their records, which of them are open, and what was odd about them.

    `encoded` is the warehouse's own: its rows as they travel, where it has made them ready in advance.
    """

    records: Sequence[Record]
    rows: Bulk | Sequence[Derived] = ()
    open_ids: frozenset[str] = frozenset()
    drift: Counter[DriftNote]
    encoded: object = None


NOTHING = Draft(records=(), drift=Counter())
"""The draft of no call."""


class Stored(NamedTuple):
    """The records that are held of one call, as JSON text, and when they were observed."""

    raw: str
    observed_at: datetime
    content_hash: bytes
    detail: str | None
    detail_observed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCalls:
    """
    A stretch of held calls in the order of their ids, and what belongs to calls in it, in no order.

    `raw`, `detail`, `attributes` and an event's `data` are JSON text.
    """

    calls: Sequence[CallRow]
    participants: Sequence[ParticipantRow]
    messages: Sequence[MessageRow]
    events: Sequence[EventRow]


class Rewrite(NamedTuple):
    """
    What a held call has to become, in place: no version of it is kept.

    `columns` names those of its row that differ from what is held, `children` the kinds of its children (attributes of
    `Derived`). What is not named is right already and need not be written.
    """

    derived: Derived
    columns: tuple[str, ...]
    children: tuple[str, ...]


def where_given(apply: Callable[[Sequence[JSON]], list[JSON]], column: Sequence[JSON], *, null: JSON = None) -> list[JSON]:
    """Return what `apply` makes of the values of a column that are not None, and `null` in the place of each that is."""
    given = [value for value in column if value is not None]
    if len(given) == len(column) > 0:
        return apply(column)
    following = iter(apply(given) if given else ())
    return [null if value is None else next(following) for value in column]
