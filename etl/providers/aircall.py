"""
Aircall's Public API v1: its facts and status words, each with its source.

The reference could not be read whole, so most facts are those of people who transcribed or measured it, read 2026-11-25.
[source] https://support.aircall.io/en-gb/articles/34702023578397: paging and the 10,000 limit. [ref] client notes and typings
that quote the reference, partly measured in 2026-08. [field] programs that are run against real accounts.
[inferred] what a careful client assumes; `docs/providers/aircall.md` says what is verified.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

from etl.model import JSON, Status
from etl.provider import (
    Ask,
    Basic,
    Detail,
    Failure,
    Field,
    Limit,
    Listing,
    Order,
    PageFacts,
    Provider,
    Setting,
    Style,
    When,
)
from etl.records.parse import count, decimal_cents, direction, identifier, text, whole
from etl.records.values import callee, caller, epoch_seconds

_TODAY = ("available", "availability_status")  # how an agent is now, not how they were in the call [inferred]
_PEOPLE = ("user", "assigned_to", "transferred_by", "transferred_to", "transfered_by", "transfered_to")  # both spellings [ref]


def _params(ask: Ask) -> Mapping[str, str]:
    """`from` and `to` are Unix seconds of the creation, taken to be inclusive both [field]; fetch_* are left out [ref]."""
    params = {"order": "asc", "page": str(ask.number), "per_page": str(ask.size)}  # [ref]
    if ask.since is not None:
        params["from"] = str(math.floor(ask.since.timestamp()))
    if ask.until is not None:
        params["to"] = str(_last_before(ask.until))
    return params


def _last_before(until: datetime) -> int:
    return math.ceil(until.timestamp()) - 1


def _facts(fields: Mapping[str, JSON], headers: Mapping[str, str]) -> PageFacts:
    """`meta` holds count, total, current_page, per_page, next_page_link, previous_page_link [source]."""
    meta = fields.get("meta")
    if not isinstance(meta, dict):
        return PageFacts()
    link = meta.get("next_page_link")
    return PageFacts(
        total=count(meta.get("total")),
        number=count(meta.get("current_page")),
        size=count(meta.get("per_page")),
        more=isinstance(link, str) if "next_page_link" in meta else None,
        next_link=link if isinstance(link, str) else None,  # it drops fetch_* parameters [field], and is not followed
    )


def _failure(status: int, body: JSON) -> Failure | None:
    """
    `{error, troubleshoot}` comes from the application, `{message}` from the edge, which names no call [ref].

    403 means a wrong pair, not a missing right [ref, measured]. The 404 of an unknown call was seen nowhere: [inferred].
    """
    if status < 400:
        return None
    if not isinstance(body, dict):
        return Failure()
    error, message, how = (body[key] if isinstance(body.get(key), str) else None for key in ("error", "message", "troubleshoot"))
    naming = "call" if status == 404 and error is not None and how is not None else None
    return Failure(code=error, message=how or message, naming=naming, status=401 if status == 403 and error is None else None)


def _words(values: JSON) -> tuple[str, ...]:
    """`done` says only that a call is over: answered or not, and why not, say the other fields [ref]."""
    state, answered, voicemail, reason = values
    if state != "done":
        return (state,) if isinstance(state, str) else ()
    if answered is not None:
        return ("completed",)
    if voicemail is not None:
        return ("voicemail",)
    return (reason, "no_answer") if isinstance(reason, str) else ("no_answer",)


PROVIDER = Provider(
    name="aircall",
    title="Aircall",
    base_url="https://api.aircall.io/v1",  # [ref]
    headers=(),
    login=Basic(user=("api_id",)),  # the pair reaches the whole company [ref]
    own=(Setting(name="api_id"),),
    listing=Listing(
        order=Order.ASCENDING,  # by the creation, which the record does not hold; started_at is next to it [ref]
        path="/calls",
        records=("calls",),
        styles=(Style(name="page", params=_params),),
        page_sizes=(50, 20),  # maximum and default [source]
        facts=_facts,
    ),
    detail=Detail(  # the list holds the same record [ref]
        path="/calls/{call}", record="call", id_forms=lambda call_id: (call_id,), when=When.OPEN
    ),
    limit=Limit(requests=60, per=timedelta(minutes=1)),  # 120 by [ref], 60 by older texts; the company's programs share it
    rate_headers="X-AircallApi",  # on every answer [field], or only at the limit [ref]
    retention=timedelta(days=180),  # six months unless more was granted [ref]
    lookback=timedelta(hours=24),  # recordings and voicemail come after the end [ref]
    call_id="id",
    cursor="started_at",
    read_cursor=epoch_seconds,
    status=("status", "answered_at", "voicemail", "missed_call_reason"),
    words=_words,
    statuses={  # [ref]
        "initial": Status.RINGING,
        "answered": Status.IN_PROGRESS,
        "short_abandoned": Status.CANCELED,
        "abandoned_in_ivr": Status.CANCELED,
        "abandoned_in_classic": Status.CANCELED,
        "no_available_agent": Status.NO_ANSWER,
        "agents_did_not_answer": Status.NO_ANSWER,
        "out_of_opening_hours": Status.REJECTED,
    },
    fields=(
        Field(column="direction", key="direction", parse=direction),
        # `raw_digits` is the other party's number, or `anonymous` [ref].
        Field(column="from_address", key=("direction", "number.digits", "raw_digits"), parse=caller),
        Field(column="to_address", key=("direction", "number.digits", "raw_digits"), parse=callee),
        Field(column="agent_id", key="user.id", parse=identifier),
        Field(column="started_at", key="started_at", parse=epoch_seconds),
        Field(column="answered_at", key="answered_at", parse=epoch_seconds),
        Field(column="ended_at", key="ended_at", parse=epoch_seconds),
        Field(column="duration_seconds", key="duration", parse=whole),  # with the ringing [ref]
        Field(column="end_reason", key="missed_call_reason", parse=text),
        Field(column="cost", key="cost", parse=decimal_cents),  # U.S. cents, deprecated [ref]
        Field(column="recording_url", key="recording", parse=text),
        Field(column="recording_url", key="voicemail", parse=text),
    ),
    attributes=("sid", "asset", "archived", "country_code_a2", "pricing_type", "tags", "teams"),
    volatile=frozenset(
        {"recording", "voicemail", "recording_short_url", "voicemail_short_url", "number.open", "number.availability_status"}
        | {f"{person}.{state}" for person in _PEOPLE for state in _TODAY}
    ),
    ignored=frozenset(
        {"direct_link", "contact", "comments", "participants", "conference_participants", "hangup_cause", "ivr_options_selected"}
        | {"external_transferred_to", "external_caller_number", *_PEOPLE}
        | {f"user.{key}" for key in ("direct_link", "name", "email", "created_at", "time_zone", "language")}
        | {f"number.{key}" for key in ("id", "direct_link", "name", "country", "time_zone", "is_ivr", "live_recording_activated")}
        | {f"number.{key}" for key in ("priority", "messages", "created_at", "e164_digits")}
    ),
    failure=_failure,
    agent_name="user.name",  # [ref]
    agents_are_people=True,
    links={
        "docs": "https://developers.aircall.io/api-references",
        "api_id": "Aircall dashboard, company settings, API keys (the API ID)",
        "token": "Aircall dashboard, company settings, API keys (the API token)",
    },
)
