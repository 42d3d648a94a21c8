"""
Aircall with the transcriptions of its calls, each behind an address of its own: a form with a part, and its payloads.

[ref] GET /v1/calls/{id}/transcription, of client notes that quote the reference. [field] a transcription client, tried on a
production account on 2026-08-31: a 404 where none is stored, and a 403 of this text without the add-on that it is a part of.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from etl.model import JSON, Drift
from etl.provider import Detail, Failure, Field, Part, Provider, When
from etl.providers import aircall
from etl.records.parse import Unfit

_PAYLOADS = Path(__file__).parent / "payloads" / "aircall.json"
_NO_ADD_ON = "Forbidden access: company is not verified."
_KEPT_IN_RAW = ("id", "call_id", "type", "content.language")

SPOKEN = "Hello, this is Ada.\nHi Ada."
TRANSCRIPTION = {
    "id": 99,
    "call_id": 3210000000012,
    "type": "call",
    "content": {
        "language": "en",
        "utterances": [
            {"start_time": 1.2, "end_time": 2.9, "text": "Hello, this is Ada.", "participant_type": "internal", "user_id": 456},
            {"start_time": 3.1, "end_time": 4.0, "text": "Hi Ada.", "participant_type": "external"},
        ],
    },
}
ABSENT = {"error": "Not Found", "troubleshoot": "No transcription of this call."}


def _spoken(value: JSON) -> str | None:
    """Return what was said, a line for each utterance."""
    if not isinstance(value, list) or not all(isinstance(one, dict) and isinstance(one.get("text"), str) for one in value):
        raise Unfit(Drift.WRONG_TYPE)
    return "\n".join(one["text"] for one in value) or None


def _failure(status: int, body: JSON) -> Failure | None:
    """Without the add-on no call has a transcription, which is no fault of the credential [field]."""
    if status == 403 and isinstance(body, dict) and body.get("message") == _NO_ADD_ON:
        return Failure(message=_NO_ADD_ON, naming="part", status=404)
    return aircall.PROVIDER.failure(status, body)


TRANSCRIBED = replace(
    aircall.PROVIDER,
    name="aircall_transcribed",
    detail=Detail(
        path="/calls/{call}",
        record="call",
        id_forms=lambda call_id: (call_id,),
        when=When.LATE,
        parts=(Part(key="transcription", path="/calls/{call}/transcription", record="transcription"),),  # [ref]
    ),
    fields=(*aircall.PROVIDER.fields, Field(column="transcript", key="transcription.content.utterances", parse=_spoken)),
    late_parts=("transcription",),
    ignored=aircall.PROVIDER.ignored | {f"transcription.{key}" for key in _KEPT_IN_RAW},
    failure=_failure,
)


def payloads(**other: Any) -> dict[str, Any]:
    """Return Aircall's payloads with the part: of the one answered call, and how it is said that there is none."""
    found: dict[str, Any] = json.loads(_PAYLOADS.read_text("utf-8"))
    for case in found["calls"]:
        if "detail" in case:
            case["detail"]["transcription"] = TRANSCRIPTION
            case["row"]["transcript"] = SPOKEN
    path = "/calls/3210000000012/transcription"
    parts = [
        {"part": "transcription", "call_id": "3210000000012", "path": path, "body": {"transcription": TRANSCRIPTION}},
        {"part": "transcription", "name": "none is stored", "status": 404, "body": ABSENT},
        {"part": "transcription", "name": "no add-on", "status": 403, "body": {"message": _NO_ADD_ON}},
    ]
    return {**found, "parts": parts, **other}


def with_part(provider: Provider = TRANSCRIBED, **other: Any) -> Provider:
    """Return the form with another part."""
    assert provider.detail is not None
    return replace(provider, detail=replace(provider.detail, parts=(replace(provider.detail.parts[0], **other),)))
