"""
Cuts erased calls: of a record stays what counts still prove and nobody is known by. Pure functions, applied before hashing.

What is cut again is the same, whether it came from the provider or was held: so a call that is read again is no change.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from etl import json_text
from etl.model import JSON, LATER, Record
from etl.provider import Children, Provider, all_of
from etl.records.paths import Tree, emptied, only, tree_of
from etl.records.shield import Cut, Shield

KEPT = frozenset(
    {"direction", "agent_id", "created_at", "ringing_at", "started_at", "answered_at", "ended_at", "duration_seconds"}
    | {"is_test", "latency_ms", "cost", "parent_call_id"}
)
"""The columns of an erased call whose keys stay in its records, besides id, cursor and status: instants, ids and measures."""

WORDS = frozenset({"transcript", "recording_url"})
"""The columns that hold what was said, or where it can be heard; messages do too."""

_OF_CHILDREN = frozenset({"joined_at", "left_at", "duration_seconds", "type", "occurred_at"})


class _Knife(NamedTuple):
    """Where a provider's records are cut."""

    kept: Tree
    marks: Tree  # the keys of which only whether they have a value counts
    own: Tree  # id and cursor: they stay whatever they hold, since without them there is no call
    words: Tree
    told: Tree  # the keys whose presence tells the status


_knives: dict[int, _Knife] = {}  # by the provider's identity, as in `compiled`


def cut(provider: Provider, record: Record, how: Cut, shield: Shield) -> Record:
    """
    Return a record without what is to be erased; the same one if there is nothing of it in it.

    The result's digest is that of its text. A reject keeps its own identity: by a keyed hash, as its text is gone.
    """
    if how is Cut.NOTHING or (record.rejection is not None and how is Cut.WORDS):
        return record
    value = cut_value(provider, record.value, how, shield)
    if how is Cut.WORDS and json_text.same(value, record.value):
        return record
    text = json_text.encoded(value)
    if text == record.text:
        return record
    digest = blake2b(text, digest_size=16).digest() if record.rejection is None else shield.alias(record.digest, how)
    return record._replace(text=text, decoded=LATER, digest=digest, cleaned=False)


def cut_detail(provider: Provider, detail: Record, how: Cut, shield: Shield) -> Record:
    """Return a detail without what is to be erased: it needs no cursor of its own, so that it is no reject without one."""
    return cut(provider, detail._replace(rejection=None), how, shield)._replace(rejection=detail.rejection)


def cut_value(provider: Provider, value: JSON, how: Cut, shield: Shield) -> JSON:
    """Return a decoded record without what is to be erased; None for what is no record."""
    if not isinstance(value, dict):
        return None
    knife = _knife_of(provider)
    if how is Cut.WORDS:
        return emptied(value, knife.words, but=knife.told)
    left = emptied(only(value, knife.kept), knife.marks, but=knife.marks)
    return _nameless(left, knife.own, shield) if shield.names(left) else left


def _nameless(value: JSON, own: Tree | None, shield: Shield) -> JSON:
    """Return what is left of a record with null in the place of whatever names somebody erased."""
    if isinstance(value, dict):
        return {key: _nameless(inner, None if own is None else own.get(key), shield) for key, inner in value.items()}
    if isinstance(value, list):
        return [_nameless(one, own, shield) for one in value]
    return value if own is not None or not shield.names(value) else None


def _knife_of(provider: Provider) -> _Knife:
    knife = _knives.get(id(provider))
    if knife is None:
        knife = _knives[id(provider)] = _made_knife(provider)
    return knife


def _made_knife(provider: Provider) -> _Knife:
    own = {*all_of(provider.call_id), *all_of(provider.cursor)}
    status = {*all_of(provider.status or ())}
    kept = own | status | {key for field in provider.fields if field.column in KEPT for key in all_of(field.key)}
    kept |= {provider.organization} if provider.organization is not None else set()
    words = {key for field in provider.fields if field.column in WORDS for key in all_of(field.key)}
    children = [inside for inside in (provider.participants, provider.events) if inside is not None]
    kept |= {key for inside in children for key in _kept_of(inside)}
    words |= {provider.messages.key} if provider.messages is not None else set()
    return _Knife(
        kept=tree_of(kept),
        marks=tree_of(kept & (provider.volatile | words)),
        own=tree_of(own),
        words=tree_of(words),
        told=tree_of(words & status),
    )


def _kept_of(inside: Children) -> set[str]:
    keys = {inside.id_key, *(key for field in inside.fields if field.column in _OF_CHILDREN for key in all_of(field.key))}
    return {f"{inside.key}.{key}" for key in keys}
