"""Requests the parts of a call and puts them into its detail, so that they are one record; says what of them is not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from etl import json_text
from etl.errors import NotFound
from etl.model import JSON, Drift, DriftNote
from etl.provider import Listing, PageFacts, Part
from etl.reading.api import Answer, Api
from etl.records.reach import type_name

ABSENT = ("call", "part")
"""What a 404 may name that says that there is no such part; one that names nothing says nothing of it."""


def asked(api: Api, part: Part, path: str, *, call: str) -> Answer | None:
    """
    Request a part of a call at its path; None if the provider says that there is none.

    Raises as `Api` does, also NotFound where it names nothing: after a wrong route or an outage, what is held would be emptied.
    """
    body = part.body(call) if part.body is not None else None
    try:
        if part.is_list:
            return api.get_list(path, {}, () if part.record is None else (part.record,), body)
        return api.get_one(path, part.record, body)
    except NotFound as refusal:
        if refusal.naming not in ABSENT:
            raise
        return None


def joined(detail: bytes, parts: Iterable[tuple[Part, Answer | None]]) -> bytes:
    """
    Return a detail's text, an object, with what each part's answer holds under the part's key; null where there is none.

    Texts are put together as they are, so that every number keeps its digits. Of a key that is there twice the last one counts.
    """
    inside = detail.strip()[1:-1].strip()
    pairs = [json_text.encoded(part.key) + b":" + _text(part, answer) for part, answer in parts]
    return b"{" + b",".join([inside, *pairs] if inside else pairs) + b"}"


def _text(part: Part, answer: Answer | None) -> bytes:
    if answer is None:
        return b"null"
    return b"[" + b",".join(answer.records) + b"]" if part.is_list else answer.records[0]


def oddities(listing: Listing, value: JSON, part: Part, answer: Answer | None) -> Iterator[DriftNote]:
    """Yield that the call's own answer (`value`) holds the part's key too, and that a list goes on behind its first page."""
    path = f"(answer).{part.key}"
    if part.key in value:
        yield DriftNote(path, Drift.NEW_FIELD, type_name(value[part.key]))
    if answer is not None and part.is_list and _goes_on(listing.facts(answer.fields, answer.headers), len(answer.records)):
        yield DriftNote(path, Drift.OUT_OF_RANGE, "more")


def _goes_on(facts: PageFacts, shown: int) -> bool:
    return bool(facts.more or facts.after or facts.next_link or (facts.total or 0) > shown)
