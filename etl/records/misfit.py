"""Says of a record that could not become a call what stood in the unfit place, and what would have been accepted there."""

from __future__ import annotations

from typing import NamedTuple

from etl.json_text import decoded
from etl.model import JSON, Rejection
from etl.provider import Keys, Provider, all_of
from etl.records import parse
from etl.records.parse import ID_BYTES
from etl.records.values import WRITTEN

SHOWN = 32
"""The maximum number of characters of a text whose pattern is shown."""

_KEPT = frozenset(" -:./+,_")


class Misfit(NamedTuple):
    """What stood there, as a shape that tells no value, and what would have been accepted."""

    stood: str
    accepted: str


def misfit(provider: Provider, text: bytes, reason: str) -> Misfit:
    """Return why a record (its text as sent) was rejected for `reason`; holds no value of it, since any may be personal."""
    record = decoded(text)
    if reason == Rejection.NOT_AN_OBJECT:
        return Misfit(shape(record) if record is not None else f"{len(text):,} bytes that are no JSON object", "an object")
    if reason == Rejection.BAD_CURSOR:
        return Misfit(_at(provider.cursor, record), _written(provider))
    if reason == Rejection.MISSING_ID:
        return Misfit(_at(provider.call_id, record), "a text that is not blank, or a whole number")
    if reason == Rejection.ID_TOO_LONG:
        return Misfit(_at(provider.call_id, record), f"an id of at most {ID_BYTES} bytes")
    if reason == Rejection.ID_IN_TWO_STREAMS:
        return Misfit("the id of a call that another stream lists too", "an id that one stream lists")
    return Misfit("a value that the database cannot hold", "numbers, texts and depths within the database's limits")


def needed(provider: Provider) -> str:
    """Return the sentence that says what a record needs to become a call."""
    call_id, cursor = (" or ".join(all_of(keys)) for keys in (provider.call_id, provider.cursor))
    written = "ISO 8601" if provider.read_cursor is None else _written(provider)
    return f"A record must be an object with an id in {call_id} and a time in {cursor}, as {written}."


def _written(provider: Provider) -> str:
    return WRITTEN.get(provider.read_cursor or parse.instant, "an instant as the provider documents it")


def _at(keys: Keys, record: JSON) -> str:
    return "; ".join(_at_path(key, record) for key in all_of(keys))


def _at_path(key: str, record: JSON) -> str:
    value = record
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return f"no key {key}"
        value = value[part]
    return f"{key}: {shape(value)}"


def shape(value: JSON) -> str:
    """
    Return what kind of value this is, how large, and of a text how it is written: 9 for a digit, a or A for a letter.

    Punctuation of dates and numbers is kept, and everything else is a question mark.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return f"a number of {_counted(sum(map(str.isdigit, str(value))), 'digit')}"
    if isinstance(value, float):
        return "a number with a fraction or an exponent"
    if isinstance(value, str):
        if not value.strip():
            return "a blank text" if value else "an empty text"
        pattern = "".join(map(_masked, value[:SHOWN])) + ("…" if len(value) > SHOWN else "")
        return f"a text of {_counted(len(value), 'character')} like {pattern}"
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    if isinstance(value, dict):
        return f"an object of {_counted(len(value), 'key')}"
    return "a value nested too deep to be read"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _masked(character: str) -> str:
    if character.isdigit():
        return "9"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return character if character in _KEPT else "?"
