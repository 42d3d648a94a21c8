"""
Knows KrosAI's calls API: its facts and words, and where each was read; no loop, no HTTP, no SQL.

[source] https://docs.krosai.com/api-reference/reference/calls, read 2026-11. [guide] https://docs.krosai.com/voice/call-logs,
which contradicts it. [rate] its page on rate limits. [errors] its error schema and codes. [outbound] its page on outbound calls.
[inferred] what a careful client assumes; `docs/providers/krosai.md` says what is verified.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from etl.model import JSON, Status
from etl.parse import address, count, decimal_cents, direction, identifier, instant, text, whole
from etl.provider import Ask, Detail, Failure, Field, Header, Limit, Listing, Order, PageFacts, Provider, Style

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
    limit=Limit(requests=10, per=timedelta(seconds=1)),  # the Free plan; Pro has 50, Business 200 [rate]
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
    volatile=frozenset({"recording_url"}),  # signed anew, for an hour, by each request
    ignored=frozenset({"events"}),  # announced for the detail, but its shape is nowhere shown [source]
    failure=_failure,
    settings=frozenset({"organization_id"}),
    links={
        "docs": "https://docs.krosai.com/api-reference/reference/calls",
        "token": "KrosAI dashboard, API keys (`kros_live_…`, with the scope calls:read)",
    },
)
