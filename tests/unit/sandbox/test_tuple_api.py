"""Tuple's Usage API over real HTTP: every rule that its page states."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

PATH = "/api/v2/call_usage"
WIDE = {"since": "2026-02-01T00:00:00Z", "until": "2026-03-01T12:00:00Z"}


def links(response: Any) -> dict[str, str]:
    """Read the Link header: relation → address."""
    found = {}
    for part in response.headers.get("link", "").split(", "):
        if part:
            address, _, relation = part.partition("; ")
            found[relation.removeprefix('rel="').removesuffix('"')] = address[1:-1]
    return found


def ended(record: Any) -> datetime:
    return datetime.fromisoformat(record["ended_at"])


def test_the_body_is_a_list_sorted_by_its_end_and_the_total_stands_in_a_header(ask: Any) -> None:
    """A page holds 100 calls unless asked otherwise, oldest end first; `X-Total-Count` counts the whole window."""
    response = ask.get("tuple", PATH, **WIDE)
    truth = [call for call in ask.sandbox.truth("tuple") if call["ended_at"] < "2026-03-01T12:00:00.000Z"]
    assert response.status == 200 and len(response.json) == 100
    assert response.headers["x-total-count"] == str(len(truth))
    assert all(ended(one) <= ended(other) for one, other in pairwise(response.json))


def test_since_is_inclusive_and_until_exclusive(ask: Any) -> None:
    """Windows that touch hold every call once."""
    middle = ask.sandbox.truth("tuple")[150]["ended_at"]
    upper = ask.get("tuple", PATH, since=middle, until=WIDE["until"], per_page=1000).json
    lower = ask.get("tuple", PATH, since=WIDE["since"], until=middle, per_page=1000).json
    whole = ask.get("tuple", PATH, **WIDE, per_page=1000).json
    assert upper[0]["ended_at"] == middle and all(call["ended_at"] < middle for call in lower)
    assert sorted(call["id"] for call in lower + upper) == sorted(call["id"] for call in whole)


def test_until_defaults_to_the_servers_now(ask: Any) -> None:
    """Without `until` the window ends at the virtual now; the links do not invent one."""
    before = int(ask.get("tuple", PATH, since=WIDE["since"]).headers["x-total-count"])
    ask.sandbox.history.advance(timedelta(hours=3))
    response = ask.get("tuple", PATH, since=WIDE["since"])
    assert int(response.headers["x-total-count"]) > before
    assert "until" not in links(response)["next"]


def test_links_lead_through_all_pages_and_back(ask: Any) -> None:
    """`next` and `prev` are absolute, carry the whole query, and are absent at the ends; a page past the end is empty."""
    first = ask.get("tuple", PATH, **WIDE, per_page=120)
    assert list(links(first)) == ["next"] and links(first)["next"].startswith(ask.sandbox.url("tuple") + PATH + "?")
    second = ask.send("GET", links(first)["next"], ask.credential("tuple"))
    assert list(links(second)) == ["prev", "next"] and len(second.json) == 120
    assert not {call["id"] for call in first.json} & {call["id"] for call in second.json}
    last = second
    while "next" in links(last):
        last = ask.send("GET", links(last)["next"], ask.credential("tuple"))
    assert list(links(last)) == ["prev"]
    past = ask.get("tuple", PATH, **WIDE, per_page=120, page=99)
    assert past.json == [] and past.headers["x-total-count"] == first.headers["x-total-count"]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"since": "yesterday"},
        {"since": "2026-02-01T00:00:00 00:00"},
        {**WIDE, "until": "2026-13-01T00:00:00Z"},
        {**WIDE, "page": 0},
        {**WIDE, "page": "two"},
        {**WIDE, "per_page": 0},
    ],
)
def test_a_missing_since_and_malformed_values_answer_422(ask: Any, query: dict[str, object]) -> None:
    """`since` is required; what cannot be read is refused."""
    assert ask.get("tuple", PATH, **query).status == 422


def test_a_page_over_the_maximum_is_cut_to_it_or_refused_as_the_switch_says(ask: Any) -> None:
    """1,000 is the maximum; what happens above is not documented."""
    ask.sandbox.switches.tuple.maximum = 50
    assert len(ask.get("tuple", PATH, **WIDE, per_page=51).json) == 50
    ask.sandbox.switches.tuple.over_maximum = "refused"
    assert ask.get("tuple", PATH, **WIDE, per_page=51).status == 422


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer sk-tuple-wrong"}, {"X-Api-Key": "sk-tuple-sandbox-of-the-main-team"}]
)
def test_only_a_valid_bearer_token_is_accepted(ask: Any, headers: dict[str, str]) -> None:
    """Everything else answers 401."""
    assert ask.get("tuple", PATH, headers=headers, **WIDE).status == 401


def test_calls_of_one_instant_change_their_order_between_requests_across_pages(ask: Any) -> None:
    """No tie-breaker is documented: 2,500 calls with one end come in another order each time, and none twice in one request."""
    at = ask.sandbox.history.now - timedelta(hours=20)
    ids = {int(one) for one in ask.sandbox.history.add("tuple", number=2500, at=at)}
    window = {"since": at.isoformat().replace("+00:00", "Z"), "until": WIDE["until"], "per_page": 1000}
    once, again = (ask.get("tuple", PATH, **window).json for _ in range(2))
    assert {call["ended_at"] for call in once} == {at.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    assert {call["id"] for call in once} <= ids and len({call["id"] for call in once}) == 1000
    assert {call["id"] for call in once} != {call["id"] for call in again}


def test_another_path_is_not_found(ask: Any) -> None:
    """There is one endpoint."""
    assert ask.get("tuple", "/api/v2/users").status == 404
