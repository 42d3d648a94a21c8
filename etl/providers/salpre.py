"""
Salpre's gateway API: its facts and status words, each with its source.

[source] https://documentation.salpre.com/docs/apis/list-calls, dated 2025-10-09, read 2026-11. [detail] its page on call details.
[make] its page on placing calls. [inferred] what a careful client assumes; `docs/providers/salpre.md` says what is verified.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from etl.model import JSON, Status
from etl.provider import Ask, Detail, Failure, Field, Header, Listing, Order, PageFacts, Provider, Style
from etl.records.parse import address, count, direction, identifier, instant, text, whole, yes

_PREFIXED = re.compile(r"c(\d+)", re.ASCII)

# No status code is documented for any error, no code inside it: the message is all there is [source] [detail].
_MEANT = (
    (re.compile(r"unauthorized\b", re.IGNORECASE), 401, None),
    (re.compile(r"call not found\b", re.IGNORECASE), 404, "call"),
    (re.compile(r"invalid\b", re.IGNORECASE), 400, None),
    (re.compile(r".*\b(too many|rate limit)", re.IGNORECASE), 429, None),  # [inferred]
)


def _params(ask: Ask) -> Mapping[str, str]:
    """Only `per_page` is documented [source]; `page` is sent from the second page on, so the first is asked for by the book."""
    params = {"per_page": str(ask.size)}
    if ask.number > 1:
        params["page"] = str(ask.number)
    return params


def _facts(fields: Mapping[str, JSON], headers: Mapping[str, str]) -> PageFacts:
    """`meta` holds these three, and no total [source]."""
    meta = fields.get("meta")
    if not isinstance(meta, dict):
        return PageFacts()
    return PageFacts(number=count(meta.get("page")), size=count(meta.get("per_page")), more=yes(meta.get("has_next")))


def _id_forms(call_id: str) -> tuple[str, ...]:
    """The list says "c123456" [source], the detail's path takes an integer, and its answer says "874" [detail]."""
    prefixed = _PREFIXED.fullmatch(call_id)
    if prefixed:
        return (call_id, prefixed[1])
    return (call_id, f"c{call_id}") if call_id.isascii() and call_id.isdigit() else (call_id,)


def _failure(status: int, body: JSON) -> Failure | None:
    """`{status: "error", message}` [source], perhaps with HTTP 200: the body decides, except over a server's failure."""
    if not isinstance(body, dict) or body.get("status") != "error":
        return Failure() if status >= 400 else None
    message = body.get("message")
    if not isinstance(message, str):
        return Failure(status=400 if status < 400 else None)
    if status < 500:
        for pattern, meant, naming in _MEANT:
            if pattern.match(message.strip()):
                return Failure(message=message, naming=naming, status=meant)
    return Failure(message=message, status=400 if status < 400 else None)


PROVIDER = Provider(
    name="salpre",
    title="Salpre",
    base_url="https://ai.salpre.com/api/gateway/v1",  # [source]
    headers=(Header(name="account-secret-key", setting="token"),),  # [source]
    listing=Listing(
        order=Order.NEWEST_FIRST,  # not documented; the example is in this order [source]
        path="/call/list",
        records=("data",),
        styles=(Style(name="page", params=_params),),
        page_sizes=(1000, 500, 100, 50, 10),  # neither default nor maximum is documented; the example asks for 10 [source]
        facts=_facts,
    ),
    detail=Detail(path="/call/{call}", record="data", id_forms=_id_forms),  # [detail]
    limit=None,  # nothing is documented
    lookback=timedelta(hours=2),
    call_id="call_id",
    cursor="started_at",
    statuses={
        "initiated": Status.QUEUED,  # [make]
        "completed": Status.COMPLETED,  # [source]
        "failed": Status.FAILED,  # [source]
    },
    fields=(
        Field(column="direction", key="direction", parse=direction),
        Field(column="from_address", key="from", parse=address),  # `salprebox:<serial>` [source]
        Field(column="to_address", key="to", parse=address),
        Field(column="agent_id", key="agent_id", parse=identifier),  # an integer [source], "string or integer" [make]
        Field(column="started_at", key="started_at", parse=instant),
        Field(column="ended_at", key="ended_at", parse=instant),
        Field(column="duration_seconds", key="duration_sec", parse=whole),
        Field(column="recording_url", key="audio_record_url", parse=text),  # the detail only [detail]
        Field(column="transcript", key="transcript", parse=text),  # the detail only [detail]
    ),
    late_parts=("transcript", "audio_record_url"),  # when they come is not documented [inferred]
    attributes_object="variables",  # free keys, the detail only [detail]
    volatile=frozenset({"audio_record_url"}),  # how long an address lives is not documented
    failure=_failure,
    links={
        "docs": "https://documentation.salpre.com/docs/apis/list-calls",
        "token": "Salpre dashboard, the account's secret key (where exactly is not documented: ask Salpre's support)",
    },
)
