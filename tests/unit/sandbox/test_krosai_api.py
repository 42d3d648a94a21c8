"""KrosAI's calls API over real HTTP: every rule that its pages state, in both dialects."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from etl.sandbox import History
from etl.sandbox.births import PROVIDERS
from etl.sandbox.lives.krosai import ORGANIZATIONS


def test_a_list_has_data_total_page_limit_and_total_pages_newest_first(ask: Any) -> None:
    """20 calls unless asked otherwise; transcripts stand in the detail only."""
    body = ask.get("krosai", "/calls").json
    total = len(ask.sandbox.truth("krosai"))
    assert {key: body[key] for key in ("total", "page", "limit", "total_pages")} == {
        "total": total, "page": 1, "limit": 20, "total_pages": -(-total // 20),
    }  # fmt: skip
    assert len(body["data"]) == 20 and "transcript" not in body["data"][0]
    assert all(one["created_at"] >= other["created_at"] for one, other in pairwise(body["data"]))
    assert ask.get("krosai", "/calls", page=99).json["data"] == []


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"page": 0}, {"status": "done"}, {"direction": "up"},
                                   {"phone_number_id": "7"}, {"action": "dance"}])  # fmt: skip
def test_values_out_of_bounds_answer_400(ask: Any, query: dict[str, object]) -> None:
    """In the shape `{error, code, details}`, naming the field."""
    response = ask.get("krosai", "/calls", **query)
    assert (response.status, response.json["code"], response.json["details"]) == (
        400,
        "VALIDATION_ERROR",
        {"field": next(iter(query))},
    )


@pytest.mark.parametrize("field", ["status", "direction", "phone_number_id"])
def test_filters_split_the_calls_without_remainder(ask: Any, field: str) -> None:
    """Each value's total is that of the truth."""
    counts = Counter(call[field] for call in ask.sandbox.truth("krosai"))
    assert {value: ask.get("krosai", "/calls", limit=1, **{field: value}).json["total"] for value in counts} == counts


def test_stats_and_trends_agree_with_the_truth(ask: Any) -> None:
    """The breakdown by status, and the calls of each day (UTC), within the days asked for."""
    truth = ask.sandbox.truth("krosai")
    stats = ask.get("krosai", "/calls", action="stats").json
    assert stats == {"data": {"total": len(truth), "by_status": dict(sorted(Counter(call["status"] for call in truth).items()))}}
    days = Counter(call["created_at"][:10] for call in truth)
    trends = ask.get("krosai", "/calls", action="trends").json
    assert trends == {"data": [{"date": day, "count": days[day]} for day in sorted(days)]}
    one = ask.get("krosai", "/calls", action="trends", start_date="2026-02-28", end_date="2026-02-28").json
    assert one == {"data": [{"date": "2026-02-28", "count": days["2026-02-28"]}]}


def test_date_filters_of_the_list_are_ignored_or_honoured_as_the_switch_says(ask: Any) -> None:
    """The page says "(for trends)"."""
    query = {"start_date": "2026-02-28", "end_date": "2026-02-28", "limit": 100}
    assert ask.get("krosai", "/calls", **query).json["total"] == len(ask.sandbox.truth("krosai"))
    ask.sandbox.switches.krosai.list_dates = "honoured"
    days = Counter(call["created_at"][:10] for call in ask.sandbox.truth("krosai"))
    assert ask.get("krosai", "/calls", **query).json["total"] == days["2026-02-28"]


def test_a_detail_has_the_transcript_and_a_recording_that_is_signed_anew_each_time(ask: Any, unsigned: Any) -> None:
    """Everything but the signature stays the same, in the list as well."""
    call = next(one for one in ask.sandbox.truth("krosai") if one["recording_url"])
    once, again = (ask.get("krosai", f"/calls/{call['id']}").json for _ in range(2))
    assert once["recording_url"] != again["recording_url"]
    assert {**once, "recording_url": unsigned(once["recording_url"])} == ask.sandbox.history.detail("krosai", call["id"])
    pages = [ask.get("krosai", "/calls", limit=100).json["data"] for _ in range(2)]
    assert [one["recording_url"] for one in pages[0]] != [one["recording_url"] for one in pages[1]]


def test_what_does_not_exist_answers_404_and_a_delete_removes(ask: Any) -> None:
    """DELETE answers 204; the call is gone, a second DELETE is 404."""
    call = ask.sandbox.truth("krosai")[0]["id"]
    address = ask.address("krosai", f"/calls/{call}")
    assert ask.send("DELETE", address, ask.credential("krosai")).status == 204
    gone = ask.get("krosai", f"/calls/{call}")
    assert (gone.status, gone.json) == (404, {"error": "Call not found", "code": "NOT_FOUND"})
    assert ask.send("DELETE", address, ask.credential("krosai")).status == 404
    assert ask.get("krosai", "/elsewhere").json["code"] == "ROUTE_NOT_FOUND"


def test_the_organisation_is_the_headers_or_else_the_first(ask: Any) -> None:
    """A key may open two organisations: without the header the first one's calls come, silently; a third is forbidden."""

    def seen(headers: dict[str, str]) -> set[str]:
        data = ask.get("krosai", "/calls", headers={**ask.credential("krosai"), **headers}).json["data"]
        return {call["organization_id"] for call in data}

    main, other = ORGANIZATIONS["main"], ORGANIZATIONS["other"]
    assert seen({"x-organization-id": main}) == {main} and seen({"x-organization-id": other}) == {other} and seen({}) == {main}
    ask.sandbox.switches.krosai.first_organization = "other"
    assert seen({}) == {other}
    foreign = ask.get("krosai", "/calls", headers={**ask.credential("krosai"), "x-organization-id": main.replace("6", "7")})
    assert (foreign.status, foreign.json["code"]) == (403, "FORBIDDEN")


def test_keys_come_in_two_headers_and_errors_tell_what_is_wrong(ask: Any) -> None:
    """Missing, invalid and too narrow keys have their own codes."""
    assert ask.get("krosai", "/calls", headers={"x-api-key": ask.sandbox.tokens["krosai"]}).status == 200
    missing, invalid = ask.get("krosai", "/calls", headers={}), ask.get("krosai", "/calls", headers={"x-api-key": "kros_live_no"})
    assert (missing.status, missing.json["code"]) == (401, "MISSING_API_KEY")
    assert (invalid.status, invalid.json["code"]) == (401, "INVALID_API_KEY")
    ask.sandbox.switches.krosai.forbidden = True
    forbidden = ask.get("krosai", "/calls")
    assert (forbidden.status, forbidden.json["code"]) == (403, "INSUFFICIENT_SCOPE")


def test_the_guides_dialect_has_offset_calls_and_whole_cents(ask: Any) -> None:
    """`page` means nothing there; the list carries the transcript, and lacks latency, cause and organisation."""
    ask.sandbox.switches.krosai.dialect = "guide"
    first = ask.get("krosai", "/calls", page=2).json
    assert {key: first[key] for key in ("total", "limit", "offset")} == {
        "total": len(ask.sandbox.truth("krosai")),
        "limit": 50,
        "offset": 0,
    }
    second = ask.get("krosai", "/calls", offset=50).json
    assert not {call["id"] for call in first["calls"]} & {call["id"] for call in second["calls"]}
    record = next(call for call in first["calls"] if call["status"] == "completed")
    assert isinstance(record["cost_cents"], int) and "transcript" in record
    assert not {"cost", "latency_ms", "hangup_cause", "organization_id"} & set(record)
    assert ask.get("krosai", "/calls", offset=-1).status == 400
    assert ask.get("krosai", "/calls/stats").json["data"]["total"] == first["total"]
    told = {call["id"]: call for call in ask.sandbox.truth("krosai")}[record["id"]]
    assert told == {**record, "recording_url": told["recording_url"]}


def test_every_answer_tells_the_rate_limit_and_a_refusal_a_fraction(serve: Any) -> None:
    """10 in a second; the refusal says how long to wait in the header and the body."""
    quiet = History(1, calls_per_day=dict.fromkeys(PROVIDERS, 0))
    from etl.sandbox import TRUE_LIMITS

    ask = serve(quiet, limits=TRUE_LIMITS, limit_clock=lambda: 5.0)
    headers = [ask.get("krosai", "/calls").headers for _ in range(10)]
    assert [one["x-ratelimit-remaining"] for one in headers] == [str(left) for left in range(9, -1, -1)]
    assert headers[0]["x-ratelimit-limit"] == "10"
    refused = ask.get("krosai", "/calls")
    assert refused.status == 429 and refused.headers["x-ratelimit-remaining"] == "0"
    assert refused.json == {"error": "Rate limit exceeded", "code": "RATE_LIMIT_EXCEEDED", "retry_after": 1.1}
    assert refused.headers["retry-after"] == "1.1"
