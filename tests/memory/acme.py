"""Made-up providers that know every column, one for each way of listing; what they list is made by `call`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from etl.model import JSON, AgentRow, Record, Status
from etl.provider import Agents, Ask, Children, Detail, Field, Listing, Order, PageFacts, Provider, Style
from etl.records.identify import identify
from etl.records.parse import address, count, decimal_cents, direction, flag, identifier, instant, text, whole, yes
from etl.runs.account import Account

EPOCH = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOOKBACK = timedelta(hours=2)
HUGE = "a number of 200,000 digits"
"""Stands in a record for a number that no database keeps."""


def at(minutes: float) -> datetime:
    """Return an instant so many minutes after the epoch."""
    return EPOCH + timedelta(minutes=minutes)


def _params(ask: Ask) -> Mapping[str, str]:
    bounds = {"since": ask.since, "until": ask.until}
    asked = {"page": str(ask.number), "size": str(ask.size)}
    return asked | {name: bound.isoformat() for name, bound in bounds.items() if bound is not None}


def _facts(fields: Mapping[str, JSON], headers: Mapping[str, str]) -> PageFacts:
    return PageFacts(
        total=count(fields.get("total")),
        number=count(fields.get("page")),
        size=count(fields.get("size")),
        more=yes(fields.get("more")),
    )


def _agent(value: JSON) -> AgentRow | None:
    agent_id = identifier(value.get("id"))
    return agent_id and AgentRow(agent_id, value.get("name"), value.get("status"), instant(value.get("created")))


ACME = Provider(
    name="acme",
    title="Acme",
    base_url="https://api.acme.example.com",
    headers=(),
    listing=Listing(
        order=Order.NEWEST_FIRST,
        path="/calls",
        records=("calls",),
        styles=(Style(name="page", params=_params),),
        page_sizes=(10,),
        facts=_facts,
    ),
    call_id="id",
    cursor="created",
    statuses={
        "ringing": Status.RINGING,
        "talking": Status.IN_PROGRESS,
        "done": Status.COMPLETED,
        "busy": Status.BUSY,
    },
    fields=(
        Field(column="direction", key="direction", parse=direction),
        Field(column="from_address", key="from", parse=address),
        Field(column="to_address", key="to", parse=address),
        Field(column="agent_id", key="agent", parse=identifier),
        Field(column="created_at", key="created", parse=instant),
        Field(column="ringing_at", key="rang", parse=instant),
        Field(column="started_at", key="started", parse=instant),
        Field(column="answered_at", key="answered", parse=instant),
        Field(column="ended_at", key="ended", parse=instant),
        Field(column="duration_seconds", key="seconds", parse=whole),
        Field(column="is_test", key="test", parse=flag),
        Field(column="end_reason", key="why", parse=text),
        Field(column="error_reason", key="wrong", parse=text),
        Field(column="latency_ms", key="latency", parse=whole),
        Field(column="cost", key="cents", parse=decimal_cents),
        Field(column="recording_url", key="recording", parse=text),
        Field(column="transcript", key="transcript", parse=text),
    ),
    failure=lambda status, body: None,
    lookback=LOOKBACK,
    detail=Detail(path="/calls/{call}", record=None, id_forms=lambda call_id: (call_id,)),
    participants=Children(
        key="people",
        id_key="id",
        fields=(
            Field(column="email", key="email", parse=text),
            Field(column="joined_at", key="joined", parse=instant),
            Field(column="left_at", key="left", parse=instant),
        ),
    ),
    messages=Children(
        key="messages",
        id_key="id",
        fields=(Field(column="role", key="role", parse=text), Field(column="text", key="text", parse=text)),
    ),
    events=Children(key="events", id_key="id", fields=(Field(column="type", key="type", parse=text),)),
    late_parts=("transcript",),
    attributes=("extra",),
    volatile=frozenset({"recording"}),
    organization="org",
)
"""Lists all calls of the account newest first, and answers for each by its id."""

WITHOUT_DETAIL = replace(ACME, name="acme_lists", detail=None, late_parts=())
"""Only lists."""

WINDOWED = replace(WITHOUT_DETAIL, name="acme_windows", listing=replace(ACME.listing, order=Order.ASCENDING))
"""Filters and sorts by the cursor, oldest first."""

BY_AGENT = replace(
    ACME,
    name="acme_agents",
    listing=replace(ACME.listing, path="/agents/{stream}/calls"),
    detail=replace(ACME.detail, path="/agents/{stream}/calls/{call}") if ACME.detail else None,
    agents=Agents(path="/agents", records=("agents",), params=_params, page_size=10, facts=_facts, agent=_agent),
)
"""Has a list of calls for each agent."""


def account(provider: Provider = ACME, *, connection: str = "line", **settings: Any) -> Account:
    """Return a connection at a provider."""
    return Account(connection=connection, provider=provider, lookback=settings.pop("lookback", LOOKBACK), **settings)


def call(call_id: str, minutes: float, **fields: JSON) -> dict[str, JSON]:
    """Return a call's record, created so many minutes after the epoch and done."""
    return {"id": call_id, "created": at(minutes).isoformat(), "status": "done", **fields}


def record(value: JSON, provider: Provider = ACME) -> Record:
    """Return what a walk hands on of a record."""
    return identify(provider, as_text(value), cleaned=False)


def as_text(value: JSON) -> bytes:
    """Return a record as the provider sends it."""
    return json.dumps(value).replace(json.dumps(HUGE), "1e200000").encode()


def whole_call(call_id: str, minutes: float, n: int) -> dict[str, JSON]:
    """Return a record that fills every column and every child; no value of it is that of another `n`."""
    times = {name: at(minutes + n + place).isoformat() for place, name in enumerate(("rang", "started", "answered", "ended"))}
    return {
        "id": call_id,
        "created": at(minutes).isoformat(),
        "status": ("done", "busy")[n % 2],
        "direction": ("inbound", "outbound")[n % 2],
        "from": f"+1415555{2600 + n}",
        "to": f"+1415555{2700 + n}",
        "agent": f"agent {n}",
        **times,
        "seconds": 60 + n,
        "test": bool(n % 2),
        "why": f"reason {n}",
        "wrong": f"error {n}",
        "latency": 100 + n,
        "cents": 1234 + n,
        "recording": f"https://example.com/{n}" if n else None,
        "transcript": f"words {n}",
        "extra": n,
        "people": [{"id": f"p{n}", "email": f"a{n}@example.com", "joined": times["started"], "left": times["ended"]}],
        "messages": [{"id": f"m{n}", "role": f"role {n}", "text": f"text {n}"}],
        "events": [{"id": f"e{n}", "type": f"type {n}"}],
    }
