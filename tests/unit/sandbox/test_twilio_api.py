"""Twilio's API in the sandbox: whole days, tokens, no totals, its error bodies, legs and prices that come later."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from typing import Any

import pytest

from etl.sandbox.lives.twilio import ACCOUNT_SIDS
from etl.sandbox.twilio import KEY_SIDS

LIST = f"/Accounts/{ACCOUNT_SIDS['main']}/Calls.json"


def sids(body: Any) -> list[str]:
    return [call["sid"] for call in body["calls"]]


def test_a_page_says_no_total_and_where_the_next_one_is(ask: Any) -> None:
    """The address is relative, and carries filters and a token; it comes to an end with null."""
    body = ask.get("twilio", LIST, **{"PageSize": 20, "StartTime>": "2026-02-28"}).json
    following = body["next_page_uri"]

    assert {key: body[key] for key in ("page", "page_size", "start", "end")} == {
        "page": 0,
        "page_size": 20,
        "start": 0,
        "end": 19,
    }
    assert following.startswith(f"/twilio/2010-04-01{LIST}?StartTime%3E=2026-02-28&PageSize=20&Page=1&PageToken=PA")
    assert "total" not in body and len(ask.read("twilio")) == len(ask.sandbox.truth("twilio"))


def test_calls_that_arrive_or_vanish_move_no_page(ask: Any) -> None:
    """The token stands for a call, also for one that is gone."""
    first = ask.get("twilio", LIST, PageSize=10).json
    token = first["next_page_uri"].rpartition("=")[2]
    before = sids(ask.get("twilio", LIST, PageSize=10, Page=1, PageToken=token).json)
    ask.sandbox.history.add("twilio", number=3)
    ask.sandbox.history.delete("twilio", first["calls"][-1]["sid"])

    assert sids(ask.get("twilio", LIST, PageSize=10, Page=1, PageToken=token).json) == before


@pytest.mark.parametrize("until", ["exclusive", "inclusive"])
def test_bounds_are_days_and_other_names_are_passed_over(ask: Any, until: str) -> None:
    """The time of day does not count; a day is the whole of it; a name that is not known filters nothing."""
    history = ask.sandbox.history
    day = history.now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    history.advance(timedelta(days=2))
    ask.sandbox.switches.set("twilio", {"until": until})
    end = day + timedelta(days=1 if until == "inclusive" else 0)
    yesterday = day - timedelta(days=1)
    asked = {"StartTime>": f"{yesterday.date()}T23:00:00Z", "StartTime<": day.date().isoformat(), "PageSize": 1000}
    shown = {call.id for call in history.living("twilio") if yesterday.timestamp() <= call.cursor / 1e6 < end.timestamp()}

    assert set(sids(ask.get("twilio", LIST, **asked).json)) == shown
    assert len(sids(ask.get("twilio", LIST, PageSize=1000, StartTimeAfter="2026-03-02").json)) == len(history.living("twilio"))


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        (LIST, {"PageSize": 1001}, 400, 20007),
        ("/Calls.json", {}, 404, 20404),
        (LIST.replace(".json", "/CAff.json"), {}, 404, 20404),
    ],
)
def test_what_is_refused_is_told_as_twilio_does(ask: Any, path: str, query: dict[str, int], status: int, code: int) -> None:
    """A code, a text, where to read more, and the status once more."""
    answer = ask.get("twilio", path, **query)

    assert (answer.status, answer.json["code"], answer.json["status"]) == (status, code, status)
    assert set(answer.json) == {"code", "message", "more_info", "status"}


@pytest.mark.parametrize(("user", "status"), [(ACCOUNT_SIDS["main"], 200), (KEY_SIDS["main"], 200), ("ACff", 401)])
def test_an_account_or_its_key_is_the_user(ask: Any, user: str, status: int) -> None:
    """With a key the path names the account all the same."""
    pair = b64encode(f"{user}:{ask.sandbox.tokens['twilio']}".encode()).decode()
    answer = ask.send("GET", ask.address("twilio", LIST), {"Authorization": f"Basic {pair}"})

    assert answer.status == status


def test_a_call_that_has_ended_can_be_deleted(ask: Any) -> None:
    """It is gone from the list too; one that goes on is refused."""
    over = next(call["sid"] for call in ask.sandbox.truth("twilio") if call["status"] == "completed")
    (open_call,) = ask.sandbox.history.add("twilio")
    path = LIST.replace(".json", "/{}.json")
    headers = ask.credential("twilio")
    answers = [ask.send("DELETE", ask.address("twilio", path.format(sid)), headers) for sid in (over, over, open_call)]

    assert [answer.status for answer in answers] == [204, 404, 400]
    assert over not in sids(ask.get("twilio", LIST, PageSize=1000).json)


def test_legs_name_their_parent_and_prices_come_later(ask: Any) -> None:
    """A forwarded call is several records; a price is negative text, and null for minutes or hours after the end."""
    history = ask.sandbox.history
    history.advance(timedelta(days=3))
    calls = {call["sid"]: call for call in history.truth("twilio")}
    legs = [call for call in calls.values() if call["parent_call_sid"] is not None]
    completed = [call for call in calls.values() if call["status"] == "completed"]

    assert legs and {leg["direction"] for leg in legs} == {"outbound-dial"}
    assert sum(leg["parent_call_sid"] in calls for leg in legs) > len(legs) / 2
    assert {call["price"] is None for call in completed} == {True, False}
    assert {call["price"][0] for call in completed if call["price"]} == {"-"}
