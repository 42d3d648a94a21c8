"""The life of a BimpeAI call: queued, ringing, answered, ended, while its conversation grows; and of an agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from etl.sandbox.call import JSON, NEVER, Call, Stage
from etl.sandbox.instants import MINUTE, SECOND, to_millis
from etl.sandbox.lives.scene import LINES, Scene, afterwards, cuid, delay, phone, talk, vanishes

DETAIL_ONLY = frozenset({"started_at", "answered_at", "conversation_logs"})
NAMES = ("Reception", "Booking desk", "Support", "Collections", "Survey", "Night line")
ENDS = ("completed", "customer_hangup", "agent_hangup", "transferred\nto: front desk")
ERRORS = ("carrier rejected the call", "no route to destination\n\t(code 404)")


@dataclass(slots=True, kw_only=True)
class Agent:
    """One agent: `names` by the instant from which they are in force."""

    id: str
    account: str
    born: int
    names: list[tuple[int, str]]
    gone: int = NEVER
    status: str = "live"
    shown_from: int = field(default=0)

    def record(self, now: int) -> dict[str, JSON]:
        """Return the agent as the list shows it."""
        at, name = [entry for entry in self.names if entry[0] <= now][-1]
        return {
            "id": self.id,
            "name": name,
            "description": f"{name} agent",
            "workflow_id": None,
            "language": "en",
            "persona": "professional",
            "timezone": "UTC",
            "logo": None,
            "business_name": "Example Ltd",
            "business_address": None,
            "business_email": "office@example.com",
            "business_description": None,
            "test_channel_code": None,
            "status": self.status,
            "status_reason": None,
            "escalation_email": None,
            "created_at": to_millis(self.born),
            "updated_at": to_millis(at),
        }


def live(chance: Random, scene: Scene, *, begin: int, order: int, agent: str) -> Call:
    """Draw a call of `agent` created at `begin`."""
    begin -= begin % 1000
    test = chance.random() < 0.1
    outbound = chance.random() < 0.8
    record: dict[str, JSON] = {
        "id": cuid(chance),
        "source": phone(chance) if chance.random() > 0.03 else None,
        "destination": "test" if test else phone(chance),
        "status": "queued",
        "direction": "outbound" if outbound else "inbound",
        "created_on": to_millis(begin),
        "duration_seconds": None,
        "is_test_call": test,
        "error_reason": None,
        "end_reason": None,
        "ringing_at": None,
        "ended_at": None,
        "started_at": None,
        "answered_at": None,
        "conversation_logs": [],
    }
    ringing = begin + int(chance.uniform(1, 20) * 1000) * 1000
    stages: list[Stage] = [(begin, record)]
    fate = chance.random()
    if fate < 0.04:
        at = begin + int(chance.uniform(1, 60)) * SECOND
        stages.append((at, {"status": "cancelled", "ended_at": to_millis(at), "end_reason": "cancelled"}))
    else:
        stages.append((ringing, {"status": "ringing", "ringing_at": to_millis(ringing)}))
        picked_up = ringing + int(chance.uniform(2, 30) * 1000) * 1000
        if fate < 0.12:
            stages.append((picked_up, {"status": "busy", "ended_at": to_millis(picked_up), "end_reason": "busy"}))
        elif fate < 0.18:
            error = ERRORS[int(chance.random() * len(ERRORS))]
            stages.append((picked_up, {"status": "failed", "ended_at": to_millis(picked_up), "error_reason": error}))
        else:
            stages += _conversation(chance, scene, record, begin=begin, picked_up=picked_up)
    visible_at = begin + delay(chance, scene)
    return Call(
        provider="bimpe",
        account=scene.account,
        agent=agent,
        id=record["id"],
        cursor=begin,
        visible_at=visible_at,
        deleted_at=vanishes(chance, scene, cursor=begin, visible_at=visible_at, never=NEVER),
        order=order,
        stages=stages,
        detail_only=DETAIL_ONLY,
        facets=frozenset({"is_test_call=" + ("true" if test else "false")}),
    )


def _conversation(chance: Random, scene: Scene, record: dict[str, JSON], *, begin: int, picked_up: int) -> list[Stage]:
    ended = picked_up + talk(chance, scene)
    size = 1 + int(chance.random() * len(LINES))
    logs = [
        {
            "id": f"{record['id']}-{position}",
            "role": "user" if position % 2 else "assistant",
            "message": LINES[position],
            "message_type": "text",
            "created_at": to_millis(picked_up + (ended - picked_up) * position // size),
        }
        for position in range(size)
    ]
    stages: list[Stage] = [
        (
            picked_up,
            {
                "status": "answered",
                "started_at": to_millis(picked_up),
                "answered_at": to_millis(picked_up),
                "conversation_logs": logs[:1],
            },
        ),
        (picked_up + (ended - picked_up) // 2, {"conversation_logs": logs[: (size + 1) // 2]}),
        (
            ended,
            {
                "status": "ended",
                "duration_seconds": (ended - picked_up) // SECOND,
                "ended_at": to_millis(ended),
                "end_reason": ENDS[int(chance.random() * len(ENDS))],
            },
        ),
    ]
    late: list[Stage] = [(ended + int(chance.uniform(0.2, 10) * MINUTE), {"conversation_logs": logs})]
    if chance.random() < scene.amended:
        at = afterwards(scene, cursor=begin, ended=ended, delayed=int(chance.uniform(1, 20) * MINUTE))
        late.append((at, {"end_reason": "completed", "duration_seconds": (ended - picked_up) // SECOND + 1}))
    return stages + sorted(late, key=lambda stage: stage[0])
