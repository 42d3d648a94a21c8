"""The faults: each switch does what it says, and stops when it should."""

from __future__ import annotations

import http.client
import json
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from etl.sandbox import History
from etl.sandbox.births import PROVIDERS
from etl.sandbox.lives.twilio import ACCOUNT_SIDS
from tests.unit.sandbox.identity import identity

WIDE = "/api/v2/call_usage?since=2026-01-01T00:00:00Z"
LISTS = {
    "tuple": WIDE,
    "salpre": "/call/list",
    "krosai": "/calls",
    "aircall": "/calls",
    "twilio": f"/Accounts/{ACCOUNT_SIDS['main']}/Calls.json",
}


def rows(body: Any) -> list[Any]:
    return body if isinstance(body, list) else body.get("data") or body.get("calls", [])


def test_a_cut_connection_brings_no_response(ask: Any) -> None:
    """For as many requests as asked; then all is well."""
    ask.sandbox.faults.add("cut", provider="tuple", times=2)
    for _ in range(2):
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            ask.get("tuple", WIDE)
    assert ask.get("tuple", WIDE).status == 200
    assert [entry.status for entry in ask.sandbox.requests("tuple")] == [0, 0, 200]


def test_a_hang_ends_without_a_response(ask: Any) -> None:
    """Nothing comes for a while, then the connection ends."""
    ask.sandbox.faults.add("hang", times=1, seconds=0.01)
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        ask.get("tuple", WIDE)


def test_a_truncated_body_is_shorter_than_its_length_says(ask: Any) -> None:
    """Half of it arrives."""
    ask.sandbox.faults.add("truncate", times=1)
    with pytest.raises(http.client.IncompleteRead):
        ask.get("krosai", "/calls")


def test_a_slow_response_is_a_whole_one(ask: Any) -> None:
    """It comes later, and complete."""
    ask.sandbox.faults.add("slow", times=1, seconds=0.01)
    assert ask.get("krosai", "/calls").json["total"] == len(ask.sandbox.truth("krosai"))


@pytest.mark.parametrize(("kind", "status"), [("status_500", 500), ("status_502", 502), ("status_503", 503), ("html_200", 200)])
def test_some_errors_are_pages_of_html(ask: Any, kind: str, status: int) -> None:
    """As a proxy sends them."""
    ask.sandbox.faults.add(kind, times=1)
    response = ask.get("bimpe", "/agents")
    assert (response.status, response.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert response.body.startswith(b"<!DOCTYPE html>")


def test_invalid_json_says_that_it_is_json(ask: Any) -> None:
    """And is none."""
    ask.sandbox.faults.add("invalid_json", times=1)
    response = ask.get("bimpe", "/agents")
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    with pytest.raises(json.JSONDecodeError):
        _ = response.json


@pytest.mark.parametrize("after", [7, 0.25, "date", "body", "none"])
def test_429_tells_the_wait_in_every_form(ask: Any, after: object) -> None:
    """Seconds, a fraction, a date by the server's clock, in the body only, or not at all; it is no violation of the limit."""
    ask.sandbox.faults.add("rate_limited", times=1, retry_after=after)
    response = ask.get("krosai", "/calls")
    assert response.status == 429
    header = response.headers.get("retry-after")
    if after == "date":
        assert parsedate_to_datetime(header) == ask.sandbox.history.now.replace(microsecond=0) + timedelta(seconds=2)
    else:
        assert header == (None if after in ("body", "none") else str(after))
    assert response.json.get("retry_after") == (0.3 if after == "body" else None)
    assert ask.sandbox.violations("krosai") == 0


def test_control_characters_stand_raw_inside_strings_and_change_no_value(ask: Any) -> None:
    """A lenient reader reads the same records; a new field appears where there was nothing to unescape."""
    agent = ask.sandbox.history.agents()[0]["id"]
    path = f"/agents/{agent}/calls"
    clean = ask.get("bimpe", path, limit=100, sort="created_on").json
    ask.sandbox.faults.add("control_characters")
    spoiled = ask.get("bimpe", path, limit=100, sort="created_on").body.decode()
    with pytest.raises(json.JSONDecodeError):
        json.loads(spoiled)
    assert json.loads(spoiled, strict=False) == clean
    pairing = json.loads(ask.get("tuple", WIDE).body.decode(), strict=False)
    assert pairing[0]["note"] == "bell \x07 and tab \t"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_outage_answers_200_with_nothing(ask: Any, provider: str) -> None:
    """Lists are empty with a total of 0, and every call is not found."""
    ask.sandbox.faults.add("outage_empty")
    call = ask.sandbox.truth(provider)[0]
    if provider == "tuple":
        response = ask.get("tuple", WIDE)
        assert (response.status, response.json, response.headers["x-total-count"]) == (200, [], "0")
        return
    if provider == "bimpe":
        agents = ask.get("bimpe", "/agents").json
        assert (agents["data"], agents["meta"]["total_count"]) == ([], 0)
        agent = ask.sandbox.history.agents()[0]["id"]
        body = ask.get("bimpe", f"/agents/{agent}/calls").json
        assert (body["data"], body["meta"]["total_count"], body["meta"]["has_next_page"]) == ([], 0, False)
        detail = ask.get("bimpe", f"/agents/{agent}/calls/{call['id']}")
    else:
        body = ask.get(provider, LISTS[provider]).json
        assert rows(body) == [] and body.get("total", 0) == body.get("meta", {}).get("total", 0) == 0
        paths = {
            "salpre": f"/call/{str(identity(call))[1:]}",
            "twilio": LISTS["twilio"].replace(".json", f"/{identity(call)}.json"),
        }
        detail = ask.get(provider, paths.get(provider, f"/calls/{identity(call)}"))
    assert detail.status == 404


@pytest.mark.parametrize("provider", ["tuple", "salpre", "krosai", "aircall", "twilio"])
def test_another_accounts_calls_come_with_the_own_token(ask: Any, provider: str) -> None:
    """The token is accepted, and none of the own calls is seen."""
    ask.sandbox.faults.add("other_account")
    shown = set(map(identity, rows(ask.get(provider, LISTS[provider]).json)))
    assert shown and shown <= set(map(identity, ask.sandbox.history.truth(provider, account="other")))


@pytest.mark.parametrize("provider", ["tuple", "salpre", "krosai"])
def test_an_ignored_page_is_page_one(ask: Any, provider: str) -> None:
    """The same calls come again (ties apart)."""
    ask.sandbox.faults.add("page_ignored")
    size = {"limit": 10} if provider == "krosai" else {"per_page": 10}
    path = "/api/v2/call_usage" if provider == "tuple" else LISTS[provider]
    window = {"since": "2026-01-01T00:00:00Z"} if provider == "tuple" else {}
    key = "call_id" if provider == "salpre" else "id"
    pages = [{call[key] for call in rows(ask.get(provider, path, **size, **window, page=page).json)} for page in (1, 2)]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_unsorted_list_is_complete_and_stands_in_no_order(ask: Any, provider: str) -> None:
    """Paging still reads every call once."""
    ask.sandbox.faults.add("unsorted")
    agent = ask.sandbox.history.agents()[0]["id"] if provider == "bimpe" else ""
    cursor = {
        "tuple": "ended_at",
        "bimpe": "created_on",
        "salpre": "started_at",
        "krosai": "created_at",
        "aircall": "started_at",
        "twilio": "date_created",
    }[provider]
    read = [call[cursor] for call in ask.read(provider, agent)]
    truth = sorted(call[cursor] for call in ask.sandbox.truth(provider, agent or None))
    assert sorted(read) == truth and read not in (truth, truth[::-1])


@pytest.mark.parametrize("provider", ["tuple", "salpre", "krosai"])
def test_a_clamped_page_is_smaller_than_asked(ask: Any, provider: str) -> None:
    """Without a word in Tuple; the others' meta says the size that was used."""
    ask.sandbox.faults.add("clamp", size=5)
    assert len(rows(ask.get(provider, LISTS[provider]).json)) == 5


def test_an_endless_next_never_says_that_it_was_the_last_page(ask: Any) -> None:
    """Every page says that another follows, past the end as well."""
    ask.sandbox.faults.add("endless_next")
    assert 'page=501>; rel="next"' in ask.get("tuple", WIDE + "&page=500").headers["link"]
    assert ask.get("salpre", "/call/list", page=500).json["meta"]["has_next"] is True
    beyond = ask.get("krosai", "/calls", page=500).json
    assert beyond["data"] == [] and beyond["total_pages"] > 500
    agent = ask.sandbox.history.agents()[0]["id"]
    assert ask.get("bimpe", f"/agents/{agent}/calls", page=500).json["meta"]["has_next_page"] is True


def test_a_foreign_next_and_a_redirect_lead_to_another_origin(ask: Any) -> None:
    """The origin can be one that the test listens on."""
    ask.sandbox.faults.add("foreign_next", origin="http://127.0.0.1:9")
    assert "<http://127.0.0.1:9/api/v2/call_usage?" in ask.get("tuple", WIDE).headers["link"]
    ask.sandbox.faults.add("redirect", times=1)
    response = ask.get("tuple", WIDE)
    assert (response.status, response.headers["location"]) == (302, "http://foreign.example.test/elsewhere")


def test_a_huge_response_comes_in_chunks_without_a_length(ask: Any) -> None:
    """Of about the size asked for."""
    ask.sandbox.faults.add("huge", times=1, bytes=1_000_000)
    response = ask.get("tuple", WIDE)
    assert "content-length" not in response.headers and len(response.body) >= 1_000_000


def test_a_token_is_revoked_after_so_many_requests(ask: Any) -> None:
    """From then on every request answers 401."""
    ask.sandbox.faults.add("revoke", provider="tuple", after=2, times=1)
    assert [ask.get("tuple", WIDE).status for _ in range(4)] == [200, 200, 401, 401]
    assert ask.get("salpre", "/call/list").status == 200


def test_a_fault_can_wait_and_choose_its_path(ask: Any) -> None:
    """Only requests to the provider whose path holds the text count."""
    ask.sandbox.faults.add("status_500", provider="krosai", path="/calls/", after=1, times=1)
    call = ask.sandbox.truth("krosai")[0]["id"]
    statuses = [
        ask.get("krosai", path).status for path in ("/calls", f"/calls/{call}", "/calls", f"/calls/{call}", f"/calls/{call}")
    ]
    assert statuses == [200, 200, 200, 500, 200]


def test_a_mix_meets_its_share_of_the_requests_with_every_kind_the_same_for_one_seed(serve: Any) -> None:
    """A rate of 0.5 meets about half of 400 requests; the same seed meets the same ones."""
    runs = []
    for _ in range(2):
        faults = serve(History(21, calls_per_day=dict.fromkeys(PROVIDERS, 0))).sandbox.faults
        faults.mix(0.5)
        runs.append(
            [[fault.kind for fault in faults.meeting(provider="tuple", path="/", number=number)] for number in range(400)]
        )
    kinds = [kind for met in runs[0] for kind in met]
    assert runs[0] == runs[1] and 150 < len(kinds) < 250
    assert set(kinds) == {"cut", "truncate", "hang", "slow", "status_500", "status_502", "status_503", "rate_limited", "html_200",
                          "invalid_json", "control_characters"}  # fmt: skip
    faults.clear()
    assert faults.meeting(provider="tuple", path="/", number=1) == []


def test_unknown_faults_and_options_are_refused(ask: Any) -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match="there are cut, truncate"):
        ask.sandbox.faults.add("earthquake")
    with pytest.raises(ValueError, match="it has seconds"):
        ask.sandbox.faults.add("slow", minutes=1)


def krosai_page(ask: Any, **query: object) -> tuple[list[str], dict[str, Any]]:
    """Return the ids of a page of ten calls, and what it says of itself."""
    body = ask.get("krosai", "/calls", limit=10, **query).json
    return [call["id"] for call in body.pop("data")], body


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [("total_capped", {"at": 7}, 7), ("total_off", {"by": -5}, -5), ("total_of_page", {}, 10), ("total_missing", {}, None)],
)
def test_a_wrong_total_is_told_and_pages_are_counted_right(
    ask: Any, kind: str, options: dict[str, int], told: int | None
) -> None:
    """By all three that count; where there is no total, nothing else counts either."""
    total = len(ask.sandbox.truth("krosai"))
    agent = ask.sandbox.history.agents()[0]["id"]
    ours = len(ask.sandbox.truth("bimpe", agent))
    ask.sandbox.faults.add(kind, **options)

    _, said = krosai_page(ask)
    meta = ask.get("bimpe", f"/agents/{agent}/calls", limit=10).json["meta"]
    header = ask.get("tuple", WIDE + "&per_page=10").headers.get("x-total-count")

    assert said.get("total") == (total - 5 if told == -5 else told)
    assert said.get("total_pages") == (None if told is None else -(-total // 10))
    assert meta.get("total_count") == (ours - 5 if told == -5 else told)
    assert (meta["has_next_page"], header is None) == (ours > 10, told is None)


def test_a_list_paged_by_offset_only_echoes_the_page(ask: Any) -> None:
    """Page 3 is the first one under the number 3; the offset works."""
    first, second = krosai_page(ask)[0], krosai_page(ask, page=2)[0]
    ask.sandbox.faults.add("offset_only")

    ids, said = krosai_page(ask, page=3)

    assert (set(ids), said["page"]) == (set(first), 3)
    ids, said = krosai_page(ask, offset=10)
    assert (set(ids), said.get("page"), said["offset"]) == (set(second), None, 10)


def test_a_page_is_served_in_the_place_of_the_next_one_under_its_number(ask: Any) -> None:
    """Page 3 shows what page 2 does; the pages around it are their own."""
    pages = {number: set(krosai_page(ask, page=number)[0]) for number in (1, 2, 3, 4)}
    ask.sandbox.faults.add("page_repeated", page=3)

    served = {number: krosai_page(ask, page=number) for number in (1, 2, 3, 4)}

    assert {number: set(ids) for number, (ids, _) in served.items()} == pages | {3: pages[2]}
    assert [said["page"] for _, said in served.values()] == [1, 2, 3, 4]
