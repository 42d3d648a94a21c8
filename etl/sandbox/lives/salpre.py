"""The life of a Salpre call: initiated, in progress, completed or failed; recording and transcript come after the end."""

from __future__ import annotations

from random import Random

from etl.sandbox.call import JSON, NEVER, Call, Stage
from etl.sandbox.instants import MINUTE, SECOND, to_seconds
from etl.sandbox.lives.scene import LINES, Scene, afterwards, delay, phone, talk, vanishes

DETAIL_ONLY = frozenset({"audio_record_url", "transcript", "variables"})
FIRST_ID = 123_456


def live(chance: Random, scene: Scene, *, begin: int, number: int, order: int) -> Call:
    """Draw a call started at `begin`; `number` counts the account's calls."""
    begin -= begin % SECOND
    digits = FIRST_ID + number
    record: dict[str, JSON] = {
        "call_id": f"c{digits}",
        "status": "initiated",
        "from": f"salprebox:SALPRE_{100001 + int(chance.random() * 5)}",
        "to": phone(chance),
        "agent_id": 1 + int(chance.random() * 5),
        "direction": "outbound",
        "started_at": to_seconds(begin),
        "ended_at": None,
        "duration_sec": None,
        "audio_record_url": None,
        "transcript": None,
        "variables": {},
    }
    stages: list[Stage] = [(begin, record)]
    answered = begin + int(chance.uniform(3, 30)) * SECOND
    fate = chance.random()
    if fate < 0.15:
        word = "failed" if fate < 0.08 else "busy" if fate < 0.11 else "no_answer"
        seconds = (answered - begin) // SECOND
        stages.append((answered, {"status": word, "ended_at": to_seconds(answered), "duration_sec": seconds}))
    else:
        ended = answered + talk(chance, scene) // SECOND * SECOND
        seconds = (ended - begin) // SECOND
        stages.append((answered, {"status": "in_progress"}))
        stages.append((ended, {"status": "completed", "ended_at": to_seconds(ended), "duration_sec": seconds}))
        late: list[Stage] = [
            (
                ended + int(chance.uniform(0.5, 10) * MINUTE),
                {"audio_record_url": f"https://cdn.salpre.example.com/recordings/call_{digits}.mp3"},
            ),
            (
                ended + int(chance.uniform(1, 15) * MINUTE),
                {
                    "transcript": "\n".join(LINES[: 2 + int(chance.random() * 6)]),
                    "variables": {"customer_name": "Alice Example", "appointment_time": "15:00"},
                },
            ),
        ]
        if chance.random() < scene.amended:
            at = afterwards(scene, cursor=begin, ended=ended, delayed=int(chance.uniform(1, 20) * MINUTE))
            late.append((at, {"duration_sec": seconds + 1}))
        stages += sorted(late, key=lambda stage: stage[0])
    visible_at = begin + delay(chance, scene)
    return Call(
        provider="salpre",
        account=scene.account,
        id=record["call_id"],
        cursor=begin,
        visible_at=visible_at,
        deleted_at=vanishes(chance, scene, cursor=begin, visible_at=visible_at, never=NEVER),
        order=order,
        stages=stages,
        detail_only=DETAIL_ONLY,
    )
