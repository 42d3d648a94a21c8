"""The life of a KrosAI call: from initiated to completed; rated, recorded and transcribed after its end."""

from __future__ import annotations

from random import Random

from etl.sandbox.call import JSON, NEVER, Call, Stage
from etl.sandbox.instants import MINUTE, SECOND, to_micros
from etl.sandbox.lives.scene import LINES, Scene, afterwards, delay, phone, talk, uuid, vanishes

DETAIL_ONLY = frozenset({"transcript"})
ORGANIZATIONS = {"main": "6f1c1f0e-5d0b-4a51-a0c3-000000000001", "other": "6f1c1f0e-5d0b-4a51-a0c3-000000000002"}
LINES_OF_ACCOUNT = {
    account: tuple(f"0d9a2f4c-1111-4a00-a{index:03d}-00000000000{number}" for number in range(1, 4))
    for index, account in enumerate(ORGANIZATIONS)
}
ENDPOINTS = tuple(f"7b3e5d2a-2222-4b00-a000-00000000000{number}" for number in range(1, 5))
CAUSES = ("NORMAL_CLEARING", "NORMAL_CLEARING", "USER_HANGUP", "AGENT_HANGUP")


def live(chance: Random, scene: Scene, *, begin: int, order: int) -> Call:
    """Draw a call created at `begin`."""
    numbers = LINES_OF_ACCOUNT[scene.account]
    record: dict[str, JSON] = {
        "id": uuid(chance),
        "from_number": phone(chance),
        "to_number": phone(chance),
        "direction": "inbound" if chance.random() < 0.4 else "outbound",
        "status": "initiated",
        "duration": 0,
        "cost": 0.0,
        "latency_ms": 20 + int(chance.random() * 180),
        "phone_number_id": numbers[int(chance.random() * len(numbers))],
        "endpoint_id": ENDPOINTS[int(chance.random() * len(ENDPOINTS))] if chance.random() > 0.1 else None,
        "recording_url": None,
        "hangup_cause": None,
        "organization_id": ORGANIZATIONS[scene.account],
        "created_at": to_micros(begin),
        "answered_at": None,
        "completed_at": None,
        "transcript": None,
    }
    ringing = begin + int(chance.uniform(0.2, 5) * SECOND)
    answered = ringing + int(chance.uniform(1, 25) * SECOND)
    stages: list[Stage] = [(begin, record), (ringing, {"status": "ringing"})]
    fate = chance.random()
    if fate < 0.2:
        word = "failed" if fate < 0.06 else "busy" if fate < 0.12 else "no_answer"
        cause = {"failed": "NETWORK_ERROR", "busy": "BUSY", "no_answer": "NO_ANSWER"}[word]
        stages.append((answered, {"status": word, "hangup_cause": cause, "completed_at": to_micros(answered)}))
    else:
        ended = answered + talk(chance, scene)
        stages.append((answered, {"status": "in_progress", "answered_at": to_micros(answered)}))
        stages.append(
            (
                ended,
                {
                    "status": "completed",
                    "duration": (ended - answered) // SECOND,
                    "completed_at": to_micros(ended),
                    "hangup_cause": CAUSES[int(chance.random() * len(CAUSES))],
                },
            )
        )
        rated = afterwards(scene, cursor=begin, ended=ended, delayed=int(chance.uniform(0, 3) * MINUTE))
        recorded = afterwards(scene, cursor=begin, ended=ended, delayed=int(chance.uniform(0.5, 10) * MINUTE))
        url = f"https://recordings.krosai.example.com/{record['id']}.mp3"
        lines = LINES[: 2 + int(chance.random() * 6)]
        text = "\n".join(f"[{'Caller' if at % 2 else 'Agent'}]: {line}" for at, line in enumerate(lines))
        stages += sorted(
            [
                (rated, {"cost": round((ended - answered) / MINUTE * 1.2, 4)}),
                (recorded, {"recording_url": url}),
                (ended + int(chance.uniform(1, 15) * MINUTE), {"transcript": text}),
            ],
            key=lambda stage: stage[0],
        )
    visible_at = begin + delay(chance, scene)
    return Call(
        provider="krosai",
        account=scene.account,
        id=record["id"],
        cursor=begin,
        visible_at=visible_at,
        deleted_at=vanishes(chance, scene, cursor=begin, visible_at=visible_at, never=NEVER),
        order=order,
        stages=stages,
        detail_only=DETAIL_ONLY,
        facets=frozenset({"direction=" + record["direction"], "phone_number_id=" + record["phone_number_id"]}),
    )
