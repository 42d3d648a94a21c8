"""The life of an Aircall call: ringing, answered or missed, done; recorded after its end; its people are those of a company."""

from __future__ import annotations

from random import Random

from etl.sandbox.call import JSON, NEVER, Call, Stage
from etl.sandbox.instants import MINUTE, SECOND
from etl.sandbox.lives.scene import Scene, afterwards, delay, phone, talk, vanishes

FIRST_ID = 3_210_000_000_000
REASONS = (
    "out_of_opening_hours",
    "short_abandoned",
    "abandoned_in_ivr",
    "abandoned_in_classic",
    "no_available_agent",
    "agents_did_not_answer",
)
_PEOPLE = ("Ada", "Ben", "Cleo", "Dan", "Eva")
_NUMBERS = ("Support", "Sales", "Billing")
_TAGS = ("renewal", "complaint", "callback")


def live(chance: Random, scene: Scene, *, begin: int, number: int, order: int) -> Call:
    """Draw a call that starts at `begin`, in whole seconds; `number` counts the account's calls."""
    begin -= begin % SECOND
    call_id = FIRST_ID + number
    inbound = chance.random() < 0.6
    person = int(chance.random() * len(_PEOPLE))
    line = int(chance.random() * len(_NUMBERS))
    record: dict[str, JSON] = {
        "id": call_id,
        "sid": f"CA{chance.getrandbits(128):032x}",
        "direct_link": f"https://api.aircall.io/v1/calls/{call_id}",
        "direction": "inbound" if inbound else "outbound",
        "status": "initial",
        "missed_call_reason": None,
        "started_at": begin // SECOND,
        "answered_at": None,
        "ended_at": None,
        "duration": 0,
        "voicemail": None,
        "recording": None,
        "asset": None,
        "raw_digits": "anonymous" if chance.random() < 0.05 else _spaced(phone(chance)),
        "user": None if inbound else _person(scene, person),
        "contact": None,
        "archived": False,
        "assigned_to": None,
        "transferred_by": None,
        "transferred_to": None,
        "cost": None,
        "country_code_a2": "US",
        "pricing_type": None,
        "number": _line(line),
        "teams": [{"id": 31 + line, "name": _NUMBERS[line]}] if inbound else [],
        "comments": [],
        "tags": [],
    }
    stages: list[Stage] = [(begin, record)]
    rang = begin + int(chance.uniform(2, 40)) * SECOND
    if chance.random() < 0.3:
        reason = REASONS[int(chance.random() * len(REASONS))] if inbound else None
        stages.append((rang, _over(begin, rang) | {"missed_call_reason": reason}))
        if inbound and chance.random() < 0.4:
            left = afterwards(scene, cursor=begin, ended=rang, delayed=int(chance.uniform(0.5, 5) * MINUTE))
            stages.append((left, _kept(call_id, "voicemail")))
    else:
        ended = rang + max(talk(chance, scene) // SECOND, 1) * SECOND
        stages.append((rang, {"status": "answered", "answered_at": rang // SECOND, "user": _person(scene, person)}))
        stages.append((ended, _over(begin, ended)))
        kept = afterwards(scene, cursor=begin, ended=ended, delayed=int(chance.uniform(0.5, 10) * MINUTE))
        tagged = afterwards(scene, cursor=begin, ended=ended, delayed=int(chance.uniform(1, 60) * MINUTE))
        tag = int(chance.random() * len(_TAGS))
        stages += sorted(
            [(kept, _kept(call_id, "recording")), (tagged, {"tags": [{"id": 5 + tag, "name": _TAGS[tag]}], "archived": True})],
            key=lambda stage: stage[0],
        )
    visible_at = begin + delay(chance, scene)
    return Call(
        provider="aircall",
        account=scene.account,
        id=str(call_id),
        cursor=begin,
        visible_at=visible_at,
        deleted_at=vanishes(chance, scene, cursor=begin, visible_at=visible_at, never=NEVER),
        order=order,
        stages=stages,
    )


def _over(begin: int, ended: int) -> dict[str, JSON]:
    """The duration counts the ringing."""
    return {"status": "done", "ended_at": ended // SECOND, "duration": (ended - begin) // SECOND}


def _kept(call_id: int, what: str) -> dict[str, JSON]:
    url = f"https://{what}s.aircall.example.com/{call_id}.mp3"
    return {what: url, "asset": f"https://assets.aircall.io/{what}/{call_id}"}


def _person(scene: Scene, place: int) -> dict[str, JSON]:
    name = _PEOPLE[place]
    user_id = 456 + place + (0 if scene.account == "main" else 1_000)
    return {
        "id": user_id,
        "direct_link": f"https://api.aircall.io/v1/users/{user_id}",
        "name": f"{name} Example",
        "email": f"{name.lower()}@example.com",
        "available": True,
        "availability_status": "available",
    }


def _line(place: int) -> dict[str, JSON]:
    return {
        "id": 7001 + place,
        "direct_link": f"https://api.aircall.io/v1/numbers/{7001 + place}",
        "name": _NUMBERS[place],
        "digits": f"+1 415-555-010{place}",
        "country": "US",
        "time_zone": "America/Los_Angeles",
        "open": True,
        "availability_status": "open",
        "is_ivr": place == 0,
    }


def _spaced(number: str) -> str:
    """Write a number as it is displayed: `+1 415-555-0121`."""
    return f"{number[:2]} {number[2:5]}-{number[5:8]}-{number[8:]}"
