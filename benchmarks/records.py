"""
Knows made-up call records of the four providers, as their lists show them: a pure function of the call's number.

Nothing is drawn at random, so that a file of them is the same whenever and wherever it is made. People are at example.com,
numbers are +1415555…. All calls have ended: what is measured is loading, not following.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache

DAY_MS = 86_400_000
FIRST_ID = 12_000
TIE_EVERY = 97
"""Every so manieth call shares the instant of the one before."""

AGENTS = 4
ORGANIZATION = "6f1c1f0e-5d0b-4a51-a0c3-000000000001"
_NAMES = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
_PEOPLE = tuple(f"{name}.{number}@example.com" for number in range(1, 26) for name in _NAMES)
_EPOCH = date(1970, 1, 1)


@lru_cache(maxsize=4096)
def _day(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).isoformat()


def instant(ms: int) -> str:
    """Write an instant (milliseconds since 1970) as the APIs do: `2026-03-15T14:30:00.000Z`."""
    days, rest = divmod(ms, DAY_MS)
    seconds, millis = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_day(days)}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"


def _seconds(ms: int) -> str:
    return instant(ms)[:-5] + "Z"


def offset_ms(number: int, spacing_ms: int) -> int:
    """
    Return where a call's cursor stands, in milliseconds after the file's beginning: never less than the one's before.

    Calls are `spacing_ms` apart but for a fraction of a second, and now and then two share an instant, as they do in life.
    """
    at = number - 1 if number and number % TIE_EVERY == 0 else number
    return at * spacing_ms + at * 7919 % 1000


def _mixed(number: int) -> int:
    """Scatter the bits of a number, so that neighbours do not look alike."""
    value = number * 2_654_435_761 & 0xFFFFFFFF
    return (value ^ value >> 15) * 2_246_822_519 & 0xFFFFFFFF


def tuple_record(number: int, ended: int) -> str:
    """Return a Tuple call with one to three participants; of every fortieth participation or so the user is gone."""
    chance = _mixed(number)
    call_id = FIRST_ID + number
    length = 60 + (chance >> 7) % 5400
    began = ended - length * 1000
    ended_at, began_at = instant(ended), instant(began)
    parts = []
    for position in range(1 + (chance >> 3) % 3):
        joined = began_at if position < 2 else instant(began + (chance >> 9) % length * 500)
        who = (chance >> 11) + position * 37
        user = "null" if who % 41 == 0 else f'{{"email":"{_PEOPLE[who % len(_PEOPLE)]}"}}'
        parts.append(f'{{"id":{call_id * 4 + position},"joined_at":"{joined}","left_at":"{ended_at}","user":{user}}}')
    return (
        f'{{"id":{call_id},"started_at":"{began_at}","ended_at":"{ended_at}","duration_seconds":{length},'
        f'"call_participations":[{",".join(parts)}]}}'
    )


def bimpe_record(number: int, created: int) -> str:
    """Return a BimpeAI call as an agent's list shows it."""
    chance = _mixed(number)
    ended = created + (20 + (chance >> 8) % 600) * 1000
    source = "null" if chance % 37 == 0 else f'"{_phone(chance)}"'
    answered = chance % 8 != 0
    length = (ended - created) // 1000 - 10 if answered else "null"
    return (
        f'{{"id":"c{number:010d}{chance:014d}","source":{source},"destination":"{_phone(chance >> 5)}",'
        f'"status":"{"ended" if answered else "busy"}","direction":"{"outbound" if chance & 64 else "inbound"}",'
        f'"created_on":"{instant(created)}","duration_seconds":{length},"is_test_call":{"true" if chance % 11 == 0 else "false"},'
        f'"error_reason":null,"end_reason":"{"completed" if answered else "busy"}",'
        f'"ringing_at":"{instant(created + 4000)}","ended_at":"{instant(ended)}"}}'
    )


def salpre_record(number: int, started: int) -> str:
    """Return a Salpre call as the list shows it."""
    chance = _mixed(number)
    length = 5 + (chance >> 8) % 600
    return (
        f'{{"call_id":"c{123_456 + number}","status":"{"failed" if chance % 12 == 0 else "completed"}",'
        f'"from":"salprebox:SALPRE_{100_001 + chance % 5}","to":"{_phone(chance)}","agent_id":{1 + chance % 5},'
        f'"direction":"outbound","started_at":"{_seconds(started)}","ended_at":"{_seconds(started + length * 1000)}",'
        f'"duration_sec":{length}}}'
    )


def krosai_record(number: int, created: int) -> str:
    """Return a KrosAI call as the list shows it."""
    chance = _mixed(number)
    length = 5 + (chance >> 8) % 600
    call_id = f"{chance:08x}-{number >> 16 & 0xFFFF:04x}-4{chance & 0xFFF:03x}-a{chance >> 12 & 0xFFF:03x}-{number:012x}"
    endpoint = "null" if chance % 10 == 0 else f'"7b3e5d2a-2222-4b00-a000-00000000000{1 + chance % 4}"'
    recording = f'"https://recordings.krosai.example.com/{call_id}.mp3"'
    return (
        f'{{"id":"{call_id}","from_number":"{_phone(chance)}","to_number":"{_phone(chance >> 5)}",'
        f'"direction":"{"outbound" if chance & 32 else "inbound"}","status":"completed","duration":{length},'
        f'"cost":{length * 2 / 100:.4f},"latency_ms":{20 + chance % 180},'
        f'"phone_number_id":"0d9a2f4c-1111-4a00-a000-00000000000{1 + chance % 3}","endpoint_id":{endpoint},'
        f'"recording_url":{recording},"hangup_cause":"NORMAL_CLEARING","organization_id":"{ORGANIZATION}",'
        f'"created_at":"{instant(created)}","answered_at":"{instant(created + 5000)}",'
        f'"completed_at":"{instant(created + 5000 + length * 1000)}"}}'
    )


def _phone(chance: int) -> str:
    return f"+1415555{chance % 10_000:04d}"


RECORDS: dict[str, Callable[[int, int], str]] = {
    "tuple": tuple_record,
    "bimpe": bimpe_record,
    "salpre": salpre_record,
    "krosai": krosai_record,
}
