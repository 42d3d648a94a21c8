"""The life of a Twilio call: queued, ringing, in progress, ended; its price comes later; some calls are legs of others."""

from __future__ import annotations

from hashlib import md5
from random import Random

from etl.sandbox.call import JSON, NEVER, Call, Stage
from etl.sandbox.instants import HOUR, MINUTE, SECOND, to_rfc_2822
from etl.sandbox.lives.scene import Scene, afterwards, delay, phone, talk, vanishes

ACCOUNT_SIDS = {"main": "AC000000000000000000000000000000a1", "other": "AC000000000000000000000000000000b2"}
_VERSION = "2010-04-01"
_UNANSWERED = ("busy", "failed", "no-answer", "canceled")


def sid(account: str, number: int) -> str:
    """Return the id of an account's call; that of a leg's parent follows from its number."""
    return f"CA{md5(f'{account}:{number}'.encode(), usedforsecurity=False).hexdigest()}"


def live(chance: Random, scene: Scene, *, begin: int, number: int, order: int) -> Call:
    """Draw a call that starts at `begin`, in whole seconds; `number` counts the account's calls: some odd ones are legs."""
    begin -= begin % SECOND
    call_id, owner = sid(scene.account, number), ACCOUNT_SIDS[scene.account]
    leg = number % 2 == 1 and chance.random() < 0.4
    inbound = not leg and chance.random() < 0.6
    caller, callee = phone(chance), "client:desk_7" if leg else phone(chance)
    path = f"/{_VERSION}/Accounts/{owner}/Calls/{call_id}"
    record: dict[str, JSON] = {
        "sid": call_id,
        "account_sid": owner,
        "parent_call_sid": sid(scene.account, number - 1) if leg else None,
        "date_created": to_rfc_2822(begin),
        "date_updated": to_rfc_2822(begin),
        "start_time": to_rfc_2822(begin) if inbound else None,
        "end_time": None,
        "duration": None,
        "status": "ringing" if inbound else "queued",
        "direction": "inbound" if inbound else "outbound-dial" if leg else "outbound-api",
        "from": caller,
        "from_formatted": _displayed(caller),
        "to": callee,
        "to_formatted": _displayed(callee),
        "phone_number_sid": None if leg else "PN000000000000000000000000000000b1",
        "price": None,
        "price_unit": "USD",
        "answered_by": None,
        "caller_name": None,
        "forwarded_from": None,
        "group_sid": None,
        "trunk_sid": None,
        "queue_time": "0",
        "api_version": _VERSION,
        "uri": f"{path}.json",
        "subresource_uris": {"recordings": f"{path}/Recordings.json", "events": f"{path}/Events.json"},
    }
    stages: list[Stage] = [(begin, record)]
    if not inbound:
        dialled = begin + int(chance.uniform(1, 4)) * SECOND
        stages.append((dialled, _at(dialled) | {"status": "ringing", "start_time": to_rfc_2822(begin)}))
    rang = begin + int(chance.uniform(4, 40)) * SECOND
    if chance.random() < 0.3:
        word = _UNANSWERED[int(chance.random() * len(_UNANSWERED))]
        ended_at = to_rfc_2822(rang) if chance.random() < 0.5 else None
        stages.append((rang, _at(rang) | {"status": word, "end_time": ended_at}))
    else:
        ended = rang + max(talk(chance, scene) // SECOND, 1) * SECOND
        seconds = (ended - rang) // SECOND
        answerer = "machine_start" if not inbound and chance.random() < 0.1 else None
        stages.append((rang, _at(rang) | {"status": "in-progress", "answered_by": answerer}))
        over = {"status": "completed", "end_time": to_rfc_2822(ended), "duration": str(seconds)}
        stages.append((ended, _at(ended) | over))
        billed = afterwards(scene, cursor=begin, ended=ended, delayed=int(chance.uniform(1, 20) * MINUTE))
        if chance.random() < 0.1:
            billed = afterwards(scene, cursor=begin, ended=ended, delayed=int(chance.uniform(1, 6) * HOUR))
        stages.append((billed, _at(billed) | {"price": f"-{-(-seconds // 60) * 0.0085:.4f}"}))
    visible_at = begin + delay(chance, scene)
    return Call(
        provider="twilio",
        account=scene.account,
        id=call_id,
        cursor=begin,
        visible_at=visible_at,
        deleted_at=vanishes(chance, scene, cursor=begin, visible_at=visible_at, never=NEVER),
        order=order,
        stages=stages,
    )


def _at(instant: int) -> dict[str, JSON]:
    return {"date_updated": to_rfc_2822(instant)}


def _displayed(number: str) -> str:
    """Write a number as it is displayed: `(415) 555-0121`."""
    return f"({number[2:5]}) {number[5:8]}-{number[8:]}" if number.startswith("+1") else number.removeprefix("client:")
