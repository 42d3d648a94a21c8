"""Calls are asked for one by one: which are due, what follows from the answers, which are gone, and what stays due."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from etl.errors import AuthenticationFailed, NotFound, ProviderUnavailable
from etl.model import JSON
from etl.runs.terms import RunStatus
from tests.memory.acme import ACME, HUGE, at, call
from tests.unit.runs.scene import DAY, HOUR, Scene, codes

SPOKEN = {"transcript": "words"}


def scene_of(number: int, **settings: object) -> Scene:
    """Return a scene with so many calls, each two minutes older than the one before, whose details know more than the list."""
    scene = Scene(ACME, settings=settings)
    for index in range(number):
        scene.add(call(f"c{index:03}", -60 - 2 * index))
        scene.api.details[f"c{index:03}"] = call(f"c{index:03}", -60 - 2 * index, **SPOKEN)
    return scene


def tell(scene: Scene, call_id: str, **fields: JSON) -> None:
    """Let both the list and the detail of a call say something else."""
    scene.api.find(call_id).update(fields)
    scene.api.details[call_id].update(fields)


# Which are due


def test_new_calls_are_asked_for_newest_first() -> None:
    """Each once; what the details say is written, and nothing of them is due any more."""
    scene = scene_of(25)

    outcome = scene.sync()

    assert scene.api.asked() == [f"c{index:03}" for index in range(25)]
    assert {row.transcript for row in scene.calls.values()} == {"words"}
    assert (codes(outcome), outcome.counters.inserted, outcome.counters.updated, scene.dues()) == ([], 25, 25, {})
    scene.later(HOUR)
    scene.sync()
    assert scene.api.asked() == []


def test_a_call_that_changed_is_asked_for_again() -> None:
    """Those beside it are not."""
    scene = scene_of(5)
    scene.sync()
    tell(scene, "c002", seconds=9)
    scene.later(HOUR / 2)

    scene.sync()

    assert (scene.api.asked(), scene.calls["c002"].duration_seconds, scene.dues()) == (["c002"], 9, {})


def test_late_parts_are_waited_for_until_the_lookback_after_the_end() -> None:
    """A completed call without its transcript is asked for by every run; two hours after it ended it is given up."""
    scene = Scene(ACME)
    scene.add(call("long", -10 * 60, ended=at(-60).isoformat()))
    asked = []
    for minutes in range(0, 121, 20):
        scene.clock.instant = at(minutes)
        scene.sync()
        asked.append((minutes, scene.api.asked()))

    assert asked == [(minutes, ["long"] if minutes <= 60 else []) for minutes in range(0, 121, 20)]


def test_late_parts_that_arrive_make_an_end_of_asking() -> None:
    """The transcript is in the row, and the call is not asked for again."""
    scene = Scene(ACME)
    scene.add(call("c1", -10))
    scene.sync()
    scene.later(HOUR / 2)
    scene.api.details["c1"] = call("c1", -10, **SPOKEN)

    scene.sync()

    assert (scene.calls["c1"].transcript, scene.dues()) == ("words", {})


def test_nobody_spoke_in_a_call_that_was_busy() -> None:
    """It ended without late parts: it is asked for once."""
    scene = Scene(ACME)
    scene.add(call("c1", -10, status="busy"))
    scene.sync()

    assert (scene.api.asked(), scene.dues()) == (["c1"], {})


def test_an_open_call_is_followed_until_it_ends() -> None:
    """By every run, also when it is long since settled and stands on no page that is read."""
    scene = scene_of(15)
    tell(scene, "c014", status="talking")
    scene.sync()
    for _ in range(3):
        scene.later(HOUR * 5)
        scene.sync()
        assert scene.api.asked() == ["c014"]
    tell(scene, "c014", status="done")
    scene.later(HOUR)

    scene.sync()

    assert (scene.calls["c014"].status, scene.calls["c014"].transcript, scene.dues()) == ("completed", "words", {})


def test_a_call_that_never_ends_is_looked_at_once_a_day() -> None:
    """From `max_open_age` on, and the run that looks says so."""
    scene = scene_of(1, max_open_age=2 * DAY)
    tell(scene, "c000", status="talking")
    looked = []
    for hours in range(0, 97, 6):
        scene.clock.instant = at(60 * hours)
        outcome = scene.sync()
        looked.append((hours, scene.api.asked(), codes(outcome)))

    daily = (48, 72, 96)
    assert looked == [
        (hours, ["c000"] if hours < 48 or hours in daily else [], ["open_too_long"] if hours in daily else [])
        for hours in range(0, 97, 6)
    ]


def test_without_details_only_open_calls_that_no_list_shows_are_asked_for() -> None:
    """`details = false` saves the requests; a call that is open and on no page would otherwise stay so for ever."""
    scene = scene_of(15, details=False)
    for call_id in ("c000", "c014"):
        tell(scene, call_id, status="talking")
    for _ in range(2):
        scene.sync()
        assert scene.api.asked() == []
        scene.later(3 * HOUR)

    scene.sync()

    assert scene.api.asked() == ["c014"]
    tell(scene, "c014", status="done")
    scene.later(HOUR)
    scene.sync()
    assert scene.calls["c014"].status == "completed"


def test_without_details_what_is_due_of_ended_calls_hides_no_open_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """More ended calls are due than are looked at together, and more open ones are listed: the open call below is followed."""
    monkeypatch.setattr("etl.runs.details.CHUNK", 3)
    scene = scene_of(25, details=False)
    for call_id in ("c000", "c001", "c002", "c003", "c024"):
        tell(scene, call_id, status="talking")
    for _ in range(2):
        scene.sync()
        scene.later(3 * HOUR)
    assert len(scene.dues()) == 25
    tell(scene, "c024", status="done")

    scene.sync()

    assert (scene.api.asked(), scene.calls["c024"].status) == (["c024"], "completed")


def test_what_was_due_while_there_were_no_details_is_asked_for_once_there_are() -> None:
    """`details = false` keeps the dates: set to true, the calls that came meanwhile get their details too."""
    scene = scene_of(5, details=False)
    scene.sync()
    assert scene.api.asked() == []
    scene.settings["details"] = True
    scene.later(HOUR)

    scene.sync()

    assert (scene.api.asked(), scene.dues()) == ([f"c{index:03}" for index in range(5)], {})


@pytest.mark.parametrize("back", [timedelta(seconds=90), 2 * HOUR])
def test_a_clock_set_back_asks_for_no_call_twice_in_a_run(back: timedelta) -> None:
    """What is observed before what is held is not written; the call is due again when an answer can be taken, not before."""
    scene = scene_of(3)
    tell(scene, "c001", status="talking")
    scene.sync()
    scene.later(timedelta(seconds=30))
    scene.sync()
    assert scene.api.asked() == ["c001"]
    scene.api.skew = back + HOUR  # an hour later by the provider's clock; ours was set back meanwhile
    scene.later(-back)

    assert scene.sync().status is RunStatus.SUCCEEDED
    assert (scene.api.asked(), list(scene.dues())) == (["c001"], ["c001"])
    tell(scene, "c001", seconds=9)
    scene.later(back / 2)
    scene.sync()
    assert scene.api.asked() == []
    scene.later(back / 2 + timedelta(seconds=1))
    scene.sync()
    assert (scene.api.asked(), scene.calls["c001"].duration_seconds) == (["c001"], 9)


def test_a_detail_that_the_warehouse_refuses_is_asked_for_once_in_a_run() -> None:
    """It is a reject, and stays due for the next run."""
    scene = scene_of(3)
    scene.api.details["c001"] = call("c001", -62, extra=HUGE)

    outcome = scene.sync()

    assert (sorted(scene.api.asked()), outcome.counters.rejected) == (["c000", "c001", "c002"], 1)
    assert list(scene.dues()) == ["c001"]


# Failures


def test_a_detail_that_fails_is_left_for_the_next_run() -> None:
    """It holds nothing back: the run succeeds, every other detail is written, and this one stays due."""
    scene = scene_of(5)
    scene.api.refusals = {"/calls/c002": ProviderUnavailable("500")}

    outcome = scene.sync()

    assert (outcome.status, list(scene.dues()), len(scene.api.asked())) == (RunStatus.SUCCEEDED, ["c002"], 5)
    scene.api.refusals = {}
    scene.later(HOUR / 2)
    scene.sync()
    assert (scene.api.asked(), scene.calls["c002"].transcript, scene.dues()) == (["c002"], "words", {})


def test_a_credential_that_is_refused_ends_the_run() -> None:
    """What was answered before is kept."""
    scene = scene_of(20)
    scene.api.refusals = {"/calls/c015": AuthenticationFailed("401")}

    outcome = scene.sync()

    assert (outcome.status, codes(outcome)) == (RunStatus.FAILED, ["authentication"])
    assert {f"c{index:03}" for index in range(15)} <= scene.ids - set(scene.dues())


def test_a_budget_that_is_spent_leaves_the_rest_for_the_next_day() -> None:
    """What it paid for is written, newest first; the next run asks for the others only."""
    scene = scene_of(70)
    scene.api.budget = 7 + 60

    outcome = scene.sync()

    assert (outcome.status, codes(outcome)) == (RunStatus.PARTIAL, ["budget_spent"])
    assert set(scene.dues()) == {f"c{index:03}" for index in range(70)} - set(scene.api.asked())
    assert scene.api.asked() == [f"c{index:03}" for index in range(len(scene.api.asked()))]
    rest = list(scene.dues())
    scene.api.budget = None
    scene.later(HOUR / 2)
    assert scene.sync().status is RunStatus.SUCCEEDED
    assert (sorted(scene.api.asked()), scene.dues()) == (sorted(rest), {})


def test_a_stop_keeps_what_was_answered() -> None:
    """The run ends `partial`, and the next one asks for what is left."""
    scene = scene_of(20)
    scene.api.before = lambda path: scene.stop.set() if path == "/calls/c004" else None

    outcome = scene.sync()

    assert (outcome.status, codes(outcome)) == (RunStatus.PARTIAL, ["interrupted"])
    answered = scene.api.asked()
    assert (answered[:5], len(answered) < 20) == (["c000", "c001", "c002", "c003", "c004"], True)
    assert set(scene.dues()) == scene.ids - set(answered)
    scene.stop.clear()
    scene.sync()
    assert set(scene.api.asked()) == scene.ids - set(answered)


# Gone


def gone(number: int, missing: int, *, naming: str | None = "call", **settings: object) -> Scene:
    """Return a scene whose oldest calls went on when they were read last, and are absent now; no list that is read shows them."""
    scene = Scene(ACME, settings=settings)
    for index in range(number):
        scene.add(call(f"c{index:03}", -600 - 2 * index, **SPOKEN))
    absent = [f"c{index:03}" for index in range(number - missing, number)]
    for call_id in absent:
        scene.api.find(call_id)["status"] = "talking"
    scene.sync()
    scene.api.remove(*absent)
    scene.api.refusals = {f"/calls/{call_id}": NotFound("404", naming=naming) for call_id in absent}
    scene.later(HOUR / 2)
    return scene


def test_a_call_whose_own_404_names_it_is_gone() -> None:
    """While others of the stream answer."""
    scene = gone(15, 1)
    scene.api.find("c000")["seconds"] = 1

    outcome = scene.sync()

    assert (codes(outcome), outcome.counters.deleted, scene.deleted) == ([], 1, {"c014"})
    assert sorted(scene.api.asked()) == ["c000", "c014"]


def test_a_404_that_names_nothing_deletes_nothing() -> None:
    """It may come of a proxy, or a route that moved; the call stays, and stays due."""
    scene = gone(15, 1, naming=None)
    scene.api.find("c000")["seconds"] = 1

    outcome = scene.sync()

    assert (outcome.status, outcome.counters.deleted, scene.deleted) == (RunStatus.SUCCEEDED, 0, set())
    assert ("c014" in scene.ids, "c014" in scene.dues()) == (True, True)


def test_where_no_other_call_was_asked_for_one_is_asked_to_prove_the_404() -> None:
    """A call that is held answers: the provider knows its calls, but for this one."""
    scene = gone(15, 1)

    outcome = scene.sync()

    assert (codes(outcome), scene.deleted, scene.api.asked()) == ([], {"c014"}, ["c014", "c000"])


def test_a_404_that_no_other_call_disproves_deletes_nothing() -> None:
    """Where the provider answers for none of the calls that are asked for it is an outage, and the run says so."""
    scene = gone(15, 1)
    scene.api.refusals = {f"/calls/c{index:03}": NotFound("404", naming="call") for index in range(15)}

    outcome = scene.sync()

    assert (codes(outcome), outcome.counters.deleted, scene.deleted) == (["gone_unproven"], 0, set())
    assert scene.api.asked() == ["c014", "c000", "c001", "c002"]


@pytest.mark.parametrize(("number", "missing", "refused"), [(25, 10, False), (25, 11, True), (60, 12, False), (60, 13, True)])
def test_more_calls_gone_than_the_cap_allows_delete_nothing(number: int, missing: int, refused: bool) -> None:
    """Ten are believed whatever their share, more up to a fifth of the calls held; the run says what it left."""
    scene = gone(number, missing)

    outcome = scene.sync()

    assert (codes(outcome), len(scene.deleted)) == ((["too_many_gone"], 0) if refused else ([], missing))
    scene.settings["max_delete_share"] = 1
    scene.later(HOUR)
    scene.sync()
    assert len(scene.deleted) == missing


def test_what_the_retention_has_aged_out_is_not_gone() -> None:
    """A call older than `retention` that answers 404 stays: nobody deleted it."""
    scene = gone(15, 2, retention=timedelta(minutes=30 + 627))

    outcome = scene.sync()

    assert (codes(outcome), scene.deleted) == ([], {"c013"})


# The organisation


def test_the_organisation_is_checked_on_details_too() -> None:
    """A detail of another organisation fails the connection, and nothing of its batch is stored."""
    scene = scene_of(5)
    for index, one in enumerate(scene.api.details.values()):
        one["org"] = "ours" if index != 3 else "theirs"

    outcome = scene.sync()

    assert (outcome.status, codes(outcome)) == (RunStatus.FAILED, ["foreign_organization"])
    assert {row.detail for row in scene.calls.values()} == {None}
    assert len(scene.dues()) == 5


def test_the_first_organisation_that_a_detail_shows_is_pinned() -> None:
    """Where the list does not say whose the calls are."""
    scene = scene_of(2)
    for one in scene.api.details.values():
        one["org"] = "ours"

    scene.sync()

    assert scene.shelf.about["pinned_organization"] == "ours"


def test_a_provider_without_details_is_asked_for_none() -> None:
    """Nothing is due, and a call that stays open is read from the list."""
    scene = scene_of(3)
    scene.provider = replace(ACME, detail=None)
    tell(scene, "c000", status="talking")

    assert (scene.sync().status, scene.api.asked(), scene.dues()) == (RunStatus.SUCCEEDED, [], {})
