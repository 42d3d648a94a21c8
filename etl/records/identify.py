"""The first look at a record: its id, its cursor, and whether it can become a row. Nothing else is decoded."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import partial
from hashlib import blake2b
from itertools import repeat

import msgspec

from etl.json_text import decoded
from etl.model import JSON, LATER, Drift, Record, Rejection
from etl.provider import Provider
from etl.records.compiled import plan_of
from etl.records.parse import Unfit
from etl.records.paths import without
from etl.records.skim import Found, Mark


def identify(provider: Provider, text: bytes, *, cleaned: bool) -> Record:
    """
    Find the id and cursor in one record's JSON text (UTF-8), and decide whether it can become a row.

    Never raises: if the record cannot become a row, `rejection` says why, and the id is kept if there is one. Nothing else is
    decoded, since most records of most runs are held already.
    """
    digest = blake2b(text, digest_size=16).digest()
    value: JSON = LATER
    plan = plan_of(provider)
    try:
        given, placed = plan.skim.one(text)
    except (msgspec.MsgspecError, RecursionError, Unfit):
        value = decoded(text)
        if not isinstance(value, dict):
            return Record(None, None, Rejection.NOT_AN_OBJECT, text, value, digest, cleaned)
        given, placed = _standing(plan.call_id, value), _standing(plan.cursor, value)
    call_id = cursor = rejection = None
    try:
        call_id = None if given is None else plan.call_id.read(given)
        if call_id is None or not call_id.strip():
            call_id, rejection = None, Rejection.MISSING_ID
    except Unfit as unfit:
        rejection = Rejection.ID_TOO_LONG if unfit.kind is Drift.OUT_OF_RANGE else Rejection.MISSING_ID
        call_id = given if rejection is Rejection.ID_TOO_LONG and isinstance(given, str) else None
    try:
        cursor = None if placed is None else plan.cursor.read(placed)
    except Unfit:
        cursor = None
    if rejection is None and cursor is None:
        rejection = Rejection.BAD_CURSOR
    # Faster than calling `Record`: every record of every page passes here.
    record = tuple.__new__(Record, (call_id, cursor, rejection, text, value, digest, cleaned))
    return record if rejection is None else as_reject(provider, record)


def identify_all(provider: Provider, texts: Sequence[bytes], *, cleaned: Collection[int] = ()) -> tuple[Record, ...]:
    """
    Return what `identify` makes of each text, in order; `cleaned` holds the indexes of the texts that had to be cleaned.

    If every record has a plain id and cursor, all are decoded together: one by one, a page took twice as long.
    """
    plan = plan_of(provider)
    try:
        given, placed = plan.skim.many(texts)
        call_ids, cursors = plan.call_id.read_all(given), plan.cursor.read_all(placed)
        plain = all(map(str.strip, call_ids)) and all(cursors)  # type: ignore[arg-type]  # None is a TypeError
    except (msgspec.MsgspecError, RecursionError, ValueError, TypeError):
        plain = False
    if not plain or cleaned:
        return tuple([identify(provider, text, cleaned=place in cleaned) for place, text in enumerate(texts)])
    digests = [blake2b(text, digest_size=16).digest() for text in texts]
    rows = zip(call_ids, cursors, repeat(None), texts, repeat(LATER), digests, repeat(False))
    return tuple(map(partial(tuple.__new__, Record), rows))


def _standing(mark: Mark[Found], value: JSON) -> JSON:
    """Return what a record's id or cursor is read from; None also where the path to it leads through what is no object."""
    try:
        return mark.reach(value, None)
    except Unfit:
        return None


def as_reject(provider: Provider, record: Record) -> Record:
    """
    Return the record with the digest by which it is known as a reject.

    The digest leaves out values that change at every reading (presigned URLs); otherwise one bad record would be a new reject in
    every run.
    """
    held = record.value
    tree = plan_of(provider).volatile
    if not isinstance(held, dict) or (tree is None and provider.volatile.isdisjoint(held)):
        return record
    steady = {key: value for key, value in held.items() if key not in provider.volatile} if tree is None else without(held, tree)
    try:
        text = json.dumps(steady, sort_keys=True, default=_as_text).encode("utf-8", "surrogatepass")
    except (RecursionError, ValueError):
        return record
    return record._replace(digest=blake2b(text, digest_size=16).digest())


def is_detail_of(provider: Provider, record: Record, call_id: str) -> bool:
    """
    Whether a record is the detail of this call: an object whose own id is one of the forms under which the call is requested.

    Without this check, an id in the wrong form could be answered with another call's detail.
    """
    form = provider.detail
    return form is not None and record.call_id in form.id_forms(call_id) and isinstance(record.value, dict)


def _as_text(deep: object) -> str:
    """Return what is too deep to be decoded as the text it is."""
    return bytes(deep).decode() if isinstance(deep, msgspec.Raw) else str(deep)
