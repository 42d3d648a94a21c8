"""What was never read is said, over HTTP: an agent that fails from the beginning, a start date in the future."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from etl.runs.terms import RunStatus
from tests.acceptance.cast import NAMES, PROVIDERS
from tests.acceptance.process import Program
from tests.acceptance.stage import START, Stage

HOUR = timedelta(hours=1)


def test_a_connection_of_which_one_agent_was_never_read_is_not_called_fresh(stage: Stage) -> None:
    """One agent of two answers 500 from the start; when it is read at last, both instants are there."""
    second = stage.history.roster.add(stage.history.micros, "Second")
    stage.history.add("bimpe", number=3, at=START - HOUR)
    stage.history.add("bimpe", number=3, at=START - HOUR, agent=second)
    stage.max_attempts = 2
    stage.sandbox.faults.add("status_500", provider="bimpe", path=f"{second}/calls")

    assert stage.sync("bimpe").status is RunStatus.FAILED
    row = stage.freshness("bimpe")
    assert (row["fresh_until"], row["complete_until"], row["lag_seconds"]) == (None, None, None)
    assert len(stage.state("bimpe")) == 2

    stage.sandbox.faults.clear()
    assert stage.sync("bimpe").status is RunStatus.SUCCEEDED
    row = stage.freshness("bimpe")
    assert (row["fresh_until"], row["complete_until"]) == (stage.history.now, stage.history.now)


def test_an_agent_without_calls_does_not_keep_its_connection_from_being_complete(stage: Stage) -> None:
    """Its list is empty, and the other agent's shows that the account answers: one request each, and its first call is found."""
    second = stage.history.roster.add(stage.history.micros, "Second")
    stage.history.add("bimpe", number=50, at=START - HOUR)
    for _ in range(2):
        assert stage.sync("bimpe").status is RunStatus.SUCCEEDED
        row, now = stage.freshness("bimpe"), stage.history.now
        assert (row["fresh_until"], row["complete_until"], row["gaps"]) == (now, now, 0)
        stage.sandbox.clear_requests()
        stage.history.advance(HOUR)
    first = stage.history.add("bimpe", number=1, at=stage.history.now, agent=second)
    stage.history.advance(HOUR)

    outcome = stage.sync("bimpe")

    assert (outcome.status, outcome.findings, stage.numbers("bimpe")) == (RunStatus.SUCCEEDED, [], [1, 1])
    assert set(first) <= stage.ids("bimpe")
    assert stage.freshness("bimpe")["complete_until"] == stage.history.now


def test_where_no_agent_has_a_call_yet_nothing_is_proven_and_status_says_why(stage: Stage, tmp_path: Path) -> None:
    """A new account, or an outage: nobody can tell, and nobody is frightened."""
    stage.history.roster.add(stage.history.micros, "Second")
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path, providers=("bimpe",))

    assert program.run("sync").code == 0
    assert "voice: the provider lists no call yet" in program.run("status").out
    (row,) = program.run("status", "--json").json["connections"]
    assert (row["calls"], row["fresh_until"], row["gaps"], row["no_call_yet"]) == (0, None, 0, True)
    stage.history.add("bimpe", number=3, at=START - HOUR)
    assert program.run("sync").code == 0
    assert "no call yet" not in program.run("status").out


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_start_date_in_the_future_is_told_by_every_command(stage: Stage, tmp_path: Path, provider: str) -> None:
    """Nothing is read and nothing is proven, and none of check, sync, status and audit calls that complete."""
    stage.history.add(provider, number=3, at=START - HOUR)
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path, providers=(provider,))
    program.settings[provider] = {"start_date": "2100-01-01"}
    said = "start_date (2100-01-01 00:00 UTC) is in the future: nothing is read until then"

    assert said in program.run("check").out
    stage.sandbox.clear_requests()
    synced = program.run("sync", "--json").json["connections"]
    assert (synced[0]["status"], synced[0]["findings"]) == (
        "succeeded",
        [{"stream": "calls", "code": "not_begun", "text": f"{said}."}],
    )
    assert stage.sandbox.requests(provider) == []
    assert said in program.run("status").out
    (row,) = program.run("status", "--json").json["connections"]
    assert (row["connection"], row["not_begun"], row["high_water_mark"], row["fresh_until"]) == (
        NAMES[provider],
        said,
        None,
        None,
    )
    (audited,) = program.run("audit", "--json").json["connections"]
    assert audited["verdict"] == "unverifiable"
    assert [(one["note"], one["provider_count"]) for one in audited["streams"]] == [(said, None)]
