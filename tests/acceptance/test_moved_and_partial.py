"""What a provider leaves out of a window is asked for, a moved call is the same, and replaced ones have a way on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from etl.errors import AnchorNotMet
from etl.model import Verdict
from etl.runs.terms import RunStatus, Want
from tests.acceptance.cast import PROVIDERS
from tests.acceptance.stage import START, Stage
from tests.acceptance.test_audit import audited

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@pytest.mark.parametrize("switch", [{"first_days": 10}, {"newest_days": 10}, {"most_calls": 50}, {}])
def test_whatever_part_of_a_window_tuple_answers_every_call_arrives(stage: Stage, switch: dict[str, float]) -> None:
    """Two hundred calls of a hundred days; the mark stands at the present, and the next sync brings nothing."""
    stage.settings = {"tuple": {"start_date": f"{START - 101 * DAY:%Y-%m-%d}"}}
    stage.sandbox.switches.set("tuple", switch)
    for index in range(200):
        stage.history.add("tuple", at=START - DAY / 4 - index * DAY / 2)

    outcome = stage.sync("tuple")

    assert (outcome.status, stage.ids("tuple")) == (RunStatus.SUCCEEDED, stage.truth_ids("tuple"))
    assert {row["high_water_mark"] for row in stage.state("tuple")} == {START}
    stage.sandbox.clear_requests()
    assert (stage.sync("tuple").counters.inserted, len(stage.pages("tuple"))) == (
        0,
        1 if not switch else len(stage.pages("tuple")),
    )


@pytest.mark.parametrize("ended", [START - 40 * DAY, START - 5 * MINUTE], ids=["below what is settled", "forward"])
def test_a_tuple_call_whose_end_is_corrected_is_the_same_call(stage: Stage, ended: object) -> None:
    """It stands elsewhere, keeps when it was first seen, and is neither deleted nor new."""
    stage.settings = {"tuple": {"per_page": 10}}
    for index in range(60):
        stage.history.add("tuple", at=START - index * DAY)
    for index in range(1, 40):
        stage.history.add("tuple", at=START - index * 10 * MINUTE)
    stage.sync("tuple")
    (moved,) = stage.rows("SELECT call_id, raw, first_seen_at FROM calls WHERE ended_at = %(at)s", {"at": START - 300 * MINUTE})
    stage.history.delete("tuple", moved["call_id"])
    stage.history.add_records("tuple", [moved["raw"] | {"ended_at": f"{ended:%Y-%m-%dT%H:%M:%S.000Z}"}])
    stage.history.advance(MINUTE)

    outcome = stage.sync("tuple")

    assert (outcome.status, outcome.counters.inserted, outcome.counters.deleted) == (RunStatus.SUCCEEDED, 0, 0)
    row = stage.calls("tuple")[moved["call_id"]]
    assert (row["ended_at"], row["cursor_at"], row["first_seen_at"]) == (ended, ended, moved["first_seen_at"])
    versions = stage.rows("SELECT call_id, deleted, valid_to FROM call_history")
    assert [(one["call_id"], one["deleted"], one["valid_to"]) for one in versions] == [
        (moved["call_id"], False, row["last_changed_at"])
    ]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_where_all_calls_were_replaced_a_share_of_one_loads_what_is_listed(stage: Stage, provider: str) -> None:
    """Without it every sync fails and changes nothing; with it the new calls are held, and the old ones deleted."""
    old = {stage.history.add(provider, at=START - DAY - index * MINUTE)[0] for index in range(15)}
    stage.sync(provider)
    held = stage.ids(provider)
    assert len(held) == len(old)
    for call_id in old:
        stage.history.delete(provider, call_id)
    for index in range(12):
        stage.history.add(provider, at=START - index * MINUTE)
    stage.history.advance(MINUTE)
    for want in (Want(), Want(full=True), Want(since=START - 30 * DAY)):
        assert isinstance(stage.sync(provider, want=want).error, AnchorNotMet)
        assert stage.ids(provider) == held

    stage.settings = {provider: {"max_delete_share": 1}}
    outcome = stage.sync(provider, want=Want(full=True))

    assert (outcome.status, outcome.counters.inserted, outcome.counters.deleted) == (RunStatus.SUCCEEDED, 12, 15)
    assert stage.ids(provider) == stage.truth_ids(provider)
    assert {row["call_id"] for row in stage.rows("SELECT call_id FROM deleted_calls")} == held
    stage.settings = {}
    assert stage.sync(provider).status is RunStatus.SUCCEEDED


def test_windows_answered_in_part_without_a_start_date_are_read_by_several_runs(stage: Stage) -> None:
    """
    From 1970 on, twelve days at a time, a run asks for a limited number of windows. The next one goes on where there is no call
    yet, though calls of the present are held already.
    """
    stage.settings = {"tuple": {"per_page": 50}}
    stage.sandbox.switches.set("tuple", {"newest_days": 12})
    for index in range(500):
        stage.history.add("tuple", at=START - (5 + 3 * index) * DAY / 24)

    outcomes = [stage.sync("tuple") for _ in range(5)]

    assert [one.error for one in outcomes] == [None] * 5
    assert stage.ids("tuple") == stage.truth_ids("tuple")
    assert {row["high_water_mark"] for row in stage.state("tuple")} == {START}


def test_the_hint_for_windows_of_a_day_helps(stage: Stage) -> None:
    """Without a start date there are too many windows of a day; with the one that is asked for every call arrives."""
    stage.settings = {"tuple": {"per_page": 50}}
    stage.sandbox.switches.set("tuple", {"newest_days": 1})
    for index in range(200):
        stage.history.add("tuple", at=START - (5 + 3 * index) * DAY / 24)
    refused = stage.sync("tuple")
    assert "Set start_date" in str(refused.error)

    stage.settings["tuple"]["start_date"] = f"{START - 60 * DAY:%Y-%m-%d}"
    outcome = stage.sync("tuple")

    assert (outcome.error, stage.ids("tuple")) == (None, stage.truth_ids("tuple"))
    assert {row["high_water_mark"] for row in stage.state("tuple")} == {START}


def test_a_stream_that_could_never_be_read_is_not_called_complete(stage: Stage) -> None:
    """Windows answered for their first day only, and no start date: the provider counts none, and none is held."""
    stage.sandbox.switches.set("tuple", {"first_days": 1})
    for index in range(50):
        stage.history.add("tuple", at=START - (2 + index) * DAY)
    assert stage.sync("tuple").status is RunStatus.FAILED

    (one,) = audited(stage, "tuple").verdicts

    assert (one.verdict, one.note) == (Verdict.UNVERIFIABLE, "the stream was never read")
