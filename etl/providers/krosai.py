"""
KrosAI's calls API: its facts and status words, each with its source.

[source] https://docs.krosai.com/api-reference/reference/calls, read 2026-11. [guide] https://docs.krosai.com/voice/call-logs,
which contradicts it. [rate] its page on rate limits. [errors] its error schema and codes. [outbound] its page on outbound calls.
[webhooks] its pages on webhooks.
[inferred] what a careful client assumes; `docs/providers/krosai.md` says what is verified.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from etl.model import JSON, Status
from etl.provider import (
    Ask,
    Children,
    Counts,
    Detail,
    Failure,
    Field,
    Header,
    Limit,
    Listing,
    Order,
    PageFacts,
    Provider,
    Style,
    Tally,
)
from etl.records.parse import address, count, decimal_cents, direction, identifier, instant, text, whole

_NOT_FOUND = re.compile(r"(call|resource)\b[^.]*\bnot found", re.IGNORECASE)  # "Resource not found" [errors]


def _by_page(ask: Ask) -> Mapping[str, str]:
    return {"page": str(ask.number), "limit": str(ask.size)}  # [source]


def _by_offset(ask: Ask) -> Mapping[str, str]:
    return {"offset": str((ask.number - 1) * ask.size), "limit": str(ask.size)}  # [guide]


def _facts(fields: Mapping[str, JSON], headers: Mapping[str, str]) -> PageFacts:
    """`total, page, limit, total_pages` [source] or `total, limit, offset` [guide]; none is declared required."""
    total, size = count(fields.get("total")), count(fields.get("limit"))
    number, offset = count(fields.get("page")), count(fields.get("offset"))
    pages = count(fields.get("total_pages"))
    more = None
    if number is not None and pages is not None:
        more = number < pages
    elif total is not None and size is not None:
        if offset is not None:
            more = offset + size < total
        elif number is not None:
            more = number * size < total
    return PageFacts(total=total, number=number, offset=offset, size=size, more=more)


def _failure(status: int, body: JSON) -> Failure | None:
    """`{error, code?, details?}` [errors]; a 404 names the call only where the message does, as no code for it is documented."""
    if status < 400:
        return None
    if not isinstance(body, dict) or not isinstance(body.get("error"), str):
        return Failure()
    message, code = body["error"], body.get("code")
    naming = "call" if status == 404 and _NOT_FOUND.match(message) else None
    return Failure(code=code if isinstance(code, str) else None, message=message, naming=naming)


def _breakdown(body: JSON) -> Mapping[str, int] | None:
    """Calls by status: the shape is shown nowhere [source]; any object of numbers under a name that speaks of statuses."""
    data = body.get("data", body) if isinstance(body, dict) else None
    if not isinstance(data, dict):
        return None
    found = _first(data, ("by_status", "statuses", "status_breakdown", "status"), dict)
    return {word: count(number) or 0 for word, number in found.items()} if found else None


def _days(body: JSON) -> Mapping[str, int] | None:
    """Calls by day: the shape is shown nowhere [source]; any list of objects with a date and a number."""
    listed = _first(body, ("data", "trends"), list)
    if listed is None:
        return None
    found: dict[str, int] = {}
    for one in listed:
        day = _first(one, ("date", "day"), str)
        number = _first(one, ("count", "calls", "total"), int)
        if day is None or count(number) is None:
            return None
        found[day[:10]] = number
    return found


def _first(value: JSON, keys: tuple[str, ...], kind: type) -> JSON:
    """Return the first value of this type under one of the keys of an object, None where there is none."""
    return next((value[key] for key in keys if isinstance(value.get(key), kind)), None) if isinstance(value, dict) else None


PROVIDER = Provider(
    name="krosai",
    title="KrosAI",
    base_url="https://api.krosai.com/v1",  # some guides say /api/v1
    headers=(
        Header(name="Authorization", setting="token", template="Bearer {value}"),  # [source]
        # Without it the account's first organisation is taken [source].
        Header(name="x-organization-id", setting="organization_id", required=False),
    ),
    listing=Listing(
        order=Order.NEWEST_FIRST,  # not documented
        path="/calls",
        records=("data", "calls"),  # [source], [guide]
        styles=(Style(name="page", params=_by_page), Style(name="offset", params=_by_offset)),  # never both in one request
        page_sizes=(100, 20),  # maximum and default [source]
        facts=_facts,
    ),
    detail=Detail(path="/calls/{call}", record=None, id_forms=lambda call_id: (call_id,)),  # the body is the call [source]
    deletion="/calls/{call}",  # "Deletes the call record and associated events", 204 [source]
    counts=Counts(
        words=("initiated", "queued", "ringing", "answered", "in_progress", "completed", "failed", "busy", "no_answer"),
        by_status=lambda word: {"status": word},  # [source]
        breakdown=Tally(query="/calls?action=stats", read=_breakdown),  # [source]
        daily=Tally(query="/calls?action=trends&start_date={first}&end_date={last}", read=_days),  # [source]
    ),
    limit=Limit(requests=10, per=timedelta(seconds=1)),  # the Free plan; Pro has 50, Business 200 [rate]
    any_day=True,  # which day the plan's requests a day are counted in is documented nowhere; this is the strictest
    lookback=timedelta(hours=2),
    call_id="id",
    cursor="created_at",
    statuses={
        "initiated": Status.QUEUED,  # [guide]
        "queued": Status.QUEUED,  # [outbound]
        "ringing": Status.RINGING,  # [guide]
        "answered": Status.IN_PROGRESS,  # [outbound]
        "in_progress": Status.IN_PROGRESS,  # [guide]
        "completed": Status.COMPLETED,  # [guide]
        "failed": Status.FAILED,  # [guide]
        "busy": Status.BUSY,  # [guide]
        "no_answer": Status.NO_ANSWER,  # [guide]
    },
    fields=(
        Field(column="direction", key="direction", parse=direction),
        Field(column="from_address", key="from_number", parse=address),
        Field(column="to_address", key="to_number", parse=address),
        Field(column="agent_id", key="endpoint_id", parse=identifier),
        Field(column="created_at", key="created_at", parse=instant),
        Field(column="answered_at", key="answered_at", parse=instant),
        Field(column="ended_at", key="completed_at", parse=instant),
        Field(column="duration_seconds", key="duration", parse=whole),
        Field(column="end_reason", key="hangup_cause", parse=text),
        Field(column="latency_ms", key="latency_ms", parse=whole),
        Field(column="cost", key="cost_cents", parse=decimal_cents),  # [guide]; wins where both are given
        Field(column="cost", key="cost", parse=decimal_cents),  # "Call cost in cents" [source]
        Field(column="recording_url", key="recording_url", parse=text),
        Field(column="transcript", key="transcript", parse=text),
    ),
    attributes=("phone_number_id", "endpoint_id"),
    organization="organization_id",
    volatile=frozenset({"recording_url"}),  # each request gets a new signature, valid for an hour
    events=Children(
        key="events",  # announced for the detail, but its shape is nowhere shown [source]
        id_key="id",
        fields=(  # the keys of the webhooks' events [webhooks], and what a careful client expects [inferred]
            Field(column="type", key="type", parse=text),
            Field(column="type", key="event", parse=text),
            Field(column="occurred_at", key="timestamp", parse=instant),
            Field(column="occurred_at", key="created_at", parse=instant),
            Field(column="occurred_at", key="occurred_at", parse=instant),
        ),
    ),
    late_parts=("transcript", "recording_url"),  # webhooks announce both after the call's end [webhooks]
    ignored=frozenset({"events[].data"}),  # kept in `call_events.data` with the rest of the event [webhooks]
    failure=_failure,
    settings=frozenset({"organization_id"}),
    links={
        "docs": "https://docs.krosai.com/api-reference/reference/calls",
        "token": "KrosAI dashboard, API keys (`kros_live_…`, with the scope calls:read)",
    },
)
