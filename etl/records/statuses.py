"""Tells a call's unified status from what the provider says of it: from its one word, or from several fields."""

from __future__ import annotations

import re

from etl.model import JSON, Drift, DriftNote, Status
from etl.provider import all_of
from etl.records import parse
from etl.records.compiled import Plan
from etl.records.parse import Unfit
from etl.records.reach import type_name

_STATUS_WORD = re.compile(r"[A-Za-z][A-Za-z0-9 _-]{0,63}")
_DIGITS = re.compile(r"\d{4}")  # what a phone number has, and a word has not


Told = tuple[str, str | None, DriftNote | None]
"""A unified status, the provider's own word, and a note if something in it is not known."""


def status_in(plan: Plan, value: JSON, earlier: JSON) -> Told:
    """Return the status that a decoded record tells; nested and several keys are looked for in an `earlier` one too."""
    keys = plan.provider.status
    if keys is None:
        return "completed", None, None
    if plan.status is None and isinstance(keys, str):
        given = value.get(keys)
        if plan.provider.words is None and isinstance(given, str):
            try:  # nearly all
                return parse.status(given, plan.words).value, given, None
            except Unfit:
                pass
    else:
        try:
            given = plan.status(value, earlier) if plan.status is not None else None
        except Unfit:
            given = None
    return status_of(plan, given)


def status_of(plan: Plan, given: JSON) -> Told:
    """Return the status that is told by what stands under the provider's status key, or its several keys."""
    keys, words = plan.provider.status, plan.provider.words
    own = given if isinstance(keys, str) or given is None else given[0]
    if words is None:
        told: tuple[JSON, ...] = (own,)
    else:
        told = words(given if isinstance(keys, str) or given is not None else (None,) * len(all_of(keys or ())))
    note = None
    word = own if isinstance(own, str) else None
    for one in told:
        try:
            return parse.status(one, plan.words).value, word, note
        except Unfit as unfit:
            note = note or _note(plan, unfit.kind, one)
    return Status.UNKNOWN.value, word, note or _note(plan, Drift.WRONG_TYPE, own)


def _note(plan: Plan, kind: Drift, word: JSON) -> DriftNote:
    """Return a note that shows a word, unless it may be something personal."""
    plain = isinstance(word, str) and _STATUS_WORD.fullmatch(word) and not _DIGITS.search(word)
    return DriftNote(all_of(plan.provider.status or ())[0], kind, word if plain else type_name(word))
