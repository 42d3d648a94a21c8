"""The row of a run tells what the run did: requests as the provider counted them, pages, and what became of every record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from etl.runs.terms import Outcome
from tests.acceptance.cast import CAST, NAMES, PROVIDERS
from tests.acceptance.stage import START, Row, Stage

HOUR = timedelta(hours=1)
COUNTED = ("requests", "retries", "pages", "records_seen", "inserted", "updated", "unchanged", "deleted", "rejected", "late")


def counted(stage: Stage, outcome: Outcome) -> Row:
    """Return what a run's row counts; the outcome must say the same."""
    row = stage.run_row(outcome)
    assert {name: row[name] for name in COUNTED} == {name: getattr(outcome.counters, name) for name in COUNTED}
    return {name: row[name] for name in COUNTED}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_run_counts_what_it_did(stage: Stage, provider: str) -> None:
    """New, changed, unchanged and late calls, the longest lateness, pages and requests: as the sandbox saw them."""
    agents = 1 if provider == "bimpe" else 0
    stage.settings = {provider: {"per_page": 100, "details": False}}
    changed, *_ = stage.history.add(provider, at=START - HOUR)
    stage.history.add(provider, number=4, at=START - HOUR)
    began = datetime.now(UTC)

    first = stage.sync(provider)

    row = stage.run_row(first)
    assert began - HOUR < row["started_at"] <= row["finished_at"]
    assert {key: row[key] for key in ("connection", "trigger", "status", "error_code", "error_message", "max_lateness")} == {
        "connection": NAMES[provider],
        "trigger": "cli",
        "status": "succeeded",
        "error_code": None,
        "error_message": None,
        "max_lateness": None,
    }
    none = dict.fromkeys(COUNTED, 0)
    # That a window of decades was answered whole is proven by showing its end once more, and by two totals.
    proof = {"requests": 4, "pages": 2, "records_seen": 10, "unchanged": 5} if CAST[provider].ascending else {}
    assert counted(stage, first) == none | {"requests": 1 + agents, "pages": 1, "records_seen": 5, "inserted": 5} | proof

    stage.history.change(provider, changed, {CAST[provider].duration: 77_777})
    stage.history.add(provider, number=2, at=START - timedelta(minutes=40))
    stage.history.add(provider, number=1, at=START - timedelta(minutes=10))
    stage.history.advance(HOUR)
    stage.history.add(provider, number=3)
    stage.history.advance(timedelta(seconds=1))
    stage.sandbox.clear_requests()

    second = stage.sync(provider)

    changes = {"records_seen": 11, "inserted": 6, "updated": 1, "unchanged": 4, "late": 3}
    assert len(stage.sandbox.requests(provider)) == 1 + agents
    assert counted(stage, second) == none | changes | {"requests": 1 + agents, "pages": 1}
    assert stage.run_row(second)["max_lateness"] == timedelta(minutes=40)


def test_a_run_counts_what_it_had_to_ask_again(stage: Stage) -> None:
    """Every request that the provider saw is counted, those that failed as retries."""
    stage.settings = {"tuple": {"per_page": 10}}
    for index in range(60):
        stage.history.add("tuple", at=START - timedelta(days=2) + index * timedelta(minutes=5))
    stage.sandbox.faults.add("status_503", provider="tuple", times=3, after=2)
    stage.sandbox.faults.add("cut", provider="tuple", times=2, after=6)

    outcome = stage.sync("tuple")

    entries = stage.sandbox.requests("tuple")
    row = counted(stage, outcome)
    assert (row["requests"], row["retries"], row["inserted"]) == (len(entries), 5, 60)
    assert row["pages"] == len(entries) - 5 - 2  # that the first window was answered whole is proven by two further totals


def test_a_failed_run_says_why(stage: Stage) -> None:
    """A revoked token: the run is `failed`, with the code and a message that names the setting, and no token in it."""
    stage.history.add("krosai", number=3, at=START - HOUR)
    stage.sandbox.revoke("krosai")

    outcome = stage.sync("krosai")

    row = stage.run_row(outcome)
    assert (row["status"], row["error_code"], row["requests"], row["pages"]) == ("failed", "authentication", 1, 0)
    assert "connections.telephony.token" in row["error_message"]
    assert stage.sandbox.tokens["krosai"] not in row["error_message"]


def test_rejects_are_counted(stage: Stage) -> None:
    """Each sighting of a bad record on a page is counted by the run that saw it."""
    stage.history.add("krosai", number=3, at=START - HOUR)
    stage.history.add_records("krosai", [{"id": None}, {"created_at": "2026-03-01T11:00:00Z"}, "text"], at=START - HOUR)

    row = counted(stage, stage.sync("krosai"))

    assert (row["records_seen"], row["inserted"], row["rejected"]) == (6, 3, 3)
