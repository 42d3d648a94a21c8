"""An agent without a call: its empty list is believed where the run has seen that the account answers, and never alone."""

from __future__ import annotations

from datetime import datetime

import pytest

from etl.coverage import ORIGIN, Span, Spans
from etl.errors import NotFound
from etl.model import JSON
from etl.runs.terms import RunStatus
from tests.memory.acme import BY_AGENT, LOOKBACK, at, call
from tests.unit.runs.scene import DAY, HOUR, Scene, codes

NOTHING: tuple[Spans, Spans] = (Spans(), Spans())
ORDERS = pytest.mark.parametrize("names", [("ann", "bob"), ("bob", "ann")], ids=["ann first", "bob first"])


def agents_of(*names: str, number: int = 0, **settings: object) -> Scene:
    """Return a scene with these agents, of which ann has so many calls."""
    scene = Scene(BY_AGENT, settings=dict(settings))
    for name in names:
        scene.api.agents.append({"id": name, "name": name.title(), "status": "on", "created": at(-600).isoformat()})
        scene.api.lists[name] = []
    scene.add(*(call(f"ann{index}", -24 * 60 - index, transcript="words") for index in range(number)), stream="ann")
    return scene


def read(scene: Scene, stream: str) -> tuple[Spans, Spans]:
    """Return what is covered and what is settled of a stream."""
    return scene.state(stream).coverage, scene.state(stream).settled


def until(scene: Scene, *, start: datetime = ORIGIN) -> tuple[Spans, Spans]:
    """Return that from the beginning all is covered until now, and settled but for the lookback."""
    now = scene.clock.now()
    return Spans([Span(start, now)]), Spans([Span(start, now - LOOKBACK)])


@ORDERS
def test_an_agent_without_calls_is_read_if_another_one_has_some(names: tuple[str, ...]) -> None:
    """Whichever is listed first; one request for each at every run, and both are as fresh as the run."""
    scene = agents_of(*names, number=5)
    for _ in range(3):
        outcome = scene.sync()
        assert (outcome.status, codes(outcome), len(scene.api.pages())) == (RunStatus.SUCCEEDED, [], 2)
        assert read(scene, "bob") == until(scene)
        assert [scene.state(name).high_water_mark for name in names] == [scene.clock.now()] * 2
        assert (scene.state("bob").gaps, scene.state("bob").horizon) == (Spans(), ORIGIN)
        scene.later(DAY)


def test_it_is_read_from_the_start_date_on() -> None:
    """Where there is one."""
    scene = agents_of("ann", "bob", number=5, start_date=at(-30 * 60))

    scene.sync()

    assert (read(scene, "bob"), scene.state("bob").horizon) == (until(scene, start=at(-30 * 60)), None)


@ORDERS
def test_where_no_agent_has_a_call_nothing_is_claimed(names: tuple[str, ...]) -> None:
    """It may be an outage. With the first call of any of them all are read."""
    scene = agents_of(*names)
    for _ in range(2):
        assert (scene.sync().status, read(scene, "ann"), read(scene, "bob")) == (RunStatus.SUCCEEDED, NOTHING, NOTHING)
    scene.later(HOUR)
    scene.add(call("ann0", 30, transcript="words"), stream="ann")

    scene.sync()

    assert (scene.ids, read(scene, "bob"), scene.state("ann").high_water_mark) == ({"ann0"}, until(scene), scene.clock.now())


def test_an_outage_that_answers_every_list_empty_claims_nothing_of_an_agent_without_calls() -> None:
    """The agent whose calls are held fails; the other one stands where it stood."""
    scene = agents_of("bob", "ann", number=5)
    scene.sync()
    before = read(scene, "bob")
    scene.api.lists["ann"] = []
    scene.api.refusals = {f"/agents/ann/calls/ann{index}": NotFound("no", naming=None) for index in range(5)}
    scene.later(HOUR)

    assert (codes(scene.sync()), read(scene, "bob")) == (["anchor_not_met"], before)


def test_new_calls_speak_for_the_account_only_where_nothing_was_read_before() -> None:
    """Where an earlier run has read, only a call that it left speaks for its account."""
    scene = agents_of("ann", "bob", "cid", number=1)
    scene.sync()
    scene.api.lists["ann"] = []
    scene.settings["max_delete_share"] = 1
    scene.warehouse.connections["line"].shelf.calls.clear()
    scene.later(HOUR)
    before = read(scene, "bob")
    scene.add(call("cid0", 30, transcript="words"), stream="cid")

    scene.sync()
    assert (scene.ids, read(scene, "bob")) == ({"cid0"}, before)
    scene.sync()
    assert read(scene, "bob") == until(scene)


@pytest.mark.parametrize(
    ("says", "stated", "claimed"),
    [
        ({}, True, True),
        ({"total": None}, True, True),
        ({"total": 3}, True, False),
        ({"total": 0, "more": True}, True, False),
        ({}, False, False),
    ],
    ids=["a list", "without a total", "a total of three", "more to come", "null"],
)
def test_only_a_list_that_says_in_every_way_that_it_is_empty_is_believed(
    says: dict[str, JSON], stated: bool, claimed: bool
) -> None:
    """What is held proves the account, and the answer has to say it itself."""
    scene = agents_of("ann", "bob", number=1)

    def answer(path: str) -> None:
        scene.api.says, scene.api.stated = (says, stated) if path == "/agents/bob/calls" else ({}, True)

    scene.api.before = answer
    scene.sync()

    assert read(scene, "bob") == (until(scene) if claimed else NOTHING)


@pytest.mark.parametrize("minutes", [-40 * 24 * 60, -90, 10, 50], ids=["long ago", "in the lookback", "since", "just now"])
def test_the_first_call_is_found_wherever_it_stands(minutes: int) -> None:
    """There is no gap between it and the time when there was none."""
    scene = agents_of("ann", "bob", number=1)
    scene.sync()
    scene.later(HOUR)
    scene.add(call("first", minutes, transcript="words"), stream="bob")

    outcome = scene.sync()

    assert (codes(outcome), scene.ids) == ([], {"ann0", "first"})
    assert scene.covered("bob") == Spans([Span(at(minutes), scene.clock.now())])
    assert (scene.state("bob").gaps, scene.state("bob").horizon) == (Spans(), at(minutes))


def test_a_list_that_was_empty_in_error_is_read_whole_afterwards() -> None:
    """An outage of one list cannot be told from an empty one; nothing is lost by having believed it."""
    scene = agents_of("ann", "bob", number=1, per_page=10)
    calls = [call(f"bob{index}", -48 * 60 - index, transcript="words") for index in range(35)]
    scene.sync()
    scene.add(*calls, stream="bob")
    scene.later(HOUR)

    assert (codes(scene.sync()), len(scene.ids)) == ([], 36)
    assert scene.state("bob").gaps == Spans()


def test_a_run_that_is_stopped_on_the_way_through_the_first_calls_goes_on() -> None:
    """The time before is claimed no more until the list was read to its end."""
    scene = agents_of("ann", "bob", number=1, per_page=10)
    scene.sync()
    scene.add(*(call(f"bob{index}", -index, transcript="words") for index in range(35)), stream="bob")
    scene.later(HOUR)
    scene.watcher.then = lambda: scene.stop.set() if len(scene.ids) > 10 else None

    assert (scene.sync().status, scene.state("bob").high_water_mark) == (RunStatus.PARTIAL, None)
    scene.stop.clear()
    scene.watcher.then = lambda: None
    assert (codes(scene.sync()), len(scene.ids), scene.state("bob").gaps) == ([], 36, Spans())


def test_an_agent_whose_calls_are_all_gone_is_as_fresh_as_the_others() -> None:
    """They were deleted by name; from then on its list is an empty one, and a new call begins it anew."""
    scene = agents_of("ann", "bob", number=5)
    scene.add(call("bob0", -60, transcript="words"), stream="bob")
    scene.sync()
    scene.api.lists["bob"] = []
    scene.settings["max_delete_share"] = 1
    scene.warehouse.connections["line"].shelf.calls.pop("bob0")
    for _ in range(2):
        scene.later(DAY)
        assert (codes(scene.sync()), scene.state("bob").high_water_mark) == ([], scene.clock.now())
    scene.later(DAY)
    scene.add(call("bob1", 3 * 24 * 60 - 5, transcript="words"), stream="bob")

    assert (codes(scene.sync()), scene.state("bob").gaps) == ([], Spans())


def test_a_range_that_is_read_again_tells_as_much_of_an_empty_list() -> None:
    """The list has no call at all, whatever was asked."""
    scene = agents_of("ann", "bob", number=5)

    scene.sync(since=at(-60))

    assert read(scene, "bob") == until(scene)


def test_a_list_in_no_order_may_be_empty_too() -> None:
    """Another agent's list has shown that the order cannot be trusted."""
    scene = agents_of("ann", "bob")
    scene.api.descending = None
    scene.add(*(call(f"ann{index}", -24 * 60 + index * (-1) ** index, transcript="words") for index in range(6)), stream="ann")

    scene.sync()
    scene.later(HOUR)
    scene.sync()

    assert scene.warehouse.connections["line"].shelf.about["capabilities"]["unsorted"] is True
    assert read(scene, "bob") == until(scene)
