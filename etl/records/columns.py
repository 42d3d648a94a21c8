"""
Turns many new calls into columns at once, if every record is exactly as documented.

This is a fast path for list pages. The columns hold what `derive` makes of the records one by one; `derive` is the definition,
and a test keeps the two equal. Anything odd (an unknown key, a wrong type, an end before its start) is left to `derive`, and so
is what only details hold (messages, events).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from etl import json_text
from etl.model import JSON, OPEN_STATUSES, CallRow, Context, ParticipantRow, Record, Status
from etl.provider import Keys, Provider, When
from etl.records import parse
from etl.records.asking import dues
from etl.records.compiled import ChildrenPlan, Column, Plan, Shape, plan_of
from etl.records.reach import paths_of
from etl.records.rows import Bulk, Columns, Same, where_given
from etl.records.skim import list_decoder
from etl.records.statuses import status_of

Known = Mapping[tuple[str, Callable[[JSON], object]], Sequence[JSON]]
"""Columns that were read already, by key and parser."""


class Odd(Exception):
    """A value that only `derive` can deal with."""


def in_bulk(
    provider: Provider,
    context: Context,
    records: Sequence[Record],
    *,
    observed_at: datetime,
    detail_due_at: datetime | None,
) -> Bulk | None:
    """
    Return what `derive` would make of these records in the same order. None of them is a reject, and none has a detail.

    None if any of them is not as documented, or holds messages or events.
    """
    plan = plan_of(provider)
    form = _form_of(plan)
    if any(record.cleaned for record in records):
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
    fields = _fields(plan.fields, CallRow._fields, form, found, {(plan.cursor.key, plan.cursor.read): cursors})
    if any(_before(fields.get("ended_at", ()), fields.get("started_at", ()))):
        raise Odd
    instants = [fields[name] for name in ("created_at", "started_at", "ended_at") if name in fields]
    calls["occurred_at"] = _first_of(*instants, cursors)
    if "is_test" in fields:
        fields["is_test"] = [value or False for value in fields["is_test"]]
    if "cost" in fields:
        given = fields.get("currency") or (None,) * len(ids)
        priced = zip(fields["cost"], given, strict=True)
        fields["currency"] = [None if cost is None else currency or context.currency for cost, currency in priced]
    if plan.by_agent:
        fields["agent_id"] = [context.stream if agent is None else agent for agent in fields.get("agent_id", [None] * len(ids))]
    if plan.has_attributes:
        fields["attributes"] = _attributes(provider, form, found)
    if any(
        value is not None and value != []
        for inside in (plan.messages, plan.events)
        if inside is not None
        for value in form.values(found, (inside.key,))
    ):
        raise Odd
    open_ids: frozenset[str] = frozenset()
    if provider.status is not None:
        statuses, words = _statuses(plan, form, found)
        fields |= {"status": statuses, "provider_status": words}
        open_ids = frozenset(call_id for call_id, status in zip(ids, statuses, strict=True) if status in OPEN_STATUSES)
        if detail_due_at is not None and provider.detail is not None and provider.detail.when is not When.ALWAYS:
            calls["detail_due_at"] = dues(provider, statuses, records, detail_due_at)
    participants = _participants(plan.participants, form, context, ids, found) if plan.participants else None
    return Bulk(
        calls=calls | fields,
        count=len(ids),
        participants=participants,
        participations=len(participants["call_id"]) if participants else 0,
        open_ids=open_ids,
    )


def _fields(
    columns: Iterable[Column], names: Sequence[str], form: Form, found: Sequence[Any], read: Known
) -> dict[str, Sequence[JSON]]:
    """Return the columns that the fields lead to, reusing those in `read`; of several fields the first with a value counts."""
    made: dict[str, Sequence[JSON]] = {}
    for field in columns:
        name = names[field.place]
        before = made.get(name)
        if before is None:
            known = read.get((field.key, field.parse))
            made[name] = known or _parsed(field.parse, _given(field.keys, form, found))
        else:  # not even looked at where there is a value already
            given = _given(field.keys, form, found)
            left = [None if one is not None else other for one, other in zip(before, given, strict=True)]
            made[name] = _first_of(before, _parsed(field.parse, left))
    return made


def _statuses(plan: Plan, form: Form, found: Sequence[Any]) -> tuple[list[str], list[JSON]]:
    """Return each record's unified status, and its provider's word. Raises Odd or Unfit where one is not known."""
    keys = plan.provider.status or ""
    given = _given(keys, form, found)
    if plan.provider.words is None and isinstance(keys, str):
        unified = {word: parse.status(word, plan.words).value for word in set(given)}
        return [unified[word] for word in given], given
    told = [status_of(plan, values) for values in given]
    if any(note is not None for _, _, note in told):
        raise Odd
    return [status for status, _, _ in told], [word for _, word, _ in told]


def _given(keys: Keys, form: Form, found: Sequence[Any]) -> list[JSON]:
    """Return what a parser is given of each object under these keys, None where that is null."""
    paths = paths_of(keys)
    if isinstance(keys, str):
        return form.values(found, paths[0])
    nothing = (None,) * len(paths)
    together = zip(*(form.values(found, path) for path in paths), strict=True)
    return [None if values == nothing else values for values in together]


def _attributes(provider: Provider, form: Form, found: Sequence[Any]) -> list[str | None]:
    """Return each record's values for the `attributes` column as JSON text; a key with the value null is included."""
    extras: list[dict[str, JSON]] = [{} for _ in found]
    for key in provider.attributes:
        if key in form.below:
            raise Odd
        for own, value in zip(extras, form.given(found, key), strict=True):
            if value is not msgspec.UNSET:
                own[key] = value
    if provider.attributes_object is not None:
        objects = form.values(found, (provider.attributes_object,))
        if not {dict, type(None)}.issuperset(map(type, objects)):
            raise Odd
        extras = [own | (value or {}) for own, value in zip(extras, objects, strict=True)]
    return [json_text.encoded(own).decode() if own else None for own in extras]


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
    if None in given or len(set(zip(owners, given, strict=True))) < len(given):  # an id is missing, or occurs twice in a call
        raise Odd
    fields = _fields(plan.fields, ParticipantRow._fields, inside, every, {})
    nothing = [None] * len(every)
    stays = _stays(fields.get("joined_at", nothing), fields.get("left_at", nothing))
    fields["duration_seconds"] = _first_of(fields.get("duration_seconds", nothing), stays)
    return {"connection": Same(context.connection), "call_id": owners, "participant_id": given, **fields}


def _stays(joined: Sequence[datetime | None], left: Sequence[datetime | None]) -> list[int | None]:
    """Return the whole seconds of each stay, None if an instant is missing. Raises Odd if a stay is impossible."""
    stays = [
        None if start is None or end is None else (stay := end - start).days * 86_400 + stay.seconds
        for start, end in zip(joined, left, strict=True)
    ]
    known = [stay for stay in stays if stay is not None]
    if known and not 0 <= min(known) <= max(known) <= parse.LARGEST:
        raise Odd
    return stays


def _parsed(parser: Callable[[JSON], object], column: list[JSON]) -> list[JSON]:
    """Parse the values of a column, leaving nulls alone. Raises Odd, TypeError, or ValueError (`Unfit` is one)."""
    if parser is parse.instant:
        return where_given(parse.instants, column)
    if parser is parse.text:
        if not set(map(type, column)) <= {str, type(None)}:
            raise Odd
        return column
    return where_given(lambda values: list(map(parser, values)), column)


def _before(ones: Sequence[datetime | None], others: Sequence[datetime | None]) -> Iterator[bool]:
    """Yield for each pair of instants whether the first is earlier."""
    return (one is not None and other is not None and one < other for one, other in zip(ones, others, strict=False))


def _first_of(column: Sequence[JSON], *others: Sequence[JSON]) -> Sequence[JSON]:
    """Return a column with, in each row, the first value that is not null."""
    if not others or not [True for value in column if value is None]:  # `None in column` would call each value's __eq__
        return column
    return [one if one is not None else other for one, other in zip(column, _first_of(*others), strict=True)]


class Form(NamedTuple):
    """A strict decoder for records' texts, and the attribute names under which their keys are found afterwards."""

    read: Callable[[Sequence[bytes]], list[Any]]
    kind: type[Any]
    names: Mapping[str, str]
    below: Mapping[str, Form]
    kept: frozenset[str]  # the keys for which null and absence differ

    def given(self, found: Sequence[Any], key: str) -> list[JSON]:
        """Return each object's value under `key`; if the key is absent, `UNSET` for a `kept` key, else None."""
        return list(map(attrgetter(self.names[key]), found))

    def values(self, found: Sequence[Any], path: tuple[str, ...]) -> list[JSON]:
        """Return each object's value at `path`, None if there is none."""
        key, *rest = path
        values = self.given(found, key)
        if key in self.kept:
            values = [None if value is msgspec.UNSET else value for value in values]
        if not rest:
            return values
        return where_given(lambda given: self.below[key].values(given, tuple(rest)), values)


_forms: dict[int, Form] = {}  # by the provider's identity, as in `compiled`


def _form_of(plan: Plan) -> Form:
    """Return the provider's form, built at first use."""
    key = id(plan.provider)
    if key not in _forms:
        _forms[key] = _made_form(plan.shape, plan.participants, kept=frozenset(plan.provider.attributes))
    return _forms[key]


def _made_form(shape: Shape, children: ChildrenPlan[ParticipantRow] | None = None, *, kept: frozenset[str] = frozenset()) -> Form:
    names = {key: f"_{place}" for place, key in enumerate(sorted(shape.known))}
    below = {key: _made_form(inside) for key, inside in shape.below}
    fields: list[tuple[str, Any, Any]] = [
        (names[key], below[key].kind | None if key in below else Any, msgspec.UNSET if key in kept else None) for key in names
    ]
    if children is not None:
        below[children.key] = _made_form(children.shape)
        fields = [field for field in fields if field[0] != names[children.key]]
        fields.append((names[children.key], list.__class_getitem__(below[children.key].kind) | None, None))
    renamed = {name: key for key, name in names.items()}
    kind = msgspec.defstruct("Read", fields, rename=renamed, forbid_unknown_fields=True, gc=False)
    return Form(list_decoder(kind), kind, names, below, kept)
