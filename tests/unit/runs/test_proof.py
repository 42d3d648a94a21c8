"""Where all calls held were really deleted, `max_delete_share = 1` is the way on: what is listed is loaded, the rest buried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from etl.coverage import Span, Spans
from etl.errors import NotFound
from etl.provider import Provider
from etl.runs.terms import RunStatus
from tests.memory.acme import ACME, BY_AGENT, WINDOWED, WITHOUT_DETAIL, at, call
from tests.unit.runs.scene import DAY, HOUR, Scene, codes
from tests.unit.runs.test_stream import ALL, named, scene_of

NEW = {f"new{index}" for index in range(15)}


def replaced(provider: Provider, *, number: int = 30, **settings: object) -> Scene:
    """Return a scene whose calls held have all vanished, and others are listed in their place."""
    scene = scene_of(provider, number=number, **settings)
    scene.sync()
    scene.api.lists = {"calls": [call(call_id, 10 + index, transcript="words") for index, call_id in enumerate(sorted(NEW))]}
    scene.later(HOUR)
    return scene


WAYS_TO_SYNC: Mapping[str, dict[str, Any]] = {
    "a sync": {},
    "--full": {"full": True},
    "--since": {"since": at(-30 * 60)},
}


@ALL
@pytest.mark.parametrize("want", WAYS_TO_SYNC.values(), ids=WAYS_TO_SYNC)
def test_where_all_calls_held_vanished_nothing_is_loaded_and_the_error_names_the_way_on(
    provider: Provider, want: dict[str, Any]
) -> None:
    """It may be another account's token: only the user can say that it is not."""
    scene = replaced(provider)
    before = (scene.calls, scene.shelf.states)

    outcome = scene.sync(**want)

    assert outcome.error is not None
    assert (codes(outcome), "connections.line.max_delete_share = 1" in outcome.error.hint) == (["anchor_not_met"], True)
    assert (scene.calls, scene.shelf.states, scene.deleted) == (*before, set())


@ALL
@pytest.mark.parametrize("want", WAYS_TO_SYNC.values(), ids=WAYS_TO_SYNC)
def test_with_a_share_of_one_what_is_listed_is_loaded_and_what_is_gone_is_buried(
    provider: Provider, want: dict[str, Any]
) -> None:
    """The calls held stand in the history, as they were; the next sync needs no setting."""
    scene = replaced(provider, max_delete_share=1)

    outcome = scene.sync(**want)

    assert (outcome.status, codes(outcome)) in [(RunStatus.SUCCEEDED, []), (RunStatus.SUCCEEDED, ["gap"])]
    assert (scene.ids - scene.deleted >= NEW, outcome.counters.inserted) == (True, len(NEW))
    gone = set() if provider is WITHOUT_DETAIL else named(*range(30))
    assert (scene.deleted, scene.ids) == (gone, NEW | (named(*range(30)) - gone))
    scene.settings["max_delete_share"] = 0.2
    scene.later(HOUR)
    again = scene.sync()
    assert (again.status, again.counters.inserted, again.counters.deleted) == (RunStatus.SUCCEEDED, 0, 0)


@pytest.mark.parametrize("provider", [ACME, WINDOWED], ids=lambda provider: provider.name)
def test_however_many_were_held_all_of_them_are_buried(provider: Provider) -> None:
    """More than serve as anchors; a complete sync looks at each of them."""
    scene = replaced(provider, number=230, max_delete_share=1, per_page=100)

    assert scene.sync(full=True).counters.deleted == 230
    assert scene.ids == NEW


@ALL
def test_a_share_of_one_does_not_believe_an_empty_list(provider: Provider) -> None:
    """Nothing that is listed speaks for the account; the error names a way on that works."""
    scene = replaced(provider, max_delete_share=1)
    scene.api.lists = {"calls": []}

    outcome = scene.sync(full=True)

    assert outcome.error is not None
    assert (codes(outcome), "once the provider lists a call again" in outcome.error.hint) == (["anchor_not_met"], True)
    assert (scene.ids, scene.deleted) == (named(*range(30)), set())


def test_a_share_of_one_does_not_believe_a_provider_that_does_not_name_the_calls() -> None:
    """A 404 that names nothing says nothing about a call: it may be a wrong address."""
    scene = replaced(ACME, max_delete_share=1)
    scene.api.refusals = {f"/calls/{call_id}": NotFound("no such page", naming=None) for call_id in named(*range(30))}

    assert codes(scene.sync()) == ["anchor_not_met"]
    assert (scene.ids, scene.deleted) == (named(*range(30)), set())


def test_a_gap_below_which_nothing_is_left_is_closed() -> None:
    """All calls held below it were deleted, and it holds none: a held call above it shows that it is the same account."""
    scene = scene_of(WINDOWED)
    day = {f"d{number}": -number * 24 * 60 for number in range(2, 12)}
    scene.add(*(call(call_id, minutes, transcript="words") for call_id, minutes in day.items()))
    scene.sync()
    gap = Spans([Span(at(-9 * 24 * 60), at(-6 * 24 * 60))])
    state = scene.state()
    scene.shelf.states["calls"] = replace(state, coverage=state.coverage - gap, settled=state.settled - gap)
    scene.api.remove("d7", "d8", "d9", "d10", "d11")
    scene.later(HOUR)

    outcome = scene.sync()

    assert (outcome.status, codes(outcome), len(scene.covered())) == (RunStatus.SUCCEEDED, [], 1)
    assert {"d2", "d3", "d4", "d5", "d6"} <= scene.ids


def test_one_agents_calls_may_all_be_replaced() -> None:
    """Each stream by itself: of the other agent nothing is asked that was not due."""
    scene = Scene(BY_AGENT, settings={"max_delete_share": 1})
    scene.api.lists = {}
    scene.api.agents = [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}]
    for agent in "ab":
        scene.add(*(call(f"{agent}{index}", -24 * 60 - index, transcript="words") for index in range(12)), stream=agent)
    scene.sync()
    scene.api.lists["a"] = [call("anew", 10, transcript="words")]
    scene.later(HOUR)

    assert scene.sync().status is RunStatus.SUCCEEDED
    assert (scene.ids, scene.deleted) == ({"anew", *(f"b{n}" for n in range(12))}, {f"a{n}" for n in range(12)})


def test_anchors_are_asked_for_no_more_often_than_needed() -> None:
    """Five by their details: then it is known that the list has nothing to do with what is held."""
    scene = replaced(ACME)
    scene.sync()

    assert scene.api.asked() == sorted(named(*range(5)))
    assert scene.clock.instant - at(0) < DAY
