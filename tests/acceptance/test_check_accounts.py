"""`etl check` says what an account holds before anything is synced, in few requests, and what the provider does not tell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.sandbox import NO_LIMITS, History, Sandbox
from tests.acceptance.cast import PROVIDERS
from tests.acceptance.process import Program, hourly
from tests.acceptance.stage import quiet_history


@pytest.fixture
def history(request: pytest.FixtureRequest) -> History:
    """Give a history in which nothing happens by itself; BimpeAI has two agents, or as many as a test says."""
    return quiet_history(agents=getattr(request, "param", 2))


@pytest.fixture
def program(history: History, database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before all providers."""
    with Sandbox(history, limits=NO_LIMITS) as sandbox:
        yield Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=PROVIDERS)


def accounts(program: Program) -> dict[str, Any]:
    """Return what the document says of each account, by its connection."""
    found = program.run("check", "--json").json["checks"]
    return {one["subject"].removeprefix("connection "): one["account"] for one in found if "account" in one}


def test_every_account_is_told_as_far_as_its_provider_tells(program: Program) -> None:
    """Thirty calls each, an hour apart, on pages of five; BimpeAI has two agents, one of which has none."""
    hourly(program)
    program.settings["krosai"] |= {"rate_limit": "10/s", "daily_requests": 1000}
    program.settings["tuple"] |= {"rate_limit": "2/min", "start_date": "2026-03-01T00:00:00Z"}
    program.settings["aircall"] |= {"rate_limit": "2/min"}

    lines = program.run("check").out.splitlines()

    ends = "oldest 2026-02-28 06:00:00 UTC; newest 2026-03-01 11:00:00 UTC"
    told = {
        name: [line.strip() for line in lines[at + 1 : at + 6]]
        for at, line in enumerate(lines)
        for name in [line.partition("connection ")[2].partition(":")[0]]
        if name
    }
    assert told == {
        "pairing": [
            "whose: not known: no record says it",
            "calls: 12; oldest 2026-03-01 00:00:00 UTC; newest 2026-03-01 11:00:00 UTC",
            "paging: works (page)",
            "limits: 2 requests in 1 minute",
            "first sync: about 3 requests, at least 1 minute",
        ],
        "voice": [
            "whose: not known: no record says it",
            f"calls: 30 of 2 agents looked at; 2 agents; {ends}",
            "paging: works (sort=-created_on)",
            "limits: 100,000 requests in 1 second",
            "first sync: about 6 requests, which the limits allow at once",
        ],
        "devices": [
            "whose: not known: no record says it",
            "calls: not known: no totals; oldest not known; newest 2026-03-01 11:00:00 UTC",
            "paging: works (page)",
            "limits: 100,000 requests in 1 second",
            "first sync: not known: no totals",
        ],
        "telephony": [
            f"whose: organisation {program.sandbox.organization_id}",
            f"calls: 30; {ends}",
            "paging: works (page)",
            "limits: 10 requests in 1 second; 1,000 requests in 1 day; 2 of today's 1,000 are spent",
            "first sync: about 6 requests, which the limits allow at once",
        ],
        "support": [
            "whose: not known: no record says it",
            f"calls: 30; {ends}",
            "paging: works (page)",
            "limits: 2 requests in 1 minute",
            "first sync: about 6 requests, at least 2 minutes",
        ],
        "programmable": [
            f"whose: organisation {program.sandbox.own['twilio']['account_sid']}",
            "calls: not known: no totals; oldest not known; newest 2026-03-01 11:00:00 UTC",
            "paging: works (token)",
            "limits: 100,000 requests in 1 second",
            "first sync: not known: no totals",
        ],
    }
    assert {provider: len(program.sandbox.requests(provider)) for provider in PROVIDERS} == dict.fromkeys(PROVIDERS, 2) | {
        "bimpe": 1 + 2 + 1
    }


def test_the_document_says_the_same_and_null_is_what_is_not_told(program: Program) -> None:
    """With details, each of which is a request; three days' worth of KrosAI's budget."""
    program.sandbox.history.add("krosai", number=2_400, at=program.sandbox.history.now - timedelta(days=2))
    program.sandbox.history.add("salpre", at=program.sandbox.history.now - timedelta(days=2))
    program.providers = ("salpre", "krosai")
    program.settings["krosai"] = {"daily_requests": 1000}

    found = accounts(program)

    day = {"requests": 1000, "seconds": 86_400.0}
    nothing = dict.fromkeys(("organization_id", "agents", "agents_asked", "calls", "oldest", "pages_work", "daily_requests"))
    assert found == {
        "devices": nothing
        | {
            "newest": "2026-02-27T12:00:00Z",
            "paging": "page",
            "limits": [{"requests": 100_000, "seconds": 1.0}],
            "spent_today": 2,
            "first_sync_requests": None,
            "first_sync_seconds": None,
        },
        "telephony": {
            "organization_id": program.sandbox.organization_id,
            "agents": None,
            "agents_asked": None,
            "calls": 2_400,
            "oldest": "2026-02-27T12:00:00Z",
            "newest": "2026-02-27T12:00:00Z",
            "paging": "page",
            "pages_work": True,
            "limits": [{"requests": 100_000, "seconds": 1.0}, day],
            "daily_requests": 1000,
            "spent_today": 2,
            "first_sync_requests": 24 + 2_400,
            "first_sync_seconds": 2 * 86_400.0,
        },
    }


def test_a_style_that_is_refused_is_replaced_by_the_next(program: Program) -> None:
    """BimpeAI may know none of the fields that the list is to be sorted by."""
    hourly(program)
    program.providers = ("bimpe",)
    program.sandbox.switches.set("bimpe", {"sortable": "nothing", "unknown_sort": "refused"})

    (account,) = accounts(program).values()

    assert (account["calls"], account["paging"], account["pages_work"]) == (30, "unsorted", True)


@pytest.mark.parametrize("provider", ["krosai", "aircall"])
def test_a_page_that_is_ignored_is_found_out(program: Program, provider: str) -> None:
    """Where no style is honoured, that is said."""
    hourly(program)
    program.providers = (provider,)
    program.sandbox.faults.add("page_ignored", provider=provider)

    (account,) = accounts(program).values()

    assert (account["calls"], account["paging"], account["pages_work"]) == (
        30,
        "page",
        False,
    )


def test_of_a_long_list_that_is_filtered_the_newest_is_looked_for_in_the_last_day(program: Program) -> None:
    """Aircall serves no page beyond 10,000 calls: of 1,100 the newest is found if it is of today, and else not known."""
    program.providers = ("aircall",)
    now = program.sandbox.history.now
    program.sandbox.history.add("aircall", number=1_100, at=now - timedelta(days=300))

    (before,) = accounts(program).values()

    assert (before["calls"], before["oldest"], before["newest"]) == (1_100, "2025-05-05T12:00:00Z", None)


@pytest.mark.parametrize("history", [7], indirect=True)
def test_an_account_without_a_call_is_no_failure(program: Program) -> None:
    """Nothing is there to be looked at twice: one request each."""
    lines = program.run("check").out.splitlines()

    told = {one.partition("calls: ")[2] for one in lines if "        calls:" in one}
    assert told == {"0", "0 of 5 agents looked at; 7 agents", "not known: no totals; oldest not known; newest not known"}
    assert sum("paging: not known: there is no second page" in line for line in lines) == len(PROVIDERS)
    assert {len(program.sandbox.requests(provider)) for provider in PROVIDERS if provider != "bimpe"} == {1}
