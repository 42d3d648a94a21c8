"""
Knows what the warehouse must hold of what lives at a provider: the design's mapping, written a second time by hand.

It reads the sandbox's records and shares nothing with `etl.records.derive`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

from tests.acceptance.cast import CAST, NAMES
from tests.acceptance.stage import Row, Stage

DETAIL_ONLY: dict[str, Row] = {
    "tuple": {},
    "bimpe": {"started_at": None, "answered_at": None},
    "salpre": {"recording_url": None, "transcript": None, "attributes": None},
    "krosai": {"transcript": None},
    "aircall": {},
    "twilio": {},
}
"""The columns that mostly only a detail fills, with what they hold while there is none."""

STATUS = {
    "bimpe": {"answered": "in_progress", "ended": "completed", "cancelled": "canceled"},
    "salpre": {"initiated": "queued"},
    "krosai": {"initiated": "queued", "answered": "in_progress"},
    "aircall": {"initial": "ringing", "answered": "in_progress"},
    "twilio": {"in-progress": "in_progress", "no-answer": "no_answer"},
}
EMPTY: Row = dict.fromkeys(
    (
        "provider_status",
        "direction",
        "from_address",
        "to_address",
        "agent_id",
        "created_at",
        "ringing_at",
        "started_at",
        "answered_at",
        "ended_at",
        "duration_seconds",
        "end_reason",
        "error_reason",
        "latency_ms",
        "cost",
        "currency",
        "recording_url",
        "transcript",
        "attributes",
        "parent_call_id",
    )
)


def detail_only(provider: str, record: Any) -> Row:
    """Return the columns that a list record cannot fill, with what they hold while there is no detail."""
    return {column: empty for column, empty in DETAIL_ONLY[provider].items() if column not in record}


def expected_calls(stage: Stage, provider: str) -> dict[str, Row]:
    """Return the columns that the list records at the provider decide, for every call that lives there."""
    agents = [agent["id"] for agent in stage.history.agents()] if provider == "bimpe" else [None]
    rows = {}
    for agent in agents:
        for record in stage.sandbox.truth(provider, agent):
            row = EMPTY | {"is_test": False, "stream": agent or "calls"} | COLUMNS[provider](record)
            if agent:
                row["agent_id"] = agent
            if row["provider_status"] is not None and "status" not in row:
                row["status"] = STATUS[provider].get(row["provider_status"], row["provider_status"])
            row |= {"connection": NAMES[provider], "provider": provider, "call_id": str(record[CAST[provider].id])}
            row |= {"day": row["occurred_at"].date(), "cursor_at": row["occurred_at"], "listed": record}
            if provider == "tuple":
                row["cursor_at"] = row["ended_at"]
            rows[row["call_id"]] = {key: value for key, value in row.items() if key not in detail_only(provider, record)}
    return rows


def held_calls(stage: Stage, provider: str) -> dict[str, Row]:
    """
    Return the same columns of every call that is held.

    `listed` is the record as it was last observed: the list's, but for the fields that a later detail has too.
    """
    rows = {}
    kept = {*EMPTY, "is_test", "stream", "connection", "provider", "call_id", "day", "cursor_at", "occurred_at", "status"}
    for call_id, row in stage.calls(provider).items():
        detail = row["detail"] or {}
        hidden = detail_only(provider, row["raw"])
        if row["detail"] is None:
            assert {key: row[key] for key in hidden} == hidden
        listed = dict(row["raw"])
        if row["detail"] is not None and row["detail_observed_at"] >= row["observed_at"]:
            listed |= {key: detail[key] for key in listed if key in detail and key != CAST[provider].id}
        held = {key: row[key] for key in kept if key not in hidden} | {"listed": listed}
        if provider == "krosai":
            held["recording_url"] = _unsigned(row["recording_url"])
            listed["recording_url"] = _unsigned(listed["recording_url"])
        rows[call_id] = held
    return rows


def expected_participants(stage: Stage, call_ids: set[str]) -> list[Row]:
    """Return the rows of `call_participants` for those Tuple calls."""
    rows = []
    for record in stage.sandbox.truth("tuple"):
        for part in record["call_participations"] if str(record["id"]) in call_ids else ():
            joined, left = at(part["joined_at"]), at(part["left_at"])
            rows.append(
                {
                    "connection": NAMES["tuple"],
                    "call_id": str(record["id"]),
                    "participant_id": str(part["id"]),
                    "email": part["user"]["email"] if part["user"] else None,
                    "joined_at": joined,
                    "left_at": left,
                    "duration_seconds": int((left - joined).total_seconds()) if joined and left else None,
                }
            )
    return sorted(rows, key=lambda row: (row["call_id"], row["participant_id"]))


def held_participants(stage: Stage, call_ids: set[str]) -> list[Row]:
    """Return the rows of `call_participants` that are held of those calls."""
    rows = stage.rows("SELECT * FROM call_participants")
    return sorted((row for row in rows if row["call_id"] in call_ids), key=lambda row: (row["call_id"], row["participant_id"]))


def differences(expected: dict[str, Row], held: dict[str, Row]) -> dict[str, object]:
    """Return what of the expected rows is missing or otherwise: empty where all is as it should be."""
    found: dict[str, object] = {}
    for call_id, row in expected.items():
        if call_id not in held:
            found[call_id] = ("missing", row)
        elif held[call_id] != row:
            found[call_id] = {key: (row[key], held[call_id].get(key)) for key in row if row[key] != held[call_id].get(key)}
    return found


def at(value: str | None) -> datetime | None:
    """Read a provider's time."""
    return None if value is None else datetime.fromisoformat(value)


def _unsigned(url: str | None) -> str | None:
    return None if url is None else url.partition("?")[0]


def _tuple(record: Any) -> Row:
    return {
        "occurred_at": at(record["started_at"]),
        "status": "completed",
        "started_at": at(record["started_at"]),
        "ended_at": at(record["ended_at"]),
        "duration_seconds": record["duration_seconds"],
    }


def _bimpe(record: Any) -> Row:
    return {
        "occurred_at": at(record["created_on"]),
        "provider_status": record["status"],
        "direction": record["direction"],
        "from_address": record["source"],
        "to_address": record["destination"],
        "created_at": at(record["created_on"]),
        "ringing_at": at(record["ringing_at"]),
        "ended_at": at(record["ended_at"]),
        "duration_seconds": record["duration_seconds"],
        "is_test": record["is_test_call"],
        "end_reason": record["end_reason"],
        "error_reason": record["error_reason"],
    }


def _salpre(record: Any) -> Row:
    return {
        "occurred_at": at(record["started_at"]),
        "provider_status": record["status"],
        "direction": record["direction"],
        "from_address": record["from"],
        "to_address": record["to"],
        "agent_id": str(record["agent_id"]),
        "started_at": at(record["started_at"]),
        "ended_at": at(record["ended_at"]),
        "duration_seconds": record["duration_sec"],
    }


def _krosai(record: Any) -> Row:
    cents = record["cost_cents"] if "cost_cents" in record else record["cost"]
    return {
        "occurred_at": at(record["created_at"]),
        "provider_status": record["status"],
        "direction": record["direction"],
        "from_address": record["from_number"],
        "to_address": record["to_number"],
        "agent_id": record["endpoint_id"],
        "created_at": at(record["created_at"]),
        "answered_at": at(record["answered_at"]),
        "ended_at": at(record["completed_at"]),
        "duration_seconds": record["duration"],
        "end_reason": record.get("hangup_cause"),
        "latency_ms": record.get("latency_ms"),
        "cost": Decimal(str(cents)) / 100,
        "currency": "USD",
        "recording_url": record["recording_url"],
        "transcript": record.get("transcript"),
        "attributes": {"phone_number_id": record["phone_number_id"], "endpoint_id": record["endpoint_id"]},
    }


MISSED = {
    "no_available_agent": "no_answer",
    "agents_did_not_answer": "no_answer",
    "out_of_opening_hours": "rejected",
    "short_abandoned": "canceled",
    "abandoned_in_ivr": "canceled",
    "abandoned_in_classic": "canceled",
    None: "no_answer",
}


def _aircall(record: Any) -> Row:
    theirs, ours = _number(record["raw_digits"]), _number(record["number"]["digits"])
    inbound = record["direction"] == "inbound"
    row: Row = {
        "occurred_at": _second(record["started_at"]),
        "provider_status": record["status"],
        "direction": record["direction"],
        "from_address": theirs if inbound else ours,
        "to_address": ours if inbound else theirs,
        "agent_id": str(record["user"]["id"]) if record["user"] else None,
        "started_at": _second(record["started_at"]),
        "answered_at": _second(record["answered_at"]),
        "ended_at": _second(record["ended_at"]),
        "duration_seconds": record["duration"],
        "end_reason": record["missed_call_reason"],
        "recording_url": record["recording"] or record["voicemail"],
        "attributes": {
            key: record[key] for key in ("sid", "asset", "archived", "country_code_a2", "pricing_type", "tags", "teams")
        },
    }
    if record["status"] == "done":
        missed = "voicemail" if record["voicemail"] else MISSED[record["missed_call_reason"]]
        row["status"] = "completed" if record["answered_at"] else missed
    return row


def _second(value: int | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value, UTC)


def _number(value: str) -> str:
    """Drop what is there for the eye."""
    return value if value == "anonymous" else value.replace(" ", "").replace("-", "")


def _twilio(record: Any) -> Row:
    return {
        "occurred_at": _mail_date(record["date_created"]),
        "provider_status": record["status"],
        "direction": "inbound" if record["direction"] == "inbound" else "outbound",
        "from_address": record["from"],
        "to_address": record["to"],
        "created_at": _mail_date(record["date_created"]),
        "started_at": _mail_date(record["start_time"]),
        "ended_at": _mail_date(record["end_time"]),
        "duration_seconds": None if record["duration"] is None else int(record["duration"]),
        "cost": None if record["price"] is None else -Decimal(record["price"]),
        "currency": None if record["price"] is None else record["price_unit"],
        "parent_call_id": record["parent_call_sid"],
        "attributes": {key: record[key] for key in TWILIO_EXTRAS},
    }


TWILIO_EXTRAS = (
    "direction",
    "answered_by",
    "phone_number_sid",
    "forwarded_from",
    "caller_name",
    "trunk_sid",
    "group_sid",
    "queue_time",
    "api_version",
)


def _mail_date(value: str | None) -> datetime | None:
    return None if value is None else parsedate_to_datetime(value)


COLUMNS: dict[str, Callable[[Any], Row]] = {
    "tuple": _tuple,
    "bimpe": _bimpe,
    "salpre": _salpre,
    "krosai": _krosai,
    "aircall": _aircall,
    "twilio": _twilio,
}
