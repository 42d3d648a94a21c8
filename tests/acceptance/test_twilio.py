"""A list by tokens and days, without totals: read whole at first, then by windows, and whole again where these are ignored."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from etl.runs.terms import RunStatus
from tests.acceptance.expected import differences, expected_calls, held_calls
from tests.acceptance.stage import START, Stage
from tests.acceptance.test_audit import audited

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
CALLS, SIZE = 120, 10


@pytest.fixture
def long_stage(stage: Stage) -> Stage:
    """Give a stage with twelve pages of ten calls, four a day, the newest a week old."""
    stage.settings = {"twilio": {"per_page": SIZE}}
    stage.max_attempts = 1
    for index in range(CALLS):
        stage.history.add("twilio", at=START - timedelta(days=7, hours=6 * index))
    return stage


def filters(stage: Stage) -> list[tuple[str | None, str | None]]:
    """Return the bounds of every page that was asked for since the log was cleared."""
    return [(entry.query.get("StartTime>"), entry.query.get("StartTime<")) for entry in stage.pages("twilio")]


def whole(stage: Stage) -> bool:
    """Whether all that lives is held as it is, up to the mark of now."""
    (state,) = stage.state("twilio")
    assert differences(expected_calls(stage, "twilio"), held_calls(stage, "twilio")) == {}
    return stage.ids("twilio") == stage.truth_ids("twilio") and state["high_water_mark"] == stage.history.now


def test_the_plain_list_is_read_to_its_end_and_then_days_are_asked_for(long_stage: Stage) -> None:
    """The end of the list is the horizon; a run with nothing new is one request, from the newest call held on."""
    stage = long_stage
    assert stage.sync("twilio").status is RunStatus.SUCCEEDED
    assert set(filters(stage)) == {(None, None)} and whole(stage)
    stage.sandbox.clear_requests()
    stage.history.advance(MINUTE)
    assert stage.sync("twilio").counters.requests == 1

    newest = START - timedelta(days=7)
    assert filters(stage) == [((newest - DAY).date().isoformat(), None)] and whole(stage)


@pytest.mark.parametrize("until", ["exclusive", "inclusive"])
def test_an_interrupted_backfill_goes_on_at_the_day_of_its_gap(long_stage: Stage, until: str) -> None:
    """However the upper bound is read, nothing is left out, and the first third is not read again."""
    stage = long_stage
    stage.sandbox.switches.set("twilio", {"until": until})
    stage.sandbox.faults.add("cut", provider="twilio", after=4)
    assert stage.sync("twilio").counters.pages == 4
    assert {row["high_water_mark"] for row in stage.state("twilio")} == {None}
    stage.sandbox.faults.clear()
    stage.sandbox.clear_requests()
    oldest = min(row["cursor_at"] for row in stage.calls("twilio").values())
    assert stage.sync("twilio").status is RunStatus.SUCCEEDED

    assert whole(stage)
    assert {before for _, before in filters(stage)} == {None, (oldest + 2 * DAY).date().isoformat()}
    assert len(filters(stage)) <= 1 + 1 + 8 + 1


def test_where_more_calls_came_than_a_page_holds_a_held_one_is_asked_for(long_stage: Stage) -> None:
    """The first page shows none that is held; a detail proves the account, and the gap below is still landed on by its day."""
    stage = long_stage
    stage.sandbox.faults.add("cut", provider="twilio", after=4)
    stage.sync("twilio")
    stage.sandbox.faults.clear()
    stage.history.add("twilio", number=SIZE + 5, at=START)
    stage.history.advance(MINUTE)
    stage.sandbox.clear_requests()
    oldest = min(row["cursor_at"] for row in stage.calls("twilio").values())
    assert stage.sync("twilio").status is RunStatus.SUCCEEDED

    assert whole(stage)
    assert {before for _, before in filters(stage)} == {None, (oldest + 2 * DAY).date().isoformat()}


def test_where_filters_are_ignored_the_list_is_read_to_its_end(long_stage: Stage) -> None:
    """That is told, and the rest of the backfill comes all the same."""
    stage = long_stage
    stage.sandbox.switches.set("twilio", {"filters": "ignored"})
    stage.sandbox.faults.add("cut", provider="twilio", after=4)
    stage.sync("twilio")
    stage.sandbox.faults.clear()
    outcome = stage.sync("twilio")

    assert ([finding.code for finding in outcome.findings], outcome.status) == (["filter_ignored"], RunStatus.SUCCEEDED)
    assert whole(stage)
    stage.sandbox.clear_requests()
    stage.sync("twilio")
    assert set(filters(stage)) == {(None, None)}  # remembered


def test_a_late_price_arrives_with_the_list(stage: Stage) -> None:
    """The call is held without one, and costs no request of its own; legs name the call that they belong to."""
    (parent,) = stage.history.add("twilio", at=START - DAY)
    (leg,) = stage.history.add("twilio", at=START - DAY)
    ended: dict[str, Any] = {"status": "completed", "duration": "70", "price": None, "parent_call_sid": None}
    stage.history.change("twilio", parent, ended)
    stage.history.change("twilio", leg, ended | {"parent_call_sid": parent, "direction": "outbound-dial"})
    stage.sync("twilio")
    assert {(row["cost"], row["currency"]) for row in stage.calls("twilio").values()} == {(None, None)}
    stage.history.change("twilio", parent, {"price": "-0.0170", "price_unit": "EUR"})
    stage.sandbox.clear_requests()
    stage.sync("twilio")

    calls = stage.calls("twilio")
    assert (calls[parent]["cost"], calls[parent]["currency"]) == (Decimal("0.0170"), "EUR")
    assert (calls[parent]["parent_call_id"], calls[leg]["parent_call_id"]) == (None, parent)
    assert len(stage.sandbox.requests("twilio")) == 1


def test_a_queued_call_that_starts_later_is_held_once(stage: Stage) -> None:
    """Its place in the list moves from its creation to its start."""
    (queued,) = stage.history.add("twilio")
    record = stage.history.detail("twilio", queued)
    stage.history.delete("twilio", queued)
    waiting = record | {"status": "queued", "start_time": None, "end_time": None, "duration": None, "direction": "outbound-api"}
    stage.history.add_records("twilio", [waiting | {"sid": "CAqueued"}], at=START)
    stage.sync("twilio")
    assert stage.calls("twilio")["CAqueued"]["status"] == "queued"
    stage.history.advance(timedelta(hours=2))
    stage.history.delete("twilio", "CAqueued")
    started = {"status": "in-progress", "start_time": "Sun, 01 Mar 2026 14:00:00 +0000"}
    stage.history.add_records("twilio", [waiting | started | {"sid": "CAqueued"}])
    outcome = stage.sync("twilio")

    assert (outcome.status, outcome.counters.deleted, stage.ids("twilio")) == (RunStatus.SUCCEEDED, 0, {"CAqueued"})
    call = stage.calls("twilio")["CAqueued"]
    assert (call["status"], call["created_at"], call["cursor_at"]) == ("in_progress", START, START + timedelta(hours=2))


def test_a_damaged_record_far_down_is_asked_for_by_its_day(long_stage: Stage) -> None:
    """Nothing is counted, so a repair reads the whole list; for one record it does not page down to it once more."""
    stage = long_stage
    stage.sync("twilio")
    held = stage.calls("twilio")
    victim = min(held, key=lambda call_id: held[call_id]["cursor_at"])
    with stage.database.begin() as session:
        session.exec_driver_sql("UPDATE calls SET raw = '[]' WHERE call_id = %(id)s", {"id": victim})
    stage.sandbox.clear_requests()
    outcome = audited(stage, "twilio", repair=True)

    assert [(one.call_id, one.differs, one.mended) for one in outcome.named] == [(victim, ("raw",), True)] and whole(stage)
    day = held[victim]["cursor_at"]
    assert ((day - DAY).date().isoformat(), (day + 2 * DAY).date().isoformat()) in filters(stage)
    assert len(filters(stage)) <= 1 + 2 + CALLS // SIZE + 1
