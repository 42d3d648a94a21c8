"""Open calls that never end are told and looked at daily; what a provider does not know is deleted only where that is proven."""

from __future__ import annotations

from datetime import timedelta

import pytest

from etl.runs.details import AT_ONCE
from etl.runs.terms import Outcome, RunStatus
from tests.acceptance.cast import CAST, NAMES, WITH_DETAIL
from tests.acceptance.stage import START, Row, Stage

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def codes(outcome: Outcome) -> list[str]:
    """Return what a run had to tell."""
    assert outcome.error is None
    return [finding.code for finding in outcome.findings]


def asked(stage: Stage, provider: str, call_id: str) -> int:
    """Return how often a call was asked for by itself since the log was cleared, under whichever form of its id."""
    return sum(
        entry.path.rsplit("/", 1)[-1] in (call_id, call_id.removeprefix("c")) for entry in stage.sandbox.requests(provider)
    )


def everything(stage: Stage) -> dict[str, list[Row]]:
    """Return every row of the calls and their history."""
    tables = ("calls", "call_messages", "call_history")
    return {table: stage.rows(f"SELECT * FROM {table} ORDER BY connection, call_id, 3") for table in tables}


@pytest.mark.parametrize("provider", WITH_DETAIL)
def test_an_open_call_that_never_ends_is_told_and_then_looked_at_daily(stage: Stage, provider: str) -> None:
    """Up to `max_open_age` every run asks for it; from then on one a day does, and says so, until it has ended after all."""
    stage.settings = {provider: {"max_open_age": "2d"}}
    (endless,) = stage.history.add(provider, at=START - HOUR)
    stage.history.change(provider, endless, {"status": CAST[provider].underway})
    told, looked = [], []
    for hours in range(0, 97, 6):
        stage.history.advance_to(START + hours * HOUR)
        stage.history.add(provider)
        stage.sandbox.clear_requests()
        outcome = stage.sync(provider)
        told.append((hours, codes(outcome)))
        looked.append((hours, asked(stage, provider, endless) > 0))
        assert stage.calls(provider)[endless]["status"] == "in_progress"

    assert looked == [(hours, hours <= 48 or hours in (72, 96)) for hours in range(0, 97, 6)]
    assert told == [(hours, ["open_too_long"] if hours in (48, 72, 96) else []) for hours in range(0, 97, 6)]
    assert "open for more than 2 days; they are looked at once a day" in outcome.findings[0].text

    stage.history.change(provider, endless, {"status": "ended" if provider == "bimpe" else "completed"})
    stage.history.advance(6 * HOUR)
    assert codes(stage.sync(provider)) == []
    stage.history.advance(18 * HOUR)
    assert codes(stage.sync(provider)) == []
    assert stage.calls(provider)[endless]["status"] == "completed"


@pytest.mark.parametrize("provider", WITH_DETAIL)
def test_more_calls_gone_than_the_share_allows_are_left_and_told(stage: Stage, provider: str) -> None:
    """Thirty of sixty calls that are followed, and on no list that is read, answer 404: gone only if the share allows it."""
    ids = [call_id for minute in range(60) for call_id in stage.history.add(provider, at=START - 5 * HOUR - minute * MINUTE)]
    for call_id in ids[30:]:
        stage.history.change(provider, call_id, {"status": CAST[provider].underway})
    stage.sync(provider)
    for call_id in ids[30:]:
        stage.history.delete(provider, call_id)
    stage.history.advance(timedelta(minutes=10))

    outcome = stage.sync(provider)

    assert (codes(outcome), outcome.counters.deleted) == (["too_many_gone"], 0)
    assert "no longer knows 30 of 60 calls, which is more than max_delete_share allows" in outcome.findings[0].text
    assert stage.ids(provider) == set(ids)

    stage.settings = {provider: {"max_delete_share": 0.6}}
    stage.history.advance(timedelta(minutes=1))
    outcome = stage.sync(provider)

    assert (codes(outcome), outcome.counters.deleted) == ([], 30)
    assert stage.ids(provider) == set(ids[:30])
    assert {row["call_id"] for row in stage.rows("SELECT call_id FROM deleted_calls")} == set(ids[30:])


@pytest.mark.parametrize("provider", WITH_DETAIL)
def test_what_the_retention_of_the_provider_has_aged_out_stays(stage: Stage, provider: str) -> None:
    """Calls older than `retention` that are listed no more, and answer 404, were not deleted by anybody; younger ones were."""
    stage.settings = {provider: {"retention": "1d", "lookback": "3d"}}
    old = [stage.history.add(provider, at=START - (30 + hours) * HOUR)[0] for hours in range(5)]
    young = [stage.history.add(provider, at=START - (2 + hours) * HOUR)[0] for hours in range(20)]
    stage.sync(provider)
    for call_id in (*old[:3], young[7]):
        stage.history.delete(provider, call_id)
    stage.history.advance(timedelta(minutes=10))

    outcome = stage.sync(provider)

    assert (codes(outcome), outcome.counters.deleted) == ([], 1)
    assert stage.ids(provider) == {*old, *young} - {young[7]}
    assert stage.rows("SELECT connection, call_id FROM deleted_calls") == [{"connection": NAMES[provider], "call_id": young[7]}]


@pytest.mark.parametrize(("before", "after"), [("integer", "as_listed"), ("as_listed", "integer")])
def test_another_form_of_the_id_deletes_nothing(stage: Stage, before: str, after: str) -> None:
    """Salpre finds its calls under one form of their ids today and under the other one tomorrow."""
    stage.sandbox.switches.set("salpre", {"detail_id": before})
    ids = stage.history.add("salpre", number=20, at=START - HOUR)
    for call_id in ids[:5]:
        stage.history.change("salpre", call_id, {"status": "in_progress"})
    stage.sync("salpre")
    held = everything(stage)
    stage.sandbox.switches.set("salpre", {"detail_id": after})
    stage.history.advance(timedelta(minutes=10))

    outcome = stage.sync("salpre")

    assert (outcome.status, codes(outcome), outcome.counters.deleted) == (RunStatus.SUCCEEDED, [], 0)
    without_dates = [{key: value for key, value in row.items() if key != "detail_due_at"} for row in everything(stage)["calls"]]
    assert without_dates == [{key: value for key, value in row.items() if key != "detail_due_at"} for row in held["calls"]]
    assert everything(stage)["call_history"] == held["call_history"]


def test_a_days_budget_is_spent_on_the_newest_details_and_the_rest_comes_the_next_day(stage: Stage) -> None:
    """The list is whole at once; details follow, newest first, as far as the budget goes, and none is asked for twice."""
    ids = [stage.history.add("krosai", at=START - (60 - index) * HOUR)[0] for index in range(60)]
    stage.settings = {"krosai": {"daily_requests": 30}}

    first = stage.sync("krosai")

    assert (first.status, stage.ids("krosai")) == (RunStatus.PARTIAL, set(ids))
    with_detail = {call_id for call_id, row in stage.calls("krosai").items() if row["detail"] is not None}
    assert with_detail == {entry.path.rsplit("/", 1)[-1] for entry in stage.sandbox.requests("krosai")} & set(ids)
    # Of those that are asked for at once, any may be the last that the budget allows.
    assert set(ids[-len(with_detail) + AT_ONCE - 1 :]) <= with_detail <= set(ids[-len(with_detail) - AT_ONCE + 1 :])
    assert len(stage.sandbox.requests("krosai")) == 30

    stage.sandbox.clear_requests()
    stage.clock.sleep(DAY.total_seconds())
    stage.history.advance(DAY)
    second = stage.sync("krosai")
    again = {entry.path.rsplit("/", 1)[-1] for entry in stage.sandbox.requests("krosai")} & with_detail
    stage.clock.sleep(DAY.total_seconds())
    stage.history.advance(DAY)
    third = stage.sync("krosai")

    assert (again, second.status, third.status) == (set(), RunStatus.PARTIAL, RunStatus.SUCCEEDED)
    assert [call_id for call_id, row in stage.calls("krosai").items() if row["detail"] is None] == []
    assert stage.rows("SELECT count(*) FROM call_history") == [{"count": 60}]
