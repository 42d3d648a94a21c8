"""The values in which rows and records pass between `etl.records` and a warehouse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from etl.model import JSON, CallRow, Derived, DriftNote, EventRow, MessageRow, ParticipantRow, Record


class Same(NamedTuple):
    """A column that holds one value in every row."""

    value: JSON


Columns = Mapping[str, Sequence[JSON] | Same]
"""Columns by name; a column that is left out is null in every row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """`count` new calls as columns of `CallRow` and, if any has participants, of `ParticipantRow`; and which are open."""

    calls: Columns
    count: int
    participants: Columns | None
    participations: int
    open_ids: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """
    New calls prepared for writing: their records, their rows, which of them are open, and what was odd about them.

    `encoded` belongs to the warehouse: the rows in its wire format, if it encoded them in advance.
    """

    records: Sequence[Record]
    rows: Bulk | Sequence[Derived] = ()
    open_ids: frozenset[str] = frozenset()
    drift: Counter[DriftNote]
    encoded: object = None


NOTHING = Draft(records=(), drift=Counter())
"""The empty draft."""


class Stored(NamedTuple):
    """The held records of one call as JSON text, when they were observed, when the detail is due, and how often it failed."""

    raw: str
    observed_at: datetime
    content_hash: bytes
    detail: str | None
    detail_observed_at: datetime | None
    detail_due_at: datetime | None
    detail_failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCalls:
    """
    A batch of held calls in the order of their ids, and their children in no particular order.

    `raw`, `detail`, `attributes` and an event's `data` are JSON text.
    """

    calls: Sequence[CallRow]
    participants: Sequence[ParticipantRow]
    messages: Sequence[MessageRow]
    events: Sequence[EventRow]


class OldVersion(NamedTuple):
    """A version that was kept before the history had these columns; records are JSON text."""

    call_id: str
    version: int
    stream: str
    cursor_at: datetime
    raw: str
    detail: str | None
    observed_at: datetime
    detail_observed_at: datetime | None


class FilledVersion(NamedTuple):
    """The columns of a version."""

    call_id: str
    version: int
    occurred_at: datetime
    direction: str | None = None
    agent_id: str | None = None
    duration_seconds: int | None = None
    cost: Decimal | None = None
    currency: str | None = None


class Rewrite(NamedTuple):
    """
    How a held call has to be rewritten in place, without keeping a version.

    `columns` names the columns of its row that differ, `children` the kinds of children (attributes of `Derived`) that do. What
    is not named is right already and need not be written.
    """

    derived: Derived
    columns: tuple[str, ...]
    children: tuple[str, ...]


def where_given(apply: Callable[[Sequence[JSON]], list[JSON]], column: Sequence[JSON], *, null: JSON = None) -> list[JSON]:
    """Apply a function to a column's values that are not None, keeping their places; None becomes `null`."""
    given = [value for value in column if value is not None]
    if len(given) == len(column) > 0:
        return apply(column)
    following = iter(apply(given) if given else ())
    return [null if value is None else next(following) for value in column]
