"""BimpeAI's Console API over real HTTP: every rule that its pages state."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from etl.sandbox import History


def agent_of(ask: Any) -> str:
    return str(ask.sandbox.history.agents()[0]["id"])


def test_a_list_has_message_meta_and_data_newest_first(ask: Any) -> None:
    """20 calls unless asked otherwise; the meta counts all of the agent's calls."""
    agent = agent_of(ask)
    body = ask.get("bimpe", f"/agents/{agent}/calls", sort="-created_on").json
    total = len(ask.sandbox.truth("bimpe", agent))
    assert list(body) == ["message", "meta", "data"]
    assert body["meta"] == {
        "total_count": total, "page_count": -(-total // 20), "current_page": 1, "limit": 20, "has_next_page": True,
        "has_previous_page": False,
    }  # fmt: skip
    assert len(body["data"]) == 20
    assert all(one["created_on"] >= other["created_on"] for one, other in pairwise(body["data"]))


def test_sort_is_by_created_on_either_way_and_an_unknown_field_does_as_the_switch_says(ask: Any) -> None:
    """Rows have `created_on`; the page's own example, `-created_at`, is ignored or refused."""
    path = f"/agents/{agent_of(ask)}/calls"
    oldest = ask.get("bimpe", path, sort="created_on", limit=100).json["data"]
    assert all(one["created_on"] <= other["created_on"] for one, other in pairwise(oldest))
    ask.sandbox.switches.bimpe.order = "oldest_first"
    assert ask.get("bimpe", path, sort="-created_at").json["data"][0] == oldest[0]
    ask.sandbox.switches.bimpe.unknown_sort = "refused"
    refused = ask.get("bimpe", path, sort="-created_at")
    assert (refused.status, refused.json["code"]) == (400, "validation_error")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"limit": 101}, "limit"),
        ({"limit": 0}, "limit"),
        ({"page": 0}, "page"),
        ({"page": "x"}, "page"),
        ({"status": "done"}, "status"),
        ({"is_test_call": "maybe"}, "is_test_call"),
        ({"search": "x" * 256}, "search"),
        ({"sort": "x" * 65}, "sort"),
    ],
)
def test_values_out_of_bounds_answer_400_with_a_list_of_messages(ask: Any, query: dict[str, object], named: str) -> None:
    """`message` is a list of "path: text" for a validation error."""
    response = ask.get("bimpe", f"/agents/{agent_of(ask)}/calls", **query)
    assert response.status == 400
    assert {**response.json, "message": response.json["message"][0].partition(": ")[0]} == {
        "message": named, "error": "Bad Request", "code": "validation_error", "statusCode": 400,
        "request_id": response.headers["x-request-id"],
    }  # fmt: skip


def test_the_guides_error_shape_can_be_switched_on(ask: Any) -> None:
    """The guide shows `{code, message, errors}` instead."""
    ask.sandbox.switches.bimpe.error_shape = "guide"
    body = ask.get("bimpe", f"/agents/{agent_of(ask)}/calls", limit=101).json
    assert body == {
        "code": "validation_error",
        "message": "Validation failed",
        "errors": [{"path": "limit", "message": "Number must be less than or equal to 100"}],
    }


@pytest.mark.parametrize("field", ["status", "is_test_call"])
def test_filters_split_the_calls_without_remainder(ask: Any, field: str) -> None:
    """The counts over all values of a filter add up to the whole."""
    path = f"/agents/{agent_of(ask)}/calls"
    values = {
        "status": ("queued", "ringing", "answered", "ended", "busy", "failed", "cancelled"),
        "is_test_call": ("true", "false"),
    }[field]
    answers = {value: ask.get("bimpe", path, limit=100, **{field: value}).json for value in values}
    whole = ask.get("bimpe", path, limit=1).json["meta"]["total_count"]
    assert sum(answer["meta"]["total_count"] for answer in answers.values()) == whole
    for value, answer in answers.items():
        assert all(str(call[field]).lower() == value for call in answer["data"])


def test_a_detail_adds_the_conversation_and_the_instants(ask: Any) -> None:
    """The list's fields are the same in the detail."""
    agent = agent_of(ask)
    call = next(one for one in ask.sandbox.truth("bimpe", agent) if one["status"] == "ended")
    body = ask.get("bimpe", f"/agents/{agent}/calls/{call['id']}").json
    assert body == {"message": "Success", "data": ask.sandbox.history.detail("bimpe", call["id"])}
    assert {key: body["data"][key] for key in call} == call
    assert set(body["data"]["conversation_logs"][0]) == {"id", "role", "message", "message_type", "created_at"}


def test_agents_are_listed_in_pages_and_what_does_not_exist_is_named(ask: Any) -> None:
    """404 says whether the agent, the call or the route is absent."""
    agents = ask.sandbox.history.agents()
    body = ask.get("bimpe", "/agents", limit=1, page=2).json
    assert (
        body["meta"]["total_count"] == 2 and body["meta"]["has_next_page"] is False and body["meta"]["has_previous_page"] is True
    )
    assert body["data"] == agents[:1]  # newest first, and both were born with the history
    assert ask.get("bimpe", f"/agents/{agents[0]['id']}").json["data"]["id"] == agents[0]["id"]
    unknown = ask.get("bimpe", "/agents/nobody/calls")
    assert unknown.status == 404
    assert {key: unknown.json[key] for key in ("message", "error", "code", "statusCode")} == {
        "message": "Agent not found", "error": "Not Found", "code": "not_found", "statusCode": 404,
    }  # fmt: skip
    assert ask.get("bimpe", f"/agents/{agents[0]['id']}/calls/none").json["message"] == "Call not found"
    elsewhere = next(call for call in ask.sandbox.truth("bimpe", agents[1]["id"]))
    assert ask.get("bimpe", f"/agents/{agents[0]['id']}/calls/{elsewhere['id']}").json["message"] == "Call not found"
    assert "Cannot GET" in ask.get("bimpe", "/nothing").json["message"]


def test_a_removed_agent_takes_its_calls_with_it(ask: Any) -> None:
    """Its list answers 404, and the list of agents lacks it."""
    agent = agent_of(ask)
    history = ask.sandbox.history
    history.roster.remove(history.micros, agent)
    assert ask.get("bimpe", f"/agents/{agent}/calls").json["message"] == "Agent not found"
    assert agent not in {one["id"] for one in ask.get("bimpe", "/agents").json["data"]}


def test_keys_come_in_two_headers_and_errors_tell_what_is_wrong(ask: Any) -> None:
    """Missing, invalid and too narrow keys have their own codes."""
    token = ask.sandbox.tokens["bimpe"]
    assert ask.get("bimpe", "/agents", headers={"X-Api-Key": token}).status == 200
    assert ask.get("bimpe", "/agents", headers={}).json["code"] == "api_key_missing"
    invalid = ask.get("bimpe", "/agents", headers={"X-Api-Key": "sk_wrong", "X-Request-Id": "mine"})
    assert (invalid.status, invalid.headers["x-request-id"]) == (401, "mine")
    assert invalid.json == {
        "message": "Invalid API key.",
        "error": "Unauthorized",
        "code": "api_key_invalid",
        "statusCode": 401,
        "request_id": "mine",
    }
    ask.sandbox.switches.bimpe.forbidden = True
    forbidden = ask.get("bimpe", "/agents")
    assert (forbidden.status, forbidden.json["code"], forbidden.json["error"]) == (403, "insufficient_scope", "Forbidden")


def test_every_answer_tells_the_rate_limit(ask: Any) -> None:
    """Limit, remaining, and the Unix second of the reset by the server's own clock."""
    headers = ask.get("bimpe", "/agents").headers
    assert int(headers["x-ratelimit-remaining"]) < int(headers["x-ratelimit-limit"])
    assert 0 <= int(headers["x-ratelimit-reset"]) - ask.sandbox.history.micros // 1_000_000 <= 61


def test_a_list_is_searched_and_sorted_by_other_fields(ask: Any) -> None:
    """A search finds a number; another known field sorts; agents are searched by name, and refused out of bounds."""
    agent = agent_of(ask)
    path = f"/agents/{agent}/calls"
    wanted = ask.sandbox.truth("bimpe", agent)[5]
    found = ask.get("bimpe", path, search=wanted["destination"], limit=100).json["data"]
    assert wanted in found and all(wanted["destination"] in str(call) for call in found)
    ended = [call["ended_at"] or "" for call in ask.get("bimpe", path, sort="-ended_at", limit=100).json["data"]]
    assert ended == sorted(ended, reverse=True)
    assert ask.get("bimpe", "/agents", search="no such name").json["meta"]["total_count"] == 0
    assert ask.get("bimpe", "/agents", limit=101).status == 400
    assert "Cannot GET" in ask.get("bimpe", f"/agents/{agent}/channels").json["message"]


def test_a_team_without_agents_has_no_calls(serve: Any) -> None:
    """Its lists are empty, and the history goes on."""
    ask = serve(History(2, agents=0, agent_changes=(0, 0, 0), calls_per_day={"tuple": 0, "salpre": 0, "krosai": 0}))
    assert ask.get("bimpe", "/agents").json["data"] == [] and ask.sandbox.truth("bimpe") == []
