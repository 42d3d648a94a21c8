"""The control paths, and what a person sees who starts the sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import tomllib
import urllib.request
from datetime import timedelta
from typing import Any

import pytest

from etl.sandbox import config, demo_history
from etl.sandbox import serve as serve_for_ever
from etl.sandbox.births import PROVIDERS

WIDE = "/api/v2/call_usage?since=2026-01-01T00:00:00Z"


def test_time_is_moved_and_the_truth_is_told(ask: Any) -> None:
    """By seconds or to an instant; the truth is that of the history."""
    history = ask.sandbox.history
    start = history.now
    assert ask.control("POST", "advance", {"seconds": 90}).json == {"now": (start + timedelta(seconds=90)).isoformat()}
    assert ask.control("POST", "advance", {"to": "2026-03-02T00:00:00+00:00"}).json == {"now": "2026-03-02T00:00:00+00:00"}
    assert ask.control("GET", "now").json == {"now": "2026-03-02T00:00:00+00:00"}
    for provider in PROVIDERS:
        assert ask.control("GET", f"truth/{provider}").json == history.truth(provider)
    agent = history.agents()[0]["id"]
    assert ask.control("GET", f"truth/bimpe?agent={agent}").json == history.truth("bimpe", agent)
    call = history.truth("salpre")[0]["call_id"]
    assert ask.control("GET", f"detail/salpre/{call}").json == history.detail("salpre", call)


def test_calls_are_added_deleted_restored_and_replaced(ask: Any) -> None:
    """Drawn ones, raw records and raw texts."""
    history = ask.sandbox.history
    at = "2026-03-01T06:00:00+00:00"
    ids = ask.control("POST", "add", {"provider": "tuple", "count": 3, "at": at}).json["ids"]
    assert {str(call["id"]) for call in history.truth("tuple") if call["ended_at"] == "2026-03-01T06:00:00.000Z"} == set(ids)
    ask.control(
        "POST", "add", {"provider": "krosai", "records": [{"id": "x", "created_at": at}], "texts": ['{"id": "\\ud800"}', "42"]}
    )
    assert history.detail("krosai", "x") == {"id": "x", "created_at": at} and 42 in history.truth("krosai")
    ask.control("POST", "delete", {"provider": "tuple", "call_id": ids[0]})
    assert history.detail("tuple", ids[0]) is None
    ask.control("POST", "restore", {"provider": "tuple", "call_id": ids[0]})
    assert history.detail("tuple", ids[0]) is not None
    ask.control("POST", "replace", {"provider": "tuple", "call_id": ids[1], "changes": {"duration_seconds": "long"}})
    assert history.detail("tuple", ids[1])["duration_seconds"] == "long"
    ask.control("POST", "replace", {"provider": "tuple", "call_id": ids[2], "record": {"id": 5}})
    assert {"id": 5} in history.truth("tuple")


def test_faults_switches_tokens_and_agents_are_set(ask: Any) -> None:
    """As by the methods of the same names."""
    ask.control("POST", "faults", {"kind": "status_503", "provider": "tuple", "times": 1})
    assert [ask.get("tuple", WIDE).status for _ in range(2)] == [503, 200]
    ask.control("POST", "faults", {"rate": 1.0})
    ask.control("DELETE", "faults")
    ask.control("POST", "switches", {"salpre": {"page": "ignored", "recent_calls": 3}})
    assert len(ask.get("salpre", "/call/list").json["data"]) == 3
    ask.control("POST", "token", {"revoke": "krosai"})
    assert ask.get("krosai", "/calls").status == 401
    ask.control("POST", "token", {"reinstate": "krosai"})
    assert ask.get("krosai", "/calls").status == 200
    new = ask.control("POST", "agents", {"add": "Night line"}).json["id"]
    ask.control("POST", "agents", {"rename": new, "name": "Day line"})
    assert {agent["id"]: agent["name"] for agent in ask.control("GET", "agents").json}[new] == "Day line"
    ask.control("POST", "agents", {"remove": new})
    assert new not in {agent["id"] for agent in ask.sandbox.history.agents()}


def test_something_is_done_after_so_many_requests(ask: Any) -> None:
    """The request that comes next sees it."""
    call = ask.sandbox.truth("tuple")[0]["id"]
    wanted = {"provider": "tuple", "requests": 2, "do": "delete", "with": {"provider": "tuple", "call_id": call}}
    assert ask.control("POST", "after", wanted).status == 200
    totals = [int(ask.get("tuple", WIDE).headers["x-total-count"]) for _ in range(3)]
    assert totals == [totals[0], totals[0], totals[0] - 1]


def test_the_log_is_read_and_cleared(ask: Any) -> None:
    """Control requests are not in it."""
    ask.get("tuple", WIDE)
    ask.get("krosai", "/calls")
    assert [entry["provider"] for entry in ask.control("GET", "requests").json] == ["tuple", "krosai"]
    assert [entry["status"] for entry in ask.control("GET", "requests?provider=krosai").json] == [200]
    ask.control("DELETE", "requests")
    assert ask.control("GET", "requests").json == []


@pytest.mark.parametrize(
    ("method", "path", "asked", "status"),
    [
        ("GET", "nothing", None, 404),
        ("POST", "advance", {}, 400),
        ("POST", "advance", {"seconds": -5}, 400),
        ("POST", "faults", {"kind": "earthquake"}, 400),
        ("POST", "switches", {"salpre": {"page": "eaten"}}, 400),
        ("POST", "switches", {"salpre": {"pages": 1}}, 400),
        ("POST", "switches", {"zoom": {}}, 400),
        ("POST", "delete", {"provider": "tuple", "call_id": 1}, 400),
        ("POST", "add", {"provider": "zoom"}, 400),
        ("GET", "truth/zoom", None, 400),
    ],
)
def test_what_cannot_be_done_is_told(ask: Any, method: str, path: str, asked: Any, status: int) -> None:
    """In one sentence."""
    response = ask.control(method, path, asked)
    assert response.status == status and response.json["error"]


def test_the_info_gives_all_that_a_client_needs(ask: Any) -> None:
    """Addresses, tokens, the organisation, and how often a limit was broken."""
    info = ask.control("GET", "info").json
    assert info["urls"]["bimpe"] == ask.sandbox.origin + "/bimpe/api/v1/console"
    assert info["urls"]["tuple"] == ask.sandbox.origin + "/tuple"
    assert info["tokens"] == ask.sandbox.tokens and info["violations"] == dict.fromkeys(PROVIDERS, 0)


def test_the_configuration_to_paste_is_toml_with_all_connections(ask: Any) -> None:
    """Each with the token and the address that work."""
    connections = tomllib.loads(config(ask.sandbox))["connections"]
    assert {one["provider"]: (one["token"], one["base_url"]) for one in connections.values()} == {
        provider: (ask.sandbox.tokens[provider], ask.sandbox.url(provider)) for provider in PROVIDERS
    }
    assert connections["telephony"]["organization_id"] == ask.sandbox.organization_id


def test_the_demo_is_modest(history: Any) -> None:
    """A first sync reads it within the true rate limits in a few seconds: its details included."""
    demo = demo_history(now=history.now)
    sizes = {provider: len(demo.truth(provider)) for provider in PROVIDERS}
    assert {provider: round(size / 100) for provider, size in sizes.items()} == {
        "tuple": 29,
        "bimpe": 2,
        "salpre": 3,
        "krosai": 1,
        "aircall": 2,
        "twilio": 2,
    }
    assert len(demo.agents()) == 2


def test_serving_tells_where_and_ends_when_it_is_told(history: Any) -> None:
    """The text holds the address and the configuration."""
    told: list[str] = []
    ended = threading.Event()
    ended.set()
    serve_for_ever(history=history, real_clock=False, say=told.append, until=ended)
    assert "serves 6 providers at http://127.0.0.1:" in told[0] and "[connections.pairing]" in told[1]


def test_the_module_is_a_program() -> None:
    """`python -m etl.sandbox` serves the history that its options describe, and says where."""
    options = ["--start", "2026-03-01T12:00:00", "--past-days", "1", "--no-limits"]
    options += [word for provider in PROVIDERS for word in (f"--{provider}-per-day", "24")]
    with subprocess.Popen([sys.executable, "-m", "etl.sandbox", *options], stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            origin = next(word for word in program.stdout.readline().split() if word.startswith("http://"))
            with urllib.request.urlopen(origin + "/_sandbox/now", timeout=300) as answer:  # noqa: S310 - loopback
                assert json.load(answer) == {"now": "2026-03-01T12:00:00+00:00"}
            with urllib.request.urlopen(origin + "/_sandbox/truth/salpre", timeout=300) as answer:  # noqa: S310 - loopback
                assert 20 <= len(json.load(answer)) <= 25
        finally:
            program.terminate()
