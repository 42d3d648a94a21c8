"""The server: a complete reading is the truth, time is virtual, limits are counted, requests are logged."""

from __future__ import annotations

import socket
import threading
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.sandbox import TRUE_LIMITS, History, Quota, Sandbox, real_time
from etl.sandbox.births import PROVIDERS
from tests.unit.sandbox.identity import identity

SMALL = {"tuple": "/api/v2/call_usage?since=2026-01-01T00:00:00Z", "bimpe": "/agents", "salpre": "/call/list", "krosai": "/calls"}


@given(steps=st.lists(st.integers(min_value=1, max_value=40_000), max_size=4))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_complete_reading_is_the_truth(serve: Any, steps: list[int]) -> None:
    """Read by its documented paging, each provider gives exactly the calls that live, after any steps."""
    start = datetime.fromisoformat("2026-03-01T12:00:00.250+00:00")
    rates = dict.fromkeys(PROVIDERS, 60) | {"tuple": 150, "bimpe": 100}
    ask = serve(History(13, start=start, calls_per_day=rates))
    for step in steps:
        ask.sandbox.history.advance(timedelta(seconds=step))
    agents = [agent["id"] for agent in ask.sandbox.history.agents()]
    alone = [(provider, "") for provider in PROVIDERS if provider != "bimpe"]
    for provider, agent in [*alone, *(("bimpe", agent) for agent in agents)]:
        truth = ask.sandbox.truth(provider, agent or None)
        seen: dict[str, Any] = {}
        for _ in range(20):  # ties across a page's edge change places between requests: one reading may miss one of them
            read = ask.read(provider, agent)
            assert len(read) == len(truth)
            seen |= {identity(record): record for record in read}
            if len(seen) == len(truth):
                break
        assert sorted(seen.values(), key=identity) == sorted(truth, key=identity)


def test_the_date_of_every_response_is_the_virtual_now_floored(ask: Any) -> None:
    """Also of errors and control paths."""
    ask.sandbox.history.advance(timedelta(seconds=61.9))
    expected = ask.sandbox.history.now.replace(microsecond=0)
    for response in (
        ask.get("tuple", SMALL["tuple"]),
        ask.get("tuple", "/nothing"),
        ask.get("salpre", "/call/list", headers={}),
        ask.control("GET", "now"),
    ):
        assert parsedate_to_datetime(response.headers["date"]) == expected


def test_a_sandbox_can_follow_a_clock(serve: Any, history: History) -> None:
    """Before every request the history moves to where the clock is; it never goes back."""
    times = iter([history.now + timedelta(hours=1), history.now, history.now + timedelta(hours=2)])
    start = history.now
    ask = serve(follow=lambda: next(times))
    seen = []
    for _ in range(3):
        ask.get("bimpe", "/agents")
        seen.append(ask.sandbox.history.now - start)
    assert seen == [timedelta(hours=1), timedelta(hours=1), timedelta(hours=2)]


def test_real_time_is_a_clock_to_follow() -> None:
    """It is aware, and in UTC."""
    assert real_time().utcoffset() == timedelta(0)


@pytest.mark.parametrize(("provider", "allowed"), [("tuple", 60), ("bimpe", 300), ("krosai", 10)])
def test_rate_limits_are_rolling_windows_per_account(serve: Any, provider: str, allowed: int) -> None:
    """One request more than allowed in any stretch is refused and counted; it may come once the oldest is out of the window."""
    now = [100.0]
    ask = serve(limits=TRUE_LIMITS, limit_clock=lambda: now[0])
    window = TRUE_LIMITS[provider][0].seconds
    assert ask.get(provider, SMALL[provider]).status == 200
    now[0] += window / 2
    assert {ask.get(provider, SMALL[provider]).status for _ in range(allowed - 1)} == {200}
    assert ask.get(provider, SMALL[provider]).status == 429
    assert ask.get(provider, SMALL[provider], headers=ask.credential(provider, ask.sandbox.other_tokens[provider])).status == 200
    now[0] += window / 2
    assert ask.get(provider, SMALL[provider]).status == 200
    assert ask.get(provider, SMALL[provider]).status == 429
    assert ask.sandbox.violations(provider) == 2
    assert [entry.limited for entry in ask.sandbox.requests(provider) if entry.status == 429] == [True, True]


def test_krosais_day_is_capped_too(serve: Any) -> None:
    """The plan Free allows 1,000 requests in a day."""
    now = [0.0]
    ask = serve(
        limits={"krosai": (Quota(requests=10, seconds=1), Quota(requests=30, seconds=86_400))}, limit_clock=lambda: now[0]
    )
    for _ in range(30):
        now[0] += 1
        assert ask.get("krosai", "/calls").status == 200
    now[0] += 1
    refused = ask.get("krosai", "/calls")
    assert refused.status == 429 and refused.json["retry_after"] > 80_000


def test_a_refusal_tells_each_provider_s_way_when_to_come_again(serve: Any) -> None:
    """BimpeAI in whole seconds; Tuple documents no header."""
    ask = serve(
        limits={"tuple": (Quota(requests=0, seconds=60),), "bimpe": (Quota(requests=1, seconds=60),)}, limit_clock=lambda: 7.0
    )
    ask.get("bimpe", "/agents")
    refused = ask.get("bimpe", "/agents")
    assert (refused.status, refused.headers["retry-after"], refused.json["code"]) == (429, "60", "rate_limited")


def test_a_token_of_another_account_shows_other_calls(ask: Any) -> None:
    """No call is in both accounts."""
    for provider in PROVIDERS:
        main = {identity(call) for call in ask.sandbox.truth(provider)}
        other = {identity(call) for call in ask.sandbox.history.truth(provider, account="other")}
        assert main and other and not main & other
    page = ask.get("tuple", SMALL["tuple"], headers=ask.credential("tuple", ask.sandbox.other_tokens["tuple"])).json
    assert {identity(call) for call in page} <= {identity(call) for call in ask.sandbox.history.truth("tuple", account="other")}


def test_a_token_can_be_revoked_and_reinstated(ask: Any) -> None:
    """It takes effect at once."""
    ask.sandbox.revoke("tuple")
    assert ask.get("tuple", SMALL["tuple"]).status == 401
    ask.sandbox.reinstate("tuple")
    assert ask.get("tuple", SMALL["tuple"]).status == 200


def test_requests_are_logged_without_their_credentials(ask: Any) -> None:
    """Provider, path, query, status, whether a credential came and whether it was valid."""
    ask.get("salpre", "/call/list", per_page=5)
    ask.get("salpre", "/call/list", headers={})
    ask.get("salpre", "/call/list", headers={"account-secret-key": "wrong"})
    seen = [
        (entry.path, entry.query, entry.status, entry.credential, entry.authorised) for entry in ask.sandbox.requests("salpre")
    ]
    path = "/api/gateway/v1/call/list"
    assert seen == [(path, {"per_page": "5"}, 200, True, True), (path, {}, 401, False, False), (path, {}, 401, True, False)]
    assert ask.sandbox.tokens["salpre"] not in repr(ask.sandbox.requests())
    ask.sandbox.clear_requests()
    assert ask.sandbox.requests() == []


def test_something_can_be_done_between_two_requests(serve: Any, history: History) -> None:
    """`on_request` sees each request before its response is sent; `after` waits for a number of them."""
    first = history.truth("tuple")[0]["id"]
    seen: list[int] = []
    ask = serve(on_request=lambda entry: seen.append(entry.status))
    ask.sandbox.after(2, lambda: history.delete("tuple", first), provider="tuple")
    totals = [int(ask.get("tuple", SMALL["tuple"]).headers["x-total-count"]) for _ in range(3)]
    assert totals == [totals[0], totals[0], totals[0] - 1]
    assert seen == [200, 200, 200]


def test_connections_are_kept_alive_and_end_with_the_sandbox(history: History) -> None:
    """Many requests need one connection; after the end nothing listens and no thread is left."""
    before = threading.active_count()
    with Sandbox(history) as sandbox:
        port = sandbox.port
        with socket.create_connection(("127.0.0.1", port)) as connection:
            for _ in range(3):
                connection.sendall(b"GET /_sandbox/now HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
            sandbox.stop()
            assert connection.recv(1) == b""
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


def test_an_unknown_provider_is_told_so(ask: Any) -> None:
    """The answer names those that there are; the request is logged, so that a test sees what went astray."""
    response = ask.send("GET", ask.sandbox.origin + "/zoom/calls", {"Authorization": "Bearer x"})
    assert response.status == 404 and "/tuple" in response.json["error"]
    assert [(entry.provider, entry.credential) for entry in ask.sandbox.requests()] == [("zoom", True)]


def test_a_sandbox_that_does_not_serve_has_no_port(history: History) -> None:
    """It says how to start it."""
    with pytest.raises(RuntimeError, match="context manager"):
        _ = Sandbox(history).port
