"""
Knows how many new calls become columns at once where every record is exactly as documented.

The columns hold the same as the rows that `derive` makes of the records one by one, which stays the definition; what
is odd in any way (an unknown key, a wrong type, an end before its start) is left to it. A test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from etl.model import JSON, OPEN_STATUSES, CallRow, Context, ParticipantRow, Record, Status
from etl.provider import Provider
from etl.records import parse
from etl.records.compiled import ChildrenPlan, Plan, Shape, list_decoder, plan_of


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


class Odd(Exception):
    """Something that only `derive` knows how to deal with."""


def in_bulk(
    provider: Provider,
    context: Context,
    records: Sequence[Record],
    *,
    observed_at: datetime,
    detail_due_at: datetime | None,
) -> Bulk | None:
    """
    Return what `derive` would make of these records, none of them a reject, without a detail; in the same order.

    None where any of them is not as documented, and for providers whose records hold more than plain fields and participants.
    """
    plan = plan_of(provider)
    form = _form_of(plan)
    if form is None or any(record.cleaned for record in records):
        return None
    try:
        found = form.read([record.text for record in records])
        return _bulk(plan, form, context, records, found, observed_at=observed_at, detail_due_at=detail_due_at)
    except (msgspec.MsgspecError, Odd, ValueError, TypeError, RecursionError):
        return None


def _bulk(
    plan: Plan,
    form: Form,
    context: Context,
    records: Sequence[Record],
    found: Sequence[Any],
    *,
    observed_at: datetime,
    detail_due_at: datetime | None,
) -> Bulk:
    provider = plan.provider
    ids = [record.call_id or "" for record in records]
    cursors = [record.cursor for record in records]
    calls: dict[str, Sequence[JSON] | Same] = {
        "connection": Same(context.connection),
        "call_id": ids,
        "provider": Same(provider.name),
        "status": Same(Status.COMPLETED.value),
        "is_test": Same(False),
        "raw": [record.text for record in records],
        "first_seen_at": Same(observed_at),
        "last_changed_at": Same(observed_at),
        "stream": Same(context.stream),
        "cursor_at": cursors,
        "observed_at": Same(observed_at),
        "content_hash": [record.digest for record in records],
        "last_run_id": Same(context.run_id),
    }
    if detail_due_at is not None:
        calls["detail_due_at"] = Same(detail_due_at)
    fields = {
        CallRow._fields[field.place]: cursors  # they were read already
        if (field.key, field.parse) == (provider.cursor, parse.instant)
        else _parsed(field.parse, form.values(found, field.path or (field.key,)))
        for field in plan.fields
    }
    if any(_before(fields.get("ended_at", ()), fields.get("started_at", ()))):
        raise Odd
    instants = [fields[name] for name in ("created_at", "started_at", "ended_at") if name in fields]
    calls["occurred_at"] = _first_of(*instants, cursors)
    if "is_test" in fields:
        fields["is_test"] = [value or False for value in fields["is_test"]]
    if "cost" in fields:
        fields["currency"] = [None if cost is None else context.currency for cost in fields["cost"]]
    if plan.by_agent:
        fields["agent_id"] = [context.stream if agent is None else agent for agent in fields.get("agent_id", [None] * len(ids))]
    open_ids: frozenset[str] = frozenset()
    if provider.status is not None:
        words = form.values(found, (provider.status,))
        unified = {word: parse.status(word, plan.words).value for word in set(words)}
        fields |= {"status": [unified[word] for word in words], "provider_status": words}
        open_ids = frozenset(call_id for call_id, word in zip(ids, words, strict=True) if unified[word] in OPEN_STATUSES)
    participants = _participants(plan.participants, form, context, ids, found) if plan.participants else None
    return Bulk(
        calls=calls | fields,
        count=len(ids),
        participants=participants,
        participations=len(participants["call_id"]) if participants else 0,
        open_ids=open_ids,
    )


def _participants(
    plan: ChildrenPlan[ParticipantRow], form: Form, context: Context, ids: Sequence[str], found: Sequence[Any]
) -> Columns | None:
    parts = [own or () for own in form.values(found, (plan.key,))]
    every = list(chain.from_iterable(parts))
    if not every:
        return None
    inside = form.below[plan.key]
    owners = [call_id for call_id, own in zip(ids, parts, strict=True) for _ in own]
    given = parse.identifiers(inside.values(every, (plan.id_key,)))
    if None in given or len(set(zip(owners, given, strict=True))) < len(given):  # none, or the same twice in one call
        raise Odd
    fields: dict[str, Sequence[JSON]] = {
        ParticipantRow._fields[field.place]: _parsed(field.parse, inside.values(every, field.path or (field.key,)))
        for field in plan.fields
    }
    nothing = [None] * len(every)
    stays = _stays(fields.get("joined_at", nothing), fields.get("left_at", nothing))
    fields["duration_seconds"] = _first_of(fields.get("duration_seconds", nothing), stays)
    return {"connection": Same(context.connection), "call_id": owners, "participant_id": given, **fields}


def _stays(joined: Sequence[datetime | None], left: Sequence[datetime | None]) -> list[int | None]:
    """Return the whole seconds between each two instants, None where one is missing. Raises Odd where one is impossible."""
    stays = [
        None if start is None or end is None else (stay := end - start).days * 86_400 + stay.seconds
        for start, end in zip(joined, left, strict=True)
    ]
    known = [stay for stay in stays if stay is not None]
    if known and not 0 <= min(known) <= max(known) <= parse.LARGEST:
        raise Odd
    return stays


def _parsed(parser: Callable[[JSON], object], column: list[JSON]) -> list[JSON]:
    """Parse each value of a column that is not null. Raises Odd, ValueError (Unfit is one) and TypeError."""
    if parser is parse.instant:
        return where_given(parse.instants, column)
    if parser is parse.text:
        if not set(map(type, column)) <= {str, type(None)}:
            raise Odd
        return column
    return where_given(lambda values: list(map(parser, values)), column)


def where_given(apply: Callable[[Sequence[JSON]], list[JSON]], column: Sequence[JSON], *, null: JSON = None) -> list[JSON]:
    """Return what `apply` makes of the values of a column that are not None, and `null` in the place of each that is."""
    given = [value for value in column if value is not None]
    if len(given) == len(column) > 0:
        return apply(column)
    following = iter(apply(given) if given else ())
    return [null if value is None else next(following) for value in column]


def _before(ones: Sequence[datetime | None], others: Sequence[datetime | None]) -> Iterator[bool]:
    """Tell of each two instants whether the first is earlier."""
    return (one is not None and other is not None and one < other for one, other in zip(ones, others, strict=False))


def _first_of(column: Sequence[JSON], *others: Sequence[JSON]) -> Sequence[JSON]:
    """Return a column that takes the first value that is not null."""
    if not others or not [True for value in column if value is None]:  # `in` would compare each value first
        return column
    return [one if one is not None else other for one, other in zip(column, _first_of(*others), strict=True)]


class Form(NamedTuple):
    """How texts of records are read strictly, and by which names their keys are found in what was read."""

    read: Callable[[Sequence[bytes]], list[Any]]
    kind: type[Any]
    names: Mapping[str, str]
    below: Mapping[str, Form]

    def values(self, found: Sequence[Any], path: tuple[str, ...]) -> list[JSON]:
        """Return what stands at `path` in each of the objects read; None where nothing does."""
        key, *rest = path
        values = list(map(attrgetter(self.names[key]), found))
        if not rest:
            return values
        return where_given(lambda given: self.below[key].values(given, tuple(rest)), values)


_forms: dict[int, Form | None] = {}  # by identity, as plans are


def _form_of(plan: Plan) -> Form | None:
    """Return the provider's form, made once; None where its records hold more than columns can be made of."""
    key = id(plan.provider)
    if key not in _forms:
        columns = [
            [field.place for field in fields] for fields in (plan.fields, plan.participants.fields if plan.participants else ())
        ]
        once = all(len(set(places)) == len(places) for places in columns)
        plain = once and not (plan.has_attributes or plan.messages or plan.events)
        _forms[key] = _made_form(plan.shape, plan.participants) if plain else None
    return _forms[key]


def _made_form(shape: Shape, children: ChildrenPlan[ParticipantRow] | None = None) -> Form:
    names = {key: f"_{place}" for place, key in enumerate(sorted(shape.known))}
    below = {key: _made_form(inside) for key, inside in shape.below}
    fields: list[tuple[str, Any, Any]] = [(names[key], below[key].kind | None if key in below else Any, None) for key in names]
    if children is not None:
        below[children.key] = _made_form(children.shape)
        fields = [field for field in fields if field[0] != names[children.key]]
        fields.append((names[children.key], list.__class_getitem__(below[children.key].kind) | None, None))
    renamed = {name: key for key, name in names.items()}
    kind = msgspec.defstruct("Read", fields, rename=renamed, forbid_unknown_fields=True, gc=False)
    return Form(list_decoder(kind), kind, names, below)
