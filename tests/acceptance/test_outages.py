"""An answer that shows nothing of what is held proves nothing: it claims, stores and deletes nothing, and nothing is lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from etl.errors import AnchorNotMet
from etl.runs.terms import RunStatus
from etl.sandbox import History
from tests.acceptance.cast import NAMES, PROVIDERS, per_day
from tests.acceptance.conftest import SetStage
from tests.acceptance.expected import differences, expected_calls, held_calls
from tests.acceptance.stage import START, Stage


@pytest.fixture
def stage(set_stage: SetStage) -> Stage:
    """Give a stage with two days of calls, late ones among them; none vanishes, and agents stay."""
    return set_stage(
        History(7, start=START, calls_per_day=per_day(40, tuple=100, bimpe=60, krosai=60), vanishing=0, agent_changes=(0, 0, 0))
    )


def whole_warehouse(stage: Stage) -> dict[str, object]:
    """Return everything that a failed run must leave as it was."""
    tables = ("calls", "call_participants", "agents", "sync.rejected_records", "sync.schema_drift")
    found: dict[str, object] = {
        table: sorted(map(repr, stage.rows(f"SELECT ctid::text, xmin::text, * FROM {table}"))) for table in tables
    }
    return found | {provider: stage.state(provider) for provider in PROVIDERS}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_outage_at_the_first_sync_claims_nothing(stage: Stage, provider: str) -> None:
    """200 with an empty list over an empty warehouse covers nothing; when the outage ends, everything arrives."""
    stage.sandbox.faults.add("outage_empty", provider=provider)
    outcome = stage.sync(provider)

    assert (outcome.status, outcome.error) == (RunStatus.SUCCEEDED, None)
    assert [row for row in stage.state(provider) if row["coverage"] or row["settled"] or row["high_water_mark"]] == []

    stage.sandbox.faults.clear()
    assert stage.sync(provider).status is RunStatus.SUCCEEDED
    assert differences(expected_calls(stage, provider), held_calls(stage, provider)) == {}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_outage_later_claims_and_deletes_nothing(stage: Stage, provider: str) -> None:
    """It fails with `anchor_not_met`; what came in the five days that it lasted arrives, older than the lookback or not."""
    stage.sync(provider)
    before = whole_warehouse(stage)
    stage.sandbox.faults.add("outage_empty", provider=provider)
    for _ in range(5):
        outcome = stage.sync(provider)
        assert (outcome.status, type(outcome.error)) == (RunStatus.FAILED, AnchorNotMet)
        assert whole_warehouse(stage) == before
        stage.history.advance(timedelta(days=1))

    stage.sandbox.faults.clear()
    assert (stage.sync(provider).status, outcome.counters.inserted) == (RunStatus.SUCCEEDED, 0)
    assert differences(expected_calls(stage, provider), held_calls(stage, provider)) == {}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_outage_that_begins_between_two_pages_claims_nothing_below(stage: Stage, provider: str) -> None:
    """After the second page of a backfill every answer is empty; the run may fail or end, and the next one has everything."""
    stage.settings = {provider: {"per_page": 10}}
    stage.sandbox.faults.add("outage_empty", provider=provider, after=3)
    stage.sync(provider)
    stage.history.advance(timedelta(days=1))

    stage.sandbox.faults.clear()
    stage.sync(provider)
    assert differences(expected_calls(stage, provider), held_calls(stage, provider)) == {}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_token_of_another_account_changes_nothing(stage: Stage, provider: str) -> None:
    """Nothing of the other account is stored or claimed, and the message says that none of the held calls was seen."""
    stage.sync(provider)
    before = whole_warehouse(stage)
    stage.settings = {provider: {"token": stage.sandbox.other_tokens[provider]}}
    for _ in range(2):
        outcome = stage.sync(provider)
        stage.history.advance(timedelta(hours=5))

        assert isinstance(outcome.error, AnchorNotMet)
        assert "none of" in outcome.error.happened and "held" in outcome.error.happened
        assert f"connections.{NAMES[provider]}.token" in outcome.error.hint
        assert stage.run_row(outcome)["error_code"] == "anchor_not_met"
        assert whole_warehouse(stage) == before

    stage.settings = {}
    assert stage.sync(provider).status is RunStatus.SUCCEEDED
    assert differences(expected_calls(stage, provider), held_calls(stage, provider)) == {}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_answer_from_another_account_in_between_changes_nothing(stage: Stage, provider: str) -> None:
    """The same where the token is ours and the provider answers with somebody else's calls."""
    stage.sync(provider)
    before = whole_warehouse(stage)
    stage.sandbox.faults.add("other_account", provider=provider)

    assert isinstance(stage.sync(provider).error, AnchorNotMet)
    assert whole_warehouse(stage) == before


def test_an_outage_of_one_agent_claims_nothing_of_it(stage: Stage) -> None:
    """One agent's list is empty and its calls are said to be gone: nothing of it is claimed, and that is told."""
    stage.sync("bimpe")
    first, second = (agent["id"] for agent in stage.history.agents())
    before = {row["stream"]: row for row in stage.state("bimpe")}
    stage.history.advance(timedelta(days=1))
    stage.sandbox.faults.add("outage_empty", provider="bimpe", path=first)

    outcome = stage.sync("bimpe")
    assert [(finding.stream, finding.code) for finding in outcome.findings] == [(first, "list_empty"), (first, "gone_unproven")]
    assert {row["stream"]: row for row in stage.state("bimpe")}[first] == before[first]
    expected = {call_id: row for call_id, row in expected_calls(stage, "bimpe").items() if row["stream"] == second}
    assert differences(expected, held_calls(stage, "bimpe")) == {}

    stage.sandbox.faults.clear()
    assert stage.sync("bimpe").status is RunStatus.SUCCEEDED
    assert differences(expected_calls(stage, "bimpe"), held_calls(stage, "bimpe")) == {}
