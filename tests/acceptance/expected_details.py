"""
Knows what the warehouse must hold of what only a call's detail tells: the design's mapping, written a second time by hand.

It reads the sandbox's history and shares nothing with `etl.records.derive`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.acceptance.cast import NAMES
from tests.acceptance.expected import at
from tests.acceptance.stage import Row, Stage


def detail_differences(stage: Stage, provider: str) -> dict[str, object]:
    """Return where the columns and messages of a call that lives are not those of its detail: empty where all are."""
    columns = COLUMNS.get(provider)
    if columns is None:
        return {}
    messages: dict[str, list[Row]] = {}
    for row in stage.rows("SELECT * FROM call_messages WHERE connection = %(n)s ORDER BY position", {"n": NAMES[provider]}):
        messages.setdefault(row["call_id"], []).append(row)
    found: dict[str, object] = {}
    for call_id, held in stage.calls(provider).items():
        detail = stage.history.detail(provider, call_id)
        if detail is None:
            continue
        expected = {**columns(detail), "detail": _stable(detail), "messages": _messages(call_id, detail)}
        ours = {**held, "detail": _stable(held["detail"]), "messages": messages.get(call_id, [])}
        if held["recording_url"] is not None:
            ours["recording_url"] = held["recording_url"].partition("?")[0]
        if wrong := {name: (value, ours[name]) for name, value in expected.items() if ours[name] != value}:
            found[call_id] = wrong
    return found


def _bimpe(detail: Any) -> Row:
    return {"started_at": at(detail["started_at"]), "answered_at": at(detail["answered_at"])}


def _salpre(detail: Any) -> Row:
    return {
        "recording_url": detail["audio_record_url"],
        "transcript": detail["transcript"],
        "attributes": detail["variables"] or None,  # an object without a key tells nothing
    }


def _krosai(detail: Any) -> Row:
    url = detail["recording_url"]
    return {"recording_url": url and url.partition("?")[0], "transcript": detail["transcript"]}


COLUMNS: dict[str, Callable[[Any], Row]] = {"bimpe": _bimpe, "salpre": _salpre, "krosai": _krosai}


def _messages(call_id: str, detail: Any) -> list[Row]:
    return [
        {
            "connection": NAMES["bimpe"],
            "call_id": call_id,
            "message_id": said["id"],
            "position": position,
            "role": said["role"],
            "text": said["message"],
            "message_type": said["message_type"],
            "sent_at": at(said["created_at"]),
        }
        for position, said in enumerate(detail.get("conversation_logs") or (), 1)
    ]


def _stable(detail: Any) -> Any:
    """Return a detail without what differs in every answer: a signed address, and the form of Salpre's id."""
    return detail and {name: value for name, value in detail.items() if name not in ("recording_url", "call_id")}
