"""
Knows what held rows would be if they were derived now: a stretch of them at a time, each beside what differs from what is held.

Asks no provider and writes nothing. A row's records are its `raw` and `detail`; what was noted of the observation itself (when,
by which run, under which hash) is taken as it is held.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, Text, func, select

from etl.model import JSON, CallRow, Context, Derived, EventRow, MessageRow, ParticipantRow
from etl.records.derive import derive
from etl.records.identify import identify
from etl.runs.account import Account
from etl.warehouse.tables import call_events, call_messages, call_participants, calls, texts

OBSERVED = (
    "connection",
    "call_id",
    "raw",
    "detail",
    "first_seen_at",
    "last_changed_at",
    "stream",
    "observed_at",
    "detail_observed_at",
    "detail_due_at",
    "content_hash",
    "last_run_id",
)
"""The columns of `public.calls` that say what was observed and when: no mapping changes them."""

DERIVED = tuple(name for name in CallRow._fields if name not in OBSERVED)
"""The columns of `public.calls` that a mapping makes of the records."""

_JSON_TEXT = frozenset({"attributes", "raw", "detail"})
_CHILDREN = (
    (call_participants, ParticipantRow._fields, "participants"),
    (call_messages, MessageRow._fields, "messages"),
    (call_events, EventRow._fields, "events"),
)
_NONE: frozenset[tuple[Any, ...]] = frozenset()
_derived_values = itemgetter(*(CallRow._fields.index(name) for name in DERIVED))
_decode = msgspec.json.Decoder().decode


class Again(NamedTuple):
    """
    One held call derived again: the columns of its row and the kinds of its children that would be otherwise.

    `derived` is None where its records can no longer become this row.
    """

    call_id: str
    derived: Derived | None
    columns: tuple[str, ...] = ()
    children: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything of the call would be otherwise."""
        return bool(self.columns or self.children)


def derive_again(connection: Connection, account: Account, *, run_id: int, after: str, limit: int) -> list[Again]:
    """Derive the next `limit` calls of a connection, by their ids, from after the id `after` ("": from the first)."""
    columns = (calls.c[name].cast(Text).label(name) if name in _JSON_TEXT else calls.c[name] for name in CallRow._fields)
    held = connection.execute(
        select(*columns)
        .where(calls.c.connection == account.connection, calls.c.call_id > after)
        .order_by(calls.c.call_id)
        .limit(limit)
    ).all()
    derived = {row.call_id: _derived(account, row, run_id) for row in held}
    children = {kind: _children(connection, account, derived, table, fields) for table, fields, kind in _CHILDREN}
    return [_compared(row, derived[row.call_id], children) for row in held]


def _derived(account: Account, row: Row[Any], run_id: int) -> Derived | None:
    provider = account.provider
    record = identify(provider, row.raw.encode(), cleaned=False)
    detail = None if row.detail is None else identify(provider, row.detail.encode(), cleaned=False)
    if record.rejection is not None or record.call_id != row.call_id or (detail and not isinstance(detail.value, dict)):
        return None
    return derive(
        provider,
        Context(connection=account.connection, stream=row.stream, currency=account.currency, run_id=run_id),
        record._replace(digest=bytes(row.content_hash)),
        observed_at=row.observed_at,
        detail=detail,
        detail_observed_at=row.detail_observed_at,
        detail_due_at=row.detail_due_at,
        first_seen_at=row.first_seen_at,
        last_changed_at=row.last_changed_at,
    )


def _children(
    connection: Connection, account: Account, call_ids: Collection[str], table: Any, fields: Sequence[str]
) -> Mapping[str, set[tuple[Any, ...]]]:
    """Return the rows that are held of those calls, by call."""
    columns = (table.c[name].cast(Text).label(name) if name == "data" else table.c[name] for name in fields)
    asked = texts(call_ids)
    rows = connection.execute(
        select(*columns).where(table.c.connection == account.connection, table.c.call_id == func.any(asked))
    )
    found: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for row in rows:
        found[row.call_id].add(_comparable(tuple(row), fields))
    return found


def _compared(row: Row[Any], derived: Derived | None, children: Mapping[str, Mapping[str, set[tuple[Any, ...]]]]) -> Again:
    if derived is None:
        return Again(row.call_id, None)
    held, ours = _derived_values(row), _derived_values(derived.call)
    columns: tuple[str, ...] = ()
    if held != ours:
        columns = tuple(name for name, one, other in zip(DERIVED, held, ours, strict=True) if not _same(name, one, other))
    otherwise = []
    for _, fields, kind in _CHILDREN:
        if {_comparable(child, fields) for child in getattr(derived, kind)} != children[kind].get(row.call_id, _NONE):
            otherwise.append(kind)
    return Again(row.call_id, derived, columns, tuple(otherwise))


def _same(name: str, held: JSON, derived: JSON) -> bool:
    if name in _JSON_TEXT and held is not None and derived is not None:
        return _canonical(_decode(held)) == _canonical(_decode(derived))
    return bool(held == derived)


def _comparable(child: tuple[Any, ...], fields: Sequence[str]) -> tuple[Any, ...]:
    if "data" not in fields:
        return child
    return tuple(_canonical(_decode(value)) if name == "data" else value for name, value in zip(fields, child, strict=True))


def _canonical(value: JSON) -> object:
    """Return what is equal, and can be put into a set, exactly where JSON's values are: true is not 1, 1.0 is 1."""
    if isinstance(value, dict):
        return ("object", frozenset((key, _canonical(inner)) for key, inner in value.items()))
    if isinstance(value, list):
        return ("array", tuple(map(_canonical, value)))
    return (isinstance(value, bool), value)
