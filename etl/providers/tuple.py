"""
Tuple's Usage API (alpha): its facts and status words, each with its source.

[source] https://docs.tuple.app/team-management/usage-api-alpha, read 2026-11.
[inferred] follows from the source, or is what a careful client assumes; `docs/providers/tuple.md` says what is verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from etl.addresses import next_link
from etl.model import JSON
from etl.provider import Ask, Children, Failure, Field, Header, Limit, Listing, Order, PageFacts, Provider, Style
from etl.records.parse import count, instant, text, whole


def _params(ask: Ask) -> Mapping[str, str]:
    """`since` is inclusive, `until` exclusive, both on `ended_at` [source]; with `Z`, since a raw `+` is a space in a query."""
    params = {"page": str(ask.number), "per_page": str(ask.size)}
    if ask.since is not None:
        params["since"] = _seconds(ask.since)
    if ask.until is not None:
        params["until"] = _seconds(ask.until)
    return params


def _seconds(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat() + "Z"


def _facts(fields: Mapping[str, JSON], headers: Mapping[str, str]) -> PageFacts:
    """`X-Total-Count` counts the whole window, `Link` holds `next` where another page follows [source]."""
    link = headers.get("link", "")
    found = next_link(link)
    return PageFacts(
        total=count(headers.get("x-total-count")),
        more=found is not None if link else None,
        next_link=found,
    )


def _failure(status: int, body: JSON) -> Failure | None:
    """Only the statuses are documented (401, 422, 429), no body [source]; the usual keys are read where they are there."""
    if status < 400:
        return None
    if not isinstance(body, dict):
        return Failure()
    return Failure(message=next((body[key] for key in ("message", "error") if isinstance(body.get(key), str)), None))


PROVIDER = Provider(
    name="tuple",
    title="Tuple",
    base_url="https://production.tuple.app",  # curl example of the page; an older crawl of it said app.tuple.app
    headers=(Header(name="Authorization", setting="token", template="Bearer {value}"),),  # [source]
    listing=Listing(
        order=Order.ASCENDING,  # "ended_at ascending" [source]; the order of equal ones is not documented
        path="/api/v2/call_usage",
        records=(),  # the body is the array [source]
        styles=(Style(name="page", params=_params),),
        page_sizes=(1000, 100),  # "Defaults to 100, maximum 1000" [source]
        facts=_facts,
    ),
    limit=Limit(requests=60, per=timedelta(minutes=1)),  # per team, all its tokens together [source]
    lookback=timedelta(hours=24),
    call_id="id",
    cursor="ended_at",  # the field that is filtered and sorted by [source]
    status=None,  # "Only completed calls are returned" [source]
    statuses={},
    fields=(
        Field(column="started_at", key="started_at", parse=instant),
        Field(column="ended_at", key="ended_at", parse=instant),
        Field(column="duration_seconds", key="duration_seconds", parse=whole),
    ),
    participants=Children(
        key="call_participations",
        id_key="id",
        fields=(
            Field(column="email", key="user.email", parse=text),  # guests and deleted users may have no `user` [inferred]
            Field(column="joined_at", key="joined_at", parse=instant),
            Field(column="left_at", key="left_at", parse=instant),
        ),
    ),
    failure=_failure,
    links={
        "docs": "https://docs.tuple.app/team-management/usage-api-alpha",
        "token": "Tuple dashboard, team management, API tokens (team owners and managers; access is enabled by Tuple's support)",
    },
)
