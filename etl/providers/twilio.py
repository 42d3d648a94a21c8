"""
Twilio's Programmable Voice, calls of the API 2010-04-01: its facts and status words, each with its source.

[source] https://github.com/twilio/twilio-oai, spec/json/twilio_api_v2010.json, release 2.6.7 of 2026-04-14, read 2026-11-25.
[field] programs that are run against real accounts. [inferred] what a careful client assumes; `docs/providers/twilio.md` says
what is verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

from etl.model import JSON, Drift, Status
from etl.provider import (
    Ask,
    Basic,
    Detail,
    Failure,
    Field,
    Listing,
    Order,
    PageFacts,
    Provider,
    Setting,
    Style,
    When,
    Window,
)
from etl.records.parse import Unfit, address, count, identifier
from etl.records.values import charge, currency, duration_text, first_of, rfc_2822

NOT_FOUND = 20404
_DIRECTIONS = {  # originating: from the telephone network to a trunk, and so to you [source]
    "inbound": "inbound",
    "trunking-originating": "inbound",
    "outbound-api": "outbound",
    "outbound-dial": "outbound",
    "trunking-terminating": "outbound",
}


def _params(ask: Ask) -> Mapping[str, str]:
    """
    The sign of a comparison is part of the parameter's name [source]. Days are sent, since it is nowhere said whether the time of
    day counts. The address of the next page carries them too.
    """
    if ask.after is not None:
        return dict(parse_qsl(urlsplit(ask.after).query, keep_blank_values=True))
    params = {"PageSize": str(ask.size)}
    if ask.since is not None:
        params["StartTime>"] = ask.since.date().isoformat()
    if ask.until is not None:
        params["StartTime<"] = ask.until.date().isoformat()
    return params


def _facts(fields: Mapping[str, JSON], headers: Mapping[str, str]) -> PageFacts:
    """There is no total; `start` and `end` say the same of no call as of one, and `page` is the client's own [source]."""
    following = fields.get("next_page_uri")
    link = following if isinstance(following, str) else None
    return PageFacts(
        size=count(fields.get("page_size")),
        more=link is not None if "next_page_uri" in fields else None,
        next_link=link,
        after=link,
    )


def _failure(status: int, body: JSON) -> Failure | None:
    """`{code, message, more_info, status}`; code and more_info may be missing. 20404 is any path that does not exist [source]."""
    if status < 400:
        return None
    if not isinstance(body, dict):
        return Failure()
    code, message = body.get("code"), body.get("message")
    told = message if isinstance(message, str) else None
    naming = "call" if status == 404 and code == NOT_FOUND and "/Calls.json" not in (told or "") else None
    return Failure(code=str(code) if isinstance(code, (int, str)) else None, message=told, naming=naming)


def _direction(value: JSON) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Unfit(Drift.WRONG_TYPE)
    if value not in _DIRECTIONS:
        raise Unfit(Drift.OUT_OF_RANGE)
    return _DIRECTIONS[value]


PROVIDER = Provider(
    name="twilio",
    title="Twilio",
    base_url="https://api.twilio.com/2010-04-01",  # [source]
    headers=(),
    login=Basic(user=("key_sid", "account_sid")),  # with a key the path still names the account [source]
    own=(Setting(name="account_sid", secret=False), Setting(name="key_sid", required=False, secret=False)),
    listing=Listing(
        order=Order.NEWEST_FIRST,  # by the start, nothing changes it [field]
        path="/Accounts/{account_sid}/Calls.json",
        records=("calls",),
        styles=(Style(name="token", by_token=True, params=_params),),
        page_sizes=(1000, 50),  # maximum and default [source]
        facts=_facts,
        # "Before this date" since 2026-02, "on or before midnight of" until then: nobody knows what the upper bound includes.
        window=Window(grain=timedelta(days=1), until_included=None),
    ),
    detail=Detail(  # the list holds the same record, late prices too [source]
        path="/Accounts/{account_sid}/Calls/{call}.json", record=None, id_forms=lambda call_id: (call_id,), when=When.OPEN
    ),
    deletion="/Accounts/{account_sid}/Calls/{call}.json",  # 204; of one that has not ended it is refused [source]
    lookback=timedelta(hours=72),  # prices "may not be immediately available" [source]; three days are read again [field]
    call_id="sid",
    cursor=("start_time", "date_created"),  # a queued call has not started [source]
    read_cursor=first_of(rfc_2822),
    statuses={  # [source]; initiated stands in no list of words, and is told by webhooks
        "queued": Status.QUEUED,
        "initiated": Status.QUEUED,
        "ringing": Status.RINGING,
        "in-progress": Status.IN_PROGRESS,
        "completed": Status.COMPLETED,
        "busy": Status.BUSY,
        "failed": Status.FAILED,
        "no-answer": Status.NO_ANSWER,
        "canceled": Status.CANCELED,
    },
    fields=(
        Field(column="direction", key="direction", parse=_direction),
        Field(column="from_address", key="from", parse=address),  # or a SIP address, `client:…`, `sim:…` [source]
        Field(column="to_address", key="to", parse=address),
        Field(column="created_at", key="date_created", parse=rfc_2822),
        Field(column="started_at", key="start_time", parse=rfc_2822),
        Field(column="ended_at", key="end_time", parse=rfc_2822),
        Field(column="duration_seconds", key="duration", parse=duration_text),
        Field(column="cost", key="price", parse=charge),  # negative text, null until it is known [source]
        Field(column="currency", key="price_unit", parse=currency),
        Field(column="parent_call_id", key="parent_call_sid", parse=identifier),  # of the legs of a forwarded call [source]
    ),
    attributes=(
        "direction",
        "answered_by",
        "phone_number_sid",
        "forwarded_from",
        "caller_name",
        "trunk_sid",
        "group_sid",
        "queue_time",
        "api_version",
    ),
    # How things are displayed and linked changes with Twilio's releases, not with the call [inferred].
    volatile=frozenset({"date_updated", "uri", "subresource_uris", "from_formatted", "to_formatted"}),
    ignored=frozenset({"annotation"}),
    failure=_failure,
    organization="account_sid",  # subaccounts are accounts of their own [inferred]
    links={
        "docs": "https://www.twilio.com/docs/voice/api/call-resource",
        "account_sid": "Twilio console, Account Info (begins with AC)",
        "token": "Twilio console, Account Info (Auth Token), or the secret of the API key that key_sid names",
    },
)
