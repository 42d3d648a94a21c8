"""Each mistake that somebody can make in a form is found by the kit, and what is said of it says what to change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from etl.model import JSON, Status
from etl.provider import Ask, ClientCredentials, Failure, Field, Header, Order, PageFacts, Provider, Setting, Window
from etl.records.parse import count, instant
from etl.records.values import epoch_millis, epoch_seconds
from etl.testing import Unproven, check
from tests.providers.documented import acme, acme_payloads
from tests.providers.packaged import retell, retell_payloads

ACME, PAYLOADS = acme(), acme_payloads()
LISTING, DETAIL = ACME.listing, ACME.detail
STYLE, PARAMS = "listing.styles[page]", "listing.styles[page].params"


def listing(**other: Any) -> Provider:
    """Return the example with another listing."""
    return replace(ACME, listing=replace(LISTING, **other))


def asking(params: Callable[[Ask], Mapping[str, str]], **other: Any) -> Provider:
    """Return the example with another way to ask."""
    return listing(styles=(replace(LISTING.styles[0], params=params, **other),))


def reading(facts: Callable[[Mapping[str, JSON], PageFacts], PageFacts]) -> Provider:
    """Return the example, which reads something else of pages."""
    return listing(facts=lambda fields, headers: facts(fields, LISTING.facts(fields, headers)))


def field(of: str, **other: Any) -> Provider:
    """Return the example with another field for a column."""
    return replace(ACME, fields=tuple(replace(one, **other) if one.column == of else one for one in ACME.fields))


def detail(**other: Any) -> Provider:
    """Return the example with another detail."""
    return replace(ACME, detail=replace(DETAIL, **other))  # type: ignore[type-var]


def failing(failure: Callable[[int, JSON], Failure | None]) -> Provider:
    """Return the example, which understands errors otherwise."""
    return replace(ACME, failure=failure)


def taking_401_for_400(status: int, body: JSON) -> Failure | None:
    """Understand a refused credential as a refused page."""
    failure = ACME.failure(status, body)
    return replace(failure, status=400) if failure is not None and status == 401 else failure


MISTAKES: dict[str, tuple[Provider, str, str]] = {
    # What the call is, and when.
    "the cursor's key does not exist": (replace(ACME, cursor="created_at"), "cursor", "`created` (instant)"),
    "the cursor comes only with the end": (replace(ACME, cursor="ended"), "cursor", "`created` (instant)"),
    "the cursor's parser is for numbers": (replace(ACME, read_cursor=epoch_millis), "cursor", "read_cursor=instant"),
    "the id's key does not exist": (replace(ACME, call_id="id"), "call_id", "`uid`"),
    # How pages are asked for.
    "the page size has another name": (
        asking(lambda ask: {"page": str(ask.number), "per_page": str(ask.size)}),
        PARAMS,
        "calls it `size`",
    ),
    "the page number has another name": (
        asking(lambda ask: {"p": str(ask.number), "size": str(ask.size)}),
        PARAMS,
        "calls it `page`",
    ),
    "the page number is left out": (
        asking(lambda ask: {"size": str(ask.size)}),
        PARAMS,
        "sends it, as '2'",
    ),
    "something more is sent": (
        asking(lambda ask: {"page": str(ask.number), "size": str(ask.size), "sort": "-created"}),
        PARAMS,
        "leave it out",
    ),
    "pages are counted from zero": (
        asking(lambda ask: {"page": str(ask.number - 1), "size": str(ask.size)}),
        PARAMS,
        "has '2' there",
    ),
    "each page is the same": (
        asking(lambda ask: {"page": "2", "size": str(ask.size)}),
        STYLE,
        "Send ask.number",
    ),
    "the page size stands fast": (
        asking(lambda ask: {"page": str(ask.number), "size": "50"}),
        STYLE,
        "Send ask.size",
    ),
    "it is asked by POST": (
        asking(LISTING.styles[0].params, body=lambda ask: {"page": ask.number}),
        STYLE,
        "`body`",
    ),
    "tokens that nobody sends": (asking(LISTING.styles[0].params, by_token=True), "listing.facts", "PageFacts(after=…)"),
    "the path is another": (listing(path="/v1/calls"), "listing.path", "'/calls'"),
    "the path has no slash": (listing(path="calls"), "listing.path", "'/calls'"),
    "the path names what is not known": (listing(path="/{account}/calls"), "listing.path", 'Setting(name="account"'),
    "the path has agents, and there are none": (listing(path="/agents/{stream}/calls"), "listing.path", "`agents`"),
    "the smallest page first": (listing(page_sizes=(50, 200)), "listing.page_sizes", "largest"),
    "two styles of one name": (listing(styles=LISTING.styles * 2), "listing.styles", "its own"),
    "the order is the other one": (listing(order=Order.ASCENDING), "listing.order", "NEWEST_FIRST"),
    "a window that nobody asks for": (listing(window=Window()), STYLE, "changes with `ask.since`"),
    "a window of a list in ascending order": (listing(window=Window(), order=Order.ASCENDING), "listing.window", "Leave it out"),
    "short windows that begin nowhere": (
        listing(window=Window(longest=timedelta(days=30))),
        "retention",
        "how far back",
    ),
    "tokens are fetched without TLS": (
        replace(ACME, login=ClientCredentials(user=("token",), address="http://auth.example.com/token"), headers=()),
        "login.address",
        "https://",
    ),
    # What pages say.
    "the list stands under another key": (listing(records=("data",)), "listing.records", 'records=("calls",)'),
    "the body is not the list": (listing(records=()), "listing.records", 'records=("calls",)'),
    "nothing is read of pages": (reading(lambda fields, facts: PageFacts()), "listing.facts", "stands in `count`"),
    "the total has another key": (
        reading(lambda fields, facts: replace(facts, total=count(fields.get("total")))),
        "listing.facts",
        "total=250. It stands in `count`",
    ),
    "the end is read the wrong way round": (
        reading(lambda fields, facts: replace(facts, more=not facts.more)),
        "listing.facts",
        "The page says more=True",
    ),
    "what a page says is taken for granted": (
        reading(lambda fields, facts: replace(facts, more=not fields["lasts"])),
        "listing.facts",
        "look before you take",
    ),
    # What a call's record says.
    "a word of status is missing": (
        replace(ACME, statuses={word: status for word, status in ACME.statuses.items() if word != "talking"}),
        "statuses",
        '"talking": Status.',
    ),
    "a word of status means something else": (
        replace(ACME, statuses={**ACME.statuses, "missed": Status.BUSY}),
        "statuses",
        "no_answer",
    ),
    "the status has another key": (replace(ACME, status="status"), "status", "Name the key of the word"),
    "a key is misspelt": (field("from_address", key="caler.number"), "fields", "did you mean `caller"),
    "a parser is for numbers": (field("ended_at", parse=epoch_millis), "fields (key ended)", "read by `instant`"),
    "two columns are exchanged": (field("from_address", key="callee.number"), "fields[from_address]", "`callee.number`"),
    "a column does not exist": (field("ended_at", column="end_at"), "fields[end_at]", "`ended_at`"),
    "a column is the program's own": (field("ended_at", column="occurred_at"), "fields[occurred_at]", "by the program"),
    "the status is a field": (field("ended_at", column="status"), "fields[status]", "`statuses`"),
    "a key is known to nobody": (replace(ACME, attributes=()), "fields", 'attributes=("campaign",)'),
    # A call's detail, and errors.
    "the detail's path has no id": (detail(path="/call"), "detail.path", "{call}"),
    "the detail's path is another": (detail(path="/call/{call}"), "detail.path", "'/calls/a1'"),
    "the detail stands under no key": (detail(record=None), "detail.record", "`call`"),
    "the detail stands under another key": (detail(record="data"), "detail.record", "`call`"),
    "an id is never asked for as it is": (detail(id_forms=lambda call_id: (f"c{call_id}",)), "detail.id_forms", "itself first"),
    "open calls cannot be followed": (replace(ACME, detail=None), "detail", "until they end"),
    "a late part is misspelt": (replace(ACME, late_parts=("transcrpt",)), "late_parts", "`transcript`"),
    "no error names a call": (failing(lambda status, body: None if status < 400 else Failure()), "payloads.failures", "naming"),
    "every 404 names a call": (
        failing(lambda status, body: None if status < 400 else Failure(naming="call" if status == 404 else None)),
        "failure",
        "a proxy's 404 would delete calls",
    ),
    "no error is one": (failing(lambda status, body: None), "failure", "400 or above"),
    "an error's body is taken for granted": (
        failing(lambda status, body: None if status < 400 else Failure(code=body["error"]["code"])),
        "failure",
        "look before you take",
    ),
    "a refused credential is taken for something else": (failing(taking_401_for_400), "failure", "`status`"),
    # The head of the form.
    "the header has no place for the token": (
        replace(ACME, headers=(Header(name="Authorization", setting="token", template="Bearer"),)),
        "headers[Authorization]",
        "Bearer {value}",
    ),
    "no token is sent": (replace(ACME, headers=()), "headers", "`token`"),
    "a setting is not declared": (
        replace(ACME, headers=(*ACME.headers, Header(name="x-key", setting="key_id"))),
        "own",
        'Setting(name="key_id")',
    ),
    "a setting's place is not told": (
        replace(ACME, own=(Setting(name="key_id"),)),
        'links["key_id"]',
        "where users find it",
    ),
    "the address is not encrypted": (replace(ACME, base_url="http://api.example.com/v2"), "base_url", "https://"),
    "the name is none": (replace(ACME, name="Acme Voice"), "name", "Small letters"),
    "nothing may come late": (replace(ACME, lookback=-ACME.lookback), "lookback", "timedelta"),
}


RETELL, RETELL_PAYLOADS = retell(), retell_payloads()
TOKENS = "listing.styles[with_total]"


def by_token(body: Callable[[Ask, JSON], JSON] | None, **other: Any) -> Provider:
    """Return the example of tokens, POST and milliseconds, which asks otherwise."""
    first, *rest = RETELL.listing.styles
    ask = None if body is None else lambda asked: body(asked, first.body(asked))
    return replace(RETELL, listing=replace(RETELL.listing, styles=(replace(first, body=ask), *rest), **other))


def filtered(ask: Ask, body: JSON, bounds: Callable[[datetime], JSON]) -> JSON:
    """Return a body whose bounds are written otherwise."""
    if ask.since is None or ask.until is None:
        return body
    value = [bounds(ask.since), bounds(ask.until)]
    return body | {"filter_criteria": {"start_timestamp": {"type": "range", "op": "bt", "value": value}}}


def without(body: JSON, key: str) -> JSON:
    """Return a body without a key."""
    return {name: value for name, value in body.items() if name != key}


def leading_by(key: str) -> Provider:
    """Return the example, which takes what leads on from another key."""
    listing = replace(RETELL.listing, facts=lambda fields, headers: PageFacts(total=fields.get("total"), after=fields.get(key)))
    return replace(RETELL, listing=listing)


FILTER = "filter_criteria.start_timestamp.value.0"
TOKEN_MISTAKES: dict[str, tuple[Provider, str, str]] = {
    "the token has another key": (leading_by("next_token"), "listing.facts", "It stands in `pagination_key`"),
    "the token is not sent": (by_token(lambda ask, body: without(body, "pagination_key")), f"{TOKENS}.body", "`pagination_key`"),
    "pages are asked for by GET": (by_token(None), TOKENS, "`body`"),
    "there is no filter": (by_token(lambda ask, body: without(body, "filter_criteria")), f"{TOKENS}.body", FILTER),
    "bounds are texts": (
        by_token(lambda ask, body: filtered(ask, body, datetime.isoformat)),
        f"{TOKENS}.body",
        "a number in the place of a text",
    ),
    "bounds are seconds": (
        by_token(lambda ask, body: filtered(ask, body, lambda at: int(at.timestamp()))),
        f"{TOKENS}.body",
        "1795391999999",
    ),
    "the cursor is read as seconds": (replace(RETELL, read_cursor=epoch_seconds), "cursor", "read_cursor=epoch_millis"),
    "a plain list": (by_token(lambda ask, body: body, order=Order.NEWEST_FIRST), "listing.order", "filtered by the cursor"),
    "a credential is kept": (replace(RETELL, never_stored=frozenset()), "never_stored", '{"access_token"}'),
    "a signed address is compared": (replace(RETELL, volatile=frozenset()), "volatile", '{"recording_url"}'),
    "the reason is not looked at": (replace(RETELL, words=lambda values: (values[0],)), "status", "disconnection_reason"),
    "an unknown call keeps its status": (
        replace(
            RETELL,
            failure=lambda status, body: (
                replace(RETELL.failure(status, body) or Failure(), status=None) if status >= 400 else None
            ),
        ),
        "payloads.failures",
        'naming="call"',
    ),
}
EVERY = {name: (*mistake, PAYLOADS) for name, mistake in MISTAKES.items()}
EVERY |= {name: (*mistake, RETELL_PAYLOADS) for name, mistake in TOKEN_MISTAKES.items()}


@pytest.mark.parametrize(("provider", "place", "change", "payloads"), EVERY.values(), ids=list(EVERY))
def test_a_mistake_is_found_and_its_mending_said(provider: Provider, place: str, change: str, payloads: JSON) -> None:
    """Of all that is said, something names this place of the form and this change."""
    with pytest.raises(Unproven) as found:
        check(provider, payloads)

    said = [f"{fault.seen} {fault.change}" for fault in found.value.faults if fault.place == place]
    assert any(change in one for one in said), found.value


def test_what_no_payload_contradicts_is_believed() -> None:
    """Whole rows are an offer: without them, a field more is nobody's mistake."""
    fields = (*ACME.fields, Field(column="started_at", key="created", parse=instant))
    payloads = {**PAYLOADS, "calls": [{key: value for key, value in case.items() if key != "row"} for case in PAYLOADS["calls"]]}

    assert check(replace(ACME, fields=fields), payloads).calls == 11
