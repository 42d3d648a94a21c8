"""Compiles a provider's form into plans that are fast to apply, and reads columns from single objects by them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from etl import json_text
from etl.model import JSON, CallRow, Drift, DriftNote, EventRow, MessageRow, ParticipantRow, Status
from etl.provider import Children, Field, Provider
from etl.records import parse
from etl.records.parse import Unfit

ROOT = "$"
"""The path of a note about the record as a whole."""

NOTES = 100
"""The maximum number of distinct notes per call: an object used as a dictionary must not fill the warehouse with notes."""

TOGETHER = 64
"""
How many texts are decoded together: enough to make the cost of the call negligible, few enough that the memory for their copy is
reused instead of requested from the system each time, and that other threads need not wait for long.
"""

CALL = {name: place for place, name in enumerate(CallRow._fields)}
"""The place of each column in a `CallRow`."""

BLANK: list[JSON] = [None] * len(CALL)
"""A `CallRow` before anything is known, to be copied."""

Row = TypeVar("Row", bound=ParticipantRow | MessageRow | EventRow)
"""The row of a call's child: it begins with the connection, the call's id and the child's id."""

_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,63}")
_DIGITS = re.compile(r"\d{4}")


class Skim(NamedTuple):
    """
    Decoders that read only a call's id and cursor from its record's text: `one` of one record, `many` of several at once.

    Both raise msgspec.MsgspecError and RecursionError; `many` also raises ValueError if a text is not exactly one JSON value.
    """

    one: Callable[[bytes], tuple[JSON, JSON]]
    many: Callable[[Sequence[bytes]], tuple[list[JSON], list[JSON]]]


class Column(NamedTuple):
    """One column of a row: its index, the key (or path of keys) it comes from, and its parser."""

    place: int
    key: str
    path: tuple[str, ...]  # empty where the key alone leads to the value
    parse: Callable[[JSON], object]


class Shape(NamedTuple):
    """The keys that an object is known to hold, and the shapes of the objects below them."""

    known: frozenset[str]
    below: tuple[tuple[str, Shape], ...]


class ChildrenPlan(NamedTuple, Generic[Row]):
    """How the records inside a record are read, and what kind of row they become."""

    key: str
    id_key: str
    fields: tuple[Column, ...]
    shape: Shape
    prefix: str  # of the paths in notes about this kind of child
    row: type[Row]
    blank: tuple[None, ...]  # the row's columns after the call's id


class Plan(NamedTuple):
    """A provider's form, compiled for being applied many times."""

    provider: Provider
    skim: Skim
    fields: tuple[Column, ...]
    shape: Shape
    words: dict[str, Status]
    end_path: str
    by_agent: bool
    has_attributes: bool
    participants: ChildrenPlan[ParticipantRow] | None
    messages: ChildrenPlan[MessageRow] | None
    events: ChildrenPlan[EventRow] | None


_plans: dict[int, Plan] = {}  # by the provider's id(): holding mappings, it has no hash; its plan keeps it alive


def plan_of(provider: Provider) -> Plan:
    """Return the provider's plan, compiled at first use."""
    plan = _plans.get(id(provider))
    if plan is None:
        plan = _plans[id(provider)] = _made_plan(provider)
    return plan


def _made_plan(provider: Provider) -> Plan:
    keys = [provider.call_id, provider.cursor, *(field.key for field in provider.fields), *provider.attributes, *provider.ignored]
    keys += [key for key in (provider.status, provider.organization, provider.attributes_object) if key is not None]
    keys += provider.volatile
    keys += provider.late_parts
    keys += [inside.key for inside in (provider.participants, provider.messages, provider.events) if inside is not None]
    return Plan(
        provider=provider,
        skim=_skim(provider),
        fields=_columns(provider.fields, CALL),
        shape=_shape(keys),
        words={parse.unified_word(word): status for word, status in provider.statuses.items()},
        end_path=next((field.key for field in provider.fields if field.column == "ended_at"), ROOT),
        by_agent=provider.agents is not None,
        has_attributes=bool(provider.attributes or provider.attributes_object),
        participants=_children_plan(provider.participants, ParticipantRow, provider.ignored),
        messages=_children_plan(provider.messages, MessageRow, provider.ignored),
        events=_children_plan(provider.events, EventRow, provider.ignored),
    )


def _skim(provider: Provider) -> Skim:
    keys = list(dict.fromkeys((provider.call_id, provider.cursor)))
    names = [f"_{place}" for place in range(len(keys))]
    skimmed = msgspec.defstruct(
        "Skimmed", [(name, Any, None) for name in names], rename=dict(zip(names, keys, strict=True)), gc=False
    )
    first, last = attrgetter(names[0]), attrgetter(names[-1])
    decode, decode_all, both = msgspec.json.Decoder(skimmed).decode, list_decoder(skimmed), attrgetter(names[0], names[-1])

    def many(texts: Sequence[bytes]) -> tuple[list[JSON], list[JSON]]:
        found = decode_all(texts)
        return list(map(first, found)), list(map(last, found))

    return Skim(one=lambda text: both(decode(text)), many=many)


def list_decoder(kind: type[Any]) -> Callable[[Sequence[bytes]], list[Any]]:
    """
    Return a decoder of many texts, each one JSON value of `kind`. It decodes `TOGETHER` at a time, twice as fast as one by one.

    It raises msgspec.MsgspecError and RecursionError, and ValueError if a text is not exactly one value.
    """
    decode = msgspec.json.Decoder(list.__class_getitem__(kind), float_hook=json_text.number).decode

    def decode_all(texts: Sequence[bytes]) -> list[Any]:
        found: list[Any] = []
        for start in range(0, len(texts), TOGETHER):
            found += decode(b"[" + b",".join(texts[start : start + TOGETHER]) + b"]")
        if len(found) != len(texts):
            raise ValueError("a text that is not exactly one value")
        return found

    return decode_all


def _children_plan(children: Children | None, row: type[Row], ignored: Iterable[str]) -> ChildrenPlan[Row] | None:
    if children is None:
        return None
    prefix = f"{children.key}[]."
    keys = [children.id_key, *(field.key for field in children.fields)]
    keys += [key.removeprefix(prefix) for key in ignored if key.startswith(prefix)]
    places = {name: place for place, name in enumerate(row._fields)}
    return ChildrenPlan(
        key=children.key,
        id_key=children.id_key,
        fields=_columns(children.fields, places),
        shape=_shape(keys),
        prefix=prefix,
        row=row,
        blank=(None,) * (len(row._fields) - 2),
    )


def _columns(fields: Iterable[Field], places: dict[str, int]) -> tuple[Column, ...]:
    return tuple(
        Column(places[field.column], field.key, tuple(field.key.split(".")) if "." in field.key else (), field.parse)
        for field in fields
    )


def _shape(keys: Iterable[str]) -> Shape:
    below: dict[str, list[str]] = {}
    for key in keys:
        head, dot, rest = key.partition(".")
        if dot:
            below.setdefault(head, []).append(rest)
    return Shape(frozenset(key.partition(".")[0] for key in keys), tuple((head, _shape(rest)) for head, rest in below.items()))


def fill(columns: tuple[Column, ...], row: list[JSON], value: JSON, earlier: JSON, notes: list[DriftNote], prefix: str) -> None:
    """Set the columns found in `value`; if several keys lead to one column, the first with a usable value counts."""
    for place, key, path, parser in columns:
        try:
            given = _reached(path, value, earlier) if path else value.get(key)
            if given is not None and row[place] is None:
                row[place] = parser(given)
        except Unfit as unfit:
            found = _reached_type(path or (key,), value)
            notes.append(DriftNote(prefix + key, unfit.kind, found))


def _reached(path: tuple[str, ...], value: JSON, earlier: JSON) -> JSON:
    """Return what stands at `path`, taken from the `earlier` record if the later has nothing there. Raises Unfit."""
    inner = value
    for key in path:
        if inner is None:
            break
        if not isinstance(inner, dict):
            raise Unfit(Drift.WRONG_TYPE)
        inner = inner.get(key)
    return _reached(path, earlier, None) if inner is None and earlier is not None else inner


def _reached_type(path: tuple[str, ...], value: JSON) -> str:
    for key in path:
        if not isinstance(value, dict):
            break
        value = value.get(key)
    return type_name(value)


def note_unknown(shape: Shape, value: JSON, notes: list[DriftNote], prefix: str) -> None:
    """Note undocumented keys; never their values, nor keys that may themselves be data."""
    if not value.keys() <= shape.known:
        for key in sorted(value.keys() - shape.known)[:NOTES]:
            plain = _PLAIN_KEY.fullmatch(key) and not _DIGITS.search(key)
            notes.append(DriftNote(prefix + (key if plain else "*"), Drift.NEW_FIELD, type_name(value[key])))
    for key, below in shape.below:
        inner = value.get(key)
        if isinstance(inner, dict) and (below.below or not inner.keys() <= below.known):
            note_unknown(below, inner, notes, f"{prefix}{key}.")


def type_name(value: JSON) -> str:
    """Return JSON's name of the value's type: the only thing that a note says about it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, float):
        return "number"
    return {str: "string", int: "number", dict: "object", list: "array"}[type(value)]
