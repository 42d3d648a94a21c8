"""Salpre's gateway API over real HTTP: every rule that its pages state, and the switches for what they leave open."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest


def test_a_list_has_status_data_and_meta_newest_first_without_a_total(ask: Any) -> None:
    """10 calls unless asked otherwise; `has_next` is all that is known about more."""
    body = ask.get("salpre", "/call/list").json
    assert list(body) == ["status", "data", "meta"]
    assert body["status"] == "success" and body["meta"] == {"per_page": 10, "page": 1, "has_next": True}
    assert len(body["data"]) == 10
    assert all(one["started_at"] >= other["started_at"] for one, other in pairwise(body["data"]))


@pytest.mark.parametrize("size", [0, 101, "many", -1])
def test_an_invalid_per_page_is_an_error(ask: Any, size: object) -> None:
    """With its own HTTP status, or 200 where the switch says so."""
    refused = ask.get("salpre", "/call/list", per_page=size)
    assert (refused.status, refused.json) == (422, {"status": "error", "message": "Invalid per_page value"})
    ask.sandbox.switches.salpre.error_status = "always_200"
    assert ask.get("salpre", "/call/list", per_page=size).status == 200


def test_page_is_honoured_or_ignored_as_the_switch_says(ask: Any) -> None:
    """Ignored: the first page again, and `meta.page` says 1."""
    first, second = (ask.get("salpre", "/call/list", page=page).json for page in (1, 2))
    assert second["meta"]["page"] == 2 and not {one["call_id"] for one in first["data"]} & {
        one["call_id"] for one in second["data"]
    }
    ask.sandbox.switches.salpre.page = "ignored"
    assert ask.get("salpre", "/call/list", page=2).json["meta"]["page"] == 1


def test_the_list_can_be_limited_to_recent_calls(ask: Any) -> None:
    """By number or by age; the detail of older calls still answers."""
    truth = ask.sandbox.truth("salpre")
    ask.sandbox.switches.salpre.recent_calls = 15
    assert len(ask.read("salpre")) == 15
    ask.sandbox.switches.salpre.recent_calls = None
    ask.sandbox.switches.salpre.recent_hours = 6
    edge = ask.sandbox.history.now - timedelta(hours=6)
    expected = {call["call_id"] for call in truth if datetime.fromisoformat(call["started_at"]) >= edge}
    assert 0 < len(expected) < len(truth) and {call["call_id"] for call in ask.read("salpre")} == expected
    assert ask.get("salpre", f"/call/{truth[0]['call_id'][1:]}").status == 200


@pytest.mark.parametrize(
    ("switch", "works"), [("integer", ("digits",)), ("as_listed", ("listed",)), ("both", ("digits", "listed"))]
)
def test_a_detail_is_found_by_the_form_of_its_id_that_the_switch_says(ask: Any, switch: str, works: tuple[str, ...]) -> None:
    """The list says `c123456`, the detail's page 874; the answer's own id is the digits, and the rest equals the list."""
    ask.sandbox.switches.salpre.detail_id = switch
    call = next(one for one in ask.sandbox.truth("salpre") if one["status"] == "completed")
    forms = {"digits": call["call_id"][1:], "listed": call["call_id"]}
    for form, asked in forms.items():
        response = ask.get("salpre", f"/call/{asked}")
        if form in works:
            detail = ask.sandbox.history.detail("salpre", call["call_id"])
            assert response.json == {"status": "success", "data": {**detail, "call_id": call["call_id"][1:]}}
        else:
            assert response.status == 404
            assert response.json == {"status": "error", "message": "Call not found. Please check the call ID."}


@pytest.mark.parametrize(
    "headers", [{}, {"account-secret-key": "wrong"}, {"Authorization": "Bearer salpre-sandbox-of-the-main-account"}]
)
def test_the_key_stands_in_its_own_header_only(ask: Any, headers: dict[str, str]) -> None:
    """Missing and invalid keys are told by one sentence."""
    response = ask.get("salpre", "/call/list", headers=headers)
    assert response.status == 401
    assert response.json == {"status": "error", "message": "Unauthorized. Missing or invalid account-secret-key"}
