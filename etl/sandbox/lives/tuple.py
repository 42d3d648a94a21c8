"""The life of a Tuple call: visible once it has ended; its participants are sometimes completed minutes later."""

from __future__ import annotations

from random import Random

from etl.sandbox.call import NEVER, Call, decode
from etl.sandbox.instants import MINUTE, to_millis
from etl.sandbox.lives.scene import PEOPLE, Scene, delay, talk, vanishes

FIRST_ID = 12_000


def live(chance: Random, scene: Scene, *, begin: int, number: int, order: int, same_end: int | None = None) -> Call:
    """
    Draw a call begun at `begin`; `number` counts the account's calls. `same_end`: the instant it must end at.

    0 to 10 participations; a person may join again; of some the user is null (a guest, a deleted user: inferred).
    """
    begin -= begin % 1000
    ended = begin + talk(chance, scene) if same_end is None else same_end
    ended -= ended % 1000
    length = ended - begin
    draw = chance.random()
    size = 0 if draw < 0.02 else 1 if draw < 0.06 else 2 if draw < 0.6 else 3 + int(chance.random() ** 3 * 8)
    call_id = FIRST_ID + number
    parts = []
    for position in range(size):
        joined = begin if position < 2 else begin + int(chance.random() * 0.5 * length) // 1000 * 1000
        left = ended if chance.random() < 0.7 else joined + int(chance.random() * (ended - joined)) // 1000 * 1000
        user = f'{{"email":"{PEOPLE[int(chance.random() * len(PEOPLE))]}"}}' if chance.random() > 0.03 else "null"
        parts.append(
            f'{{"id":{call_id * 16 + position},"joined_at":"{to_millis(joined)}","left_at":"{to_millis(left)}","user":{user}}}'
        )
    text = (
        f'{{"id":{call_id},"started_at":"{to_millis(begin)}","ended_at":"{to_millis(ended)}",'
        f'"duration_seconds":{length // 1_000_000},"call_participations":[{",".join(parts)}]}}'
    ).encode("ascii")
    visible_at = ended + delay(chance, scene)
    deleted_at = vanishes(chance, scene, cursor=ended, visible_at=visible_at, never=NEVER)
    if parts and chance.random() < scene.amended:
        amended_at = visible_at + int(chance.random() * 20 * MINUTE)
        if amended_at <= ended + scene.restless:
            return _amended(
                text, scene, ended=ended, visible_at=visible_at, amended_at=amended_at, deleted_at=deleted_at, order=order
            )
    call = Call.written(
        text, provider="tuple", account=scene.account, id=str(call_id), cursor=ended, visible_at=visible_at, order=order
    )
    call.deleted_at = deleted_at
    return call


def _amended(text: bytes, scene: Scene, *, ended: int, visible_at: int, amended_at: int, deleted_at: int, order: int) -> Call:
    """The last participation's end is written after the call's own (a client that went away: inferred)."""
    record = decode(text)
    whole = record["call_participations"]
    record["call_participations"] = [*whole[:-1], {**whole[-1], "left_at": None}]
    return Call(
        provider="tuple",
        account=scene.account,
        id=str(record["id"]),
        cursor=ended,
        visible_at=visible_at,
        deleted_at=deleted_at,
        order=order,
        stages=[(ended, record), (amended_at, {"call_participations": whole})],
    )
