"""
BimpeAI's Console API: its facts and status words, each with its source.

[source] documentation page "List calls" of the Console API, read 2026-11. [docs] its landing page, guides and list pages.
[sdk] the official Python SDK 0.4.1 (2026-06). `docs/providers/bimpe.md` says what is verified at run time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta

from etl.model import JSON, AgentRow, Status
from etl.provider import Agents, Ask, Children, Counts, Detail, Failure, Field, Header, Listing, Order, PageFacts, Provider, Style
from etl.records.parse import Unfit, address, count, direction, flag, identifier, instant, text, whole, yes

_NOT_FOUND = re.compile(r"(agent|call)\b[^.]*\bnot found", re.IGNORECASE)  # "Agent not found" [source]


def _params(ask: Ask) -> Mapping[str, str]:
    return {"page": str(ask.number), "limit": str(ask.size)}  # [source]


def _sorted_by(sort: str) -> Callable[[Ask], Mapping[str, str]]:
    """The documented example is `-created_at` [source], but calls have `created_on`, by which the SDK's README sorts [sdk]."""
    return lambda ask: {**_params(ask), "sort": sort}


def _facts(fields: Mapping[str, JSON], headers: Mapping[str, str]) -> PageFacts:
    """`meta` is documented whole [source]; it may be absent or empty [docs]."""
    meta = fields.get("meta")
    if not isinstance(meta, dict):
        return PageFacts()
    return PageFacts(
        total=count(meta.get("total_count")),
        number=count(meta.get("current_page")),
        size=count(meta.get("limit")),
        more=yes(meta.get("has_next_page")),
    )


def _agent(value: JSON) -> AgentRow | None:
    if not isinstance(value, dict):
        return None
    try:
        agent_id = identifier(value.get("id"))
    except Unfit:
        return None
    if agent_id is None:
        return None
    try:
        created_at = instant(value.get("created_at"))
    except Unfit:
        created_at = None
    name, status = value.get("name"), value.get("status")  # `status`: development, live, paused or null [docs]
    return AgentRow(agent_id, name if isinstance(name, str) else None, status if isinstance(status, str) else None, created_at)


def _failure(status: int, body: JSON) -> Failure | None:
    """
    Two shapes: `{message, error, code, statusCode, request_id}` [source] and `{code, message, errors}` [docs].

    `message` may be a list of "path: text" [sdk]. A 404 names what is absent only where code and message say so: a route that
    does not exist has the code too.
    """
    if status < 400:
        return None
    if not isinstance(body, dict):
        return Failure()
    code, message = body.get("code"), body.get("message")
    if isinstance(message, list):
        message = "; ".join(part for part in message if isinstance(part, str))
    if not isinstance(message, str):
        message = body["error"] if isinstance(body.get("error"), str) else None
    code = code if isinstance(code, str) else None
    found = _NOT_FOUND.match(message) if status == 404 and code == "not_found" and message else None
    return Failure(code=code, message=message, naming=found[1].lower() if found else None)


PROVIDER = Provider(
    name="bimpe",
    title="BimpeAI",
    base_url="https://api.bimpe.ai/api/v1/console",  # host [docs], prefix [source]
    headers=(Header(name="Authorization", setting="token", template="Bearer {value}"),),  # or X-Api-Key [source]
    agents=Agents(  # there is no list of calls over all agents: "call logs for an agent" [source]
        path="/agents",
        records=("data",),
        params=_params,
        page_size=100,  # 1 to 100 [docs]
        facts=_facts,
        agent=_agent,
    ),
    listing=Listing(
        order=Order.NEWEST_FIRST,  # asked for; neither the default order nor the sortable fields are documented
        path="/agents/{stream}/calls",
        records=("data",),
        styles=(
            Style(name="sort=-created_on", params=_sorted_by("-created_on")),
            Style(name="sort=-created_at", params=_sorted_by("-created_at")),
            Style(name="unsorted", params=_params),
        ),
        page_sizes=(100, 20),  # "max 100" [source], default 20 [docs]
        facts=_facts,
    ),
    detail=Detail(path="/agents/{stream}/calls/{call}", record="data", id_forms=lambda call_id: (call_id,)),  # [docs]
    counts=Counts(  # [docs]
        words=("queued", "ringing", "answered", "ended", "busy", "failed", "cancelled"),
        by_status=lambda word: {"status": word},
    ),
    limit=None,  # X-RateLimit-* on every response, but no number is documented [docs]
    lookback=timedelta(hours=2),
    call_id="id",
    cursor="created_on",
    statuses={  # the filter's enumeration [docs]
        "queued": Status.QUEUED,
        "ringing": Status.RINGING,
        "answered": Status.IN_PROGRESS,
        "ended": Status.COMPLETED,
        "busy": Status.BUSY,
        "failed": Status.FAILED,
        "cancelled": Status.CANCELED,
    },
    fields=(  # `agent_id` is the stream: a call does not say whose it is [source]
        Field(column="direction", key="direction", parse=direction),
        Field(column="from_address", key="source", parse=address),
        Field(column="to_address", key="destination", parse=address),
        Field(column="created_at", key="created_on", parse=instant),
        Field(column="ringing_at", key="ringing_at", parse=instant),
        Field(column="started_at", key="started_at", parse=instant),  # the detail only [docs]
        Field(column="answered_at", key="answered_at", parse=instant),  # the detail only [docs]
        Field(column="ended_at", key="ended_at", parse=instant),
        Field(column="duration_seconds", key="duration_seconds", parse=whole),
        Field(column="is_test", key="is_test_call", parse=flag),
        Field(column="end_reason", key="end_reason", parse=text),
        Field(column="error_reason", key="error_reason", parse=text),
    ),
    messages=Children(
        key="conversation_logs",  # the detail only [docs]; not paged [sdk]
        id_key="id",
        fields=(  # [sdk]
            Field(column="role", key="role", parse=text),
            Field(column="text", key="message", parse=text),
            Field(column="message_type", key="message_type", parse=text),
            Field(column="sent_at", key="created_at", parse=instant),
        ),
    ),
    late_parts=("conversation_logs",),  # whether it grows after the end is not documented [inferred]
    ignored=frozenset({"conversation_logs[].attachments"}),  # `{type, url}` [sdk]
    failure=_failure,
    settings=frozenset({"agents"}),
    links={
        "docs": "https://www.docs.bimpe.ai/docs/api/",
        "token": "BimpeAI console, Settings, API keys (a team key, `sk_…`, with the scope conversations:read)",
    },
)
