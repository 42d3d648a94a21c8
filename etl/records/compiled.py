"""Compiles a provider's form into plans that are fast to apply, and reads columns from single objects by them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from etl.model import JSON, CallRow, Drift, DriftNote, EventRow, MessageRow, ParticipantRow, Status
from etl.provider import Children, Field, Keys, Provider, all_of
from etl.records import parse
from etl.records.parse import Unfit
from etl.records.paths import Tree, tree_of
from etl.records.reach import Reach, is_plain, paths_of, reached_type, reacher, shown, type_name
from etl.records.skim import Mark, Skim, mark_of, skim_of

ROOT = "$"
"""The path of a note about the record as a whole."""

NOTES = 100
"""The maximum number of distinct notes per call: an object used as a dictionary must not fill the warehouse with notes."""

CALL = {name: place for place, name in enumerate(CallRow._fields)}
"""The place of each column in a `CallRow`."""

BLANK: list[JSON] = [None] * len(CALL)
"""A `CallRow` before anything is known, to be copied."""

Row = TypeVar("Row", bound=ParticipantRow | MessageRow | EventRow)
"""The row of a call's child: it begins with the connection, the call's id and the child's id."""

_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,63}")
_DIGITS = re.compile(r"\d{4}")


class Column(NamedTuple):
    """One column of a row: its index, the key (or keys) it comes from, and its parser."""

    place: int
    key: str  # of several keys a list of them, as notes show it
    reach: Reach | None  # None where the key alone leads to the value
    parse: Callable[[JSON], object]
    keys: Keys


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
    call_id: Mark[str]
    cursor: Mark[datetime]
    fields: tuple[Column, ...]
    shape: Shape
    status: Reach | None  # None where the key alone leads to the provider's word, or nothing does
    words: dict[str, Status]
    volatile: Tree | None  # None where no volatile key is a path
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
    keys = [*all_of(provider.call_id), *all_of(provider.cursor), *(key for field in provider.fields for key in all_of(field.key))]
    keys += [*provider.attributes, *provider.ignored]
    keys += all_of(provider.status or ())
    keys += [key for key in (provider.organization, provider.attributes_object) if key is not None]
    looked_into = {key.partition(".")[0] for key in keys if "." in key}
    # A volatile path may lead through a list. Only an object that fields are read from is looked into for unknown keys.
    keys += [key if (head := key.partition(".")[0]) in looked_into else head for key in provider.volatile]
    keys += [*provider.late_parts, *(part.key for part in provider.parts)]
    keys += [inside.key for inside in (provider.participants, provider.messages, provider.events) if inside is not None]
    return Plan(
        provider=provider,
        skim=skim_of(provider),
        call_id=mark_of(provider.call_id, provider.read_id or parse.identifier),
        cursor=mark_of(provider.cursor, provider.read_cursor or parse.instant),
        fields=_columns(provider.fields, CALL),
        shape=_shape(keys),
        status=None if provider.status is None or is_plain(provider.status) else reacher(provider.status),
        volatile=tree_of(provider.volatile) if any("." in key for key in provider.volatile) else None,
        words={parse.unified_word(word): status for word, status in provider.statuses.items()},
        end_path=next((shown(field.key) for field in provider.fields if field.column == "ended_at"), ROOT),
        by_agent=provider.agents is not None,
        has_attributes=bool(provider.attributes or provider.attributes_object),
        participants=_children_plan(provider.participants, ParticipantRow, provider.ignored),
        messages=_children_plan(provider.messages, MessageRow, provider.ignored),
        events=_children_plan(provider.events, EventRow, provider.ignored),
    )


def _children_plan(children: Children | None, row: type[Row], ignored: Iterable[str]) -> ChildrenPlan[Row] | None:
    if children is None:
        return None
    prefix = f"{children.key}[]."
    keys = [children.id_key, *(key for field in children.fields for key in all_of(field.key))]
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
        Column(
            place=places[field.column],
            key=shown(field.key),
            reach=None if is_plain(field.key) else reacher(field.key),
            parse=field.parse,
            keys=field.key,
        )
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
    for place, key, reach, parser, keys in columns:
        try:
            given = reach(value, earlier) if reach is not None else value.get(key)
            if given is not None and row[place] is None:
                row[place] = parser(given)
        except Unfit as unfit:
            found = ", ".join(reached_type(path, value) for path in paths_of(keys))
            notes.append(DriftNote(prefix + key, unfit.kind, found))


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
