"""A detail that never comes: counted with its call, told by every run, asked for less and less often, not taken for gone."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from etl.errors import AuthenticationFailed, NotFound, ProviderUnavailable
from etl.runs.terms import Outcome, RunStatus
from tests.events import events_told
from tests.memory.acme import ACME, HUGE, at, call
from tests.unit.runs.scene import DAY, HOUR, LINE, Scene, codes

UNAVAILABLE = ProviderUnavailable("500")
ABSENT = NotFound("404", naming="call")


def scene_of(number: int, *failing: str, error: Exception = UNAVAILABLE, **settings: object) -> Scene:
    """Return a scene with so many calls, each a minute older than the one before, of which some answer with an error."""
    scene = Scene(ACME, settings=settings)
    scene.add(*(call(f"c{index}", -600 - index, transcript="words") for index in range(number)))
    scene.api.refusals = {f"/calls/{call_id}": error for call_id in failing}
    return scene


def failing(scene: Scene) -> dict[str, int]:
    """Return how often in a row the details of calls have failed."""
    return {call_id: number for call_id, number in scene.shelf.failures.items() if number}


def told(outcome: Outcome) -> list[str]:
    """Return what the run says of details that cannot be had."""
    return [finding.text.partition(":")[0] for finding in outcome.findings if finding.code == "details_failing"]


def test_a_detail_that_never_comes_is_told_by_every_run() -> None:
    """Also by those that do not ask for it; the run succeeds, and once it comes nothing is told any more."""
    scene = scene_of(5, "c1", "c3")
    outcomes = []
    for _ in range(5):
        outcomes.append(scene.sync())
        scene.later(timedelta(minutes=5))

    assert [outcome.status for outcome in outcomes] == [RunStatus.SUCCEEDED] * 5
    assert [told(outcome) for outcome in outcomes] == [["2 details cannot be had"]] * 5
    scene.api.refusals.pop("/calls/c1")
    scene.later(DAY)
    assert told(scene.sync()) == ["1 detail cannot be had"]
    scene.api.refusals.clear()
    scene.later(DAY)
    assert (codes(scene.sync()), failing(scene), scene.dues()) == ([], {}, {})


def test_it_is_asked_for_less_and_less_often() -> None:
    """The next run tries again, then the wait is doubled from a quarter of an hour, up to a day."""
    scene = scene_of(2, "c1")
    asked = []
    for minutes in range(0, 5 * 24 * 60, 5):
        scene.clock.instant = at(minutes)
        scene.sync()
        if "c1" in scene.api.asked():
            asked.append(minutes)

    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits[:8] == [5, 15, 30, 60, 120, 240, 480, 960]
    assert set(waits[8:]) == {23 * 60}
    assert failing(scene) == {"c1": len(asked)}


def test_an_open_call_whose_detail_fails_is_counted_too() -> None:
    """It stays open, and its end is taken from the detail once that answers."""
    scene = scene_of(3)
    scene.api.find("c2")["status"] = "talking"
    scene.sync()
    scene.api.refusals = {"/calls/c2": UNAVAILABLE}
    scene.later(HOUR)
    assert (told(scene.sync()), failing(scene)) == (["1 detail cannot be had"], {"c2": 1})

    scene.api.refusals.clear()
    scene.api.find("c2")["status"] = "done"
    scene.later(HOUR)
    assert (codes(scene.sync()), failing(scene), scene.calls["c2"].status) == ([], {}, "completed")


def test_a_detail_that_the_database_refuses_cannot_be_had_either() -> None:
    """It waits like any other that fails."""
    scene = scene_of(3)
    scene.api.details["c1"] = call("c1", -601, extra=HUGE)
    for _ in range(2):
        assert told(scene.sync()) == ["1 detail cannot be had"]
        scene.later(timedelta(minutes=5))

    assert failing(scene) == {"c1": 2}
    scene.sync()
    assert scene.api.asked() == []


@pytest.mark.parametrize("by", ["budget", "stop"])
def test_a_run_that_is_cut_fails_no_detail(by: str) -> None:
    """Where the day's requests are spent, or somebody stops the run, what was not answered was not asked for."""
    scene = scene_of(9)
    if by == "budget":
        scene.api.budget = 4
    else:
        scene.api.before = lambda path: scene.stop.set() if path == "/calls/c2" else None

    outcome = scene.sync()

    assert (outcome.status, told(outcome), failing(scene)) == (RunStatus.PARTIAL, [], {})


def test_a_run_that_is_cut_counts_what_had_failed_before_and_tells_it() -> None:
    """The answers before the cut are answers."""
    scene = scene_of(9, "c1")
    scene.api.budget = 5

    outcome = scene.sync()

    assert (outcome.status, told(outcome), failing(scene)) == (RunStatus.PARTIAL, ["1 detail cannot be had"], {"c1": 1})


def test_a_right_that_is_missing_for_all_is_no_calls_fault() -> None:
    """The run fails and says so; where the right comes, every call is asked for at once."""
    forbidden = AuthenticationFailed("403", status=403)
    scene = scene_of(9, *(f"c{index}" for index in range(9)), error=forbidden)
    outcome = scene.sync()
    assert (codes(outcome), failing(scene)) == (["authentication"], {})

    scene.api.refusals = {"/calls/c1": forbidden}
    scene.later(timedelta(minutes=1))
    outcome = scene.sync()

    assert (codes(outcome), failing(scene), len(scene.api.asked())) == (["details_failing"], {"c1": 1}, 9)


def test_the_log_tells_it_as_a_warning() -> None:
    """One line for each stream and kind of failure, however many calls they are; it names none of them."""
    scene = scene_of(9, "c1", "c2", "c5")
    scene.api.refusals["/calls/c5"] = NotFound("404", naming=None)
    with events_told() as lines:
        scene.sync()

    failed = [line for line in lines if line["event"] == "detail.failed"]
    common = {"event": "detail.failed", "log_level": "warning", "connection": LINE, "stream": "calls"}
    assert failed == [common | {"error": "unavailable", "calls": 2}, common | {"error": "not_found", "calls": 1}]


# Listed, but its own address does not know it


def test_what_the_list_shows_is_there_whatever_its_detail_answers() -> None:
    """15 of 100 calls are listed while their own addresses answer 404 by name: none is buried, by no run, and that is told."""
    scene = scene_of(100, *(f"c{index}" for index in range(85, 100)), error=ABSENT)
    outcomes = []
    for _ in range(12):  # three days: long after the lookback, when no list that is read shows them
        outcomes.append(scene.sync())
        scene.later(HOUR * 6)

    assert {(outcome.status, outcome.counters.deleted) for outcome in outcomes} == {(RunStatus.SUCCEEDED, 0)}
    assert {tuple(told(outcome)) for outcome in outcomes} == {("15 details cannot be had",)}
    assert (len(scene.ids), scene.deleted) == (100, set())
    assert set(failing(scene)) == {f"c{index}" for index in range(85, 100)}
    assert [versions for call_id, versions in scene.shelf.history.items() if call_id in failing(scene)] == []


def test_a_call_that_is_listed_again_while_its_address_fails_stays() -> None:
    """It was followed, and its address knew it once; now the address answers 404, and the list still shows the call."""
    scene = scene_of(15)
    scene.api.find("c14")["status"] = "talking"
    scene.sync()
    scene.api.refusals = {"/calls/c14": ABSENT}
    scene.later(HOUR)

    outcome = scene.sync(full=True)

    assert (codes(outcome), outcome.counters.deleted, failing(scene)) == (["details_failing"], 0, {"c14": 1})
    scene.later(DAY)
    assert (scene.sync().counters.deleted, "c14" in scene.ids) == (0, True)


def test_a_call_that_a_complete_reading_does_not_show_is_gone_although_its_detail_never_came() -> None:
    """The list is what counts: it left it, and its address says so."""
    scene = scene_of(15, "c7", error=ABSENT)
    scene.sync()
    scene.api.remove("c7")
    scene.later(HOUR)

    outcome = scene.sync(full=True)

    assert (codes(outcome), outcome.counters.deleted, scene.deleted, failing(scene)) == ([], 1, {"c7"}, {})


def test_what_the_retention_has_aged_out_is_not_asked_for_again() -> None:
    """The provider keeps three days: of a call that ended before that nothing more can be had, and it stays."""
    scene = scene_of(3, retention=3 * DAY, lookback=DAY)
    scene.api.details["c2"] = call("c2", -602)  # its transcript is awaited
    scene.sync()
    assert list(scene.dues()) == ["c2"]
    scene.api.details.clear()
    scene.api.remove("c0", "c1", "c2")
    scene.add(call("new", 5 * 24 * 60, transcript="words"))
    scene.clock.instant = at(5 * 24 * 60 + 1)
    scene.api.lists["calls"].insert(0, call("c1", -601, transcript="words"))

    outcome = scene.sync()

    assert (codes(outcome), outcome.counters.deleted, failing(scene), scene.dues()) == ([], 0, {}, {})
    assert {"c0", "c1", "c2"} <= scene.ids
