"""Where a provider cannot be asked for one call, it is gone only if nothing that was read shows it, nor the rest of the list."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.coverage import Span, Spans
from etl.provider import Provider
from etl.runs.terms import RunStatus
from tests.memory.acme import WINDOWED, WITHOUT_DETAIL, at, call
from tests.unit.runs.scene import DAY, HOUR, Scene, codes
from tests.unit.runs.test_stream import NO_DETAIL, named, scene_of

MINUTE = timedelta(minutes=1)


def windowed(*minutes: float, **settings: object) -> Scene:
    """Return a scene whose provider filters by the cursor and lists one call for each of these minutes."""
    scene = Scene(WINDOWED, settings={"per_page": 10, **settings})
    scene.api.descending = False
    scene.add(*(call(f"c{index:03}", minute) for index, minute in enumerate(minutes)))
    return scene


def move(scene: Scene, call_id: str, minutes: float) -> None:
    """Give a call another place in the list."""
    scene.api.find(call_id)["created"] = at(minutes).isoformat()


@NO_DETAIL
def test_the_cap_is_known_before_the_first_call_is_buried(provider: Provider) -> None:
    """Five calls are missing on one page, too many on a later one: none of them is deleted, as the error says."""
    scene = scene_of(provider, number=60, lookback=10 * DAY)
    scene.sync()
    before = (scene.calls, scene.state())
    first, later = ((0, 1, 2, 3, 4), range(30, 38)) if provider is WITHOUT_DETAIL else ((59, 58, 57, 56, 55), range(22, 30))
    scene.api.remove(*named(*first, *later))
    scene.later(HOUR)

    outcome = scene.sync()

    assert outcome.error is not None
    assert (codes(outcome), "nothing was deleted" in outcome.error.safe) == (["anchor_not_met"], True)
    assert (scene.calls, scene.state(), scene.deleted, outcome.counters.deleted) == (*before, set(), 0)


@NO_DETAIL
@pytest.mark.parametrize("pages", [1, 2, 3])
def test_a_run_that_ends_early_leaves_it_to_the_next_one_which_calls_are_gone(provider: Provider, pages: int) -> None:
    """What was read without the calls in question is covered and not settled, so that it is read once more."""
    scene = scene_of(provider, number=40)
    scene.sync()
    scene.api.remove(*named(2, 14, 27, 36))
    scene.later(HOUR)
    scene.api.budget = pages

    first = scene.sync(full=True)

    assert (first.status, first.counters.deleted, scene.deleted) == (RunStatus.PARTIAL, 0, set())
    scene.api.budget = None
    assert scene.sync().counters.deleted == len(scene.deleted) > 0
    assert scene.deleted == named(2, 14, 27, 36)
    assert scene.sync(full=True).status is RunStatus.SUCCEEDED
    assert (scene.ids, scene.deleted) == (named(*range(40)) - named(2, 14, 27, 36), named(2, 14, 27, 36))
    assert len(scene.state().settled) == 1


def test_a_call_that_moves_on_to_a_later_page_is_the_same_call() -> None:
    """Its end is corrected forward: it is missing where it stood, met further on, and keeps when it was first seen."""
    scene = windowed(*(-90 + 2 * index for index in range(40)))
    scene.sync()
    move(scene, "c003", -5)
    scene.later(10 * MINUTE)

    outcome = scene.sync()

    moved, (was,) = scene.calls["c003"], scene.shelf.history["c003"]
    assert (outcome.counters.inserted, outcome.counters.updated, outcome.counters.deleted) == (0, 1, 0)
    assert (moved.cursor_at, moved.first_seen_at, moved.last_changed_at) == (at(-5), at(0), at(10))
    assert (was.deleted, was.valid_from, was.valid_to, was.call.cursor_at) == (False, at(0), at(10), at(-84))
    assert len(scene.state().settled) == 1


@pytest.mark.parametrize(
    "minutes", [-121, -60 * 24, -60 * 24 * 29, -60 * 24 * 900], ids=["a minute", "a day", "a month", "years"]
)
def test_a_call_that_moves_below_what_is_settled_is_the_same_call(minutes: float) -> None:
    """Its end is corrected to before all that is read again: the provider lists one call more there than is held, and which."""
    scene = windowed(*(-60 * 24 * day for day in range(60, 0, -1)), *(-90 + index for index in range(12)))
    scene.sync()
    move(scene, "c065", minutes)
    scene.later(10 * MINUTE)

    outcome = scene.sync()

    assert (outcome.status, scene.deleted, scene.ids) == (RunStatus.SUCCEEDED, set(), {f"c{index:03}" for index in range(72)})
    assert (scene.calls["c065"].cursor_at, scene.calls["c065"].first_seen_at) == (at(minutes), at(0))
    assert [(version.deleted, version.call.cursor_at) for version in scene.shelf.history["c065"]] == [(False, at(-85))]
    assert outcome.counters.requests < 40


def test_a_call_that_moves_out_of_a_range_is_the_same_call() -> None:
    """A range is read again, the call stands above it: the same."""
    scene = windowed(*(-60 * 24 * day for day in range(60, 0, -1)))
    scene.sync()
    move(scene, "c010", -60 * 24 * 3.5)
    scene.later(10 * MINUTE)

    assert scene.sync(since=at(-60 * 24 * 55), until=at(-60 * 24 * 40)).counters.deleted == 0
    assert (scene.calls["c010"].cursor_at, scene.deleted) == (at(-60 * 24 * 3.5), set())


def test_a_call_that_is_gone_costs_two_more_requests() -> None:
    """One total for what lies below the calls held, and one for those below what was read; both agree, and it is gone."""
    scene = windowed(*(-60 * 24 * day for day in range(60, 0, -1)), *(-90 + index for index in range(5)))
    scene.sync()
    scene.api.remove("c062")
    scene.later(10 * MINUTE)

    assert (scene.sync().counters.deleted, scene.deleted, len(scene.api.pages())) == (1, {"c062"}, 3)


def test_what_the_retention_has_aged_out_is_not_missing() -> None:
    """A provider that keeps a month, read again from the beginning: the older calls stay."""
    scene = windowed(*(-60 * 24 * day for day in range(60, 0, -1)), retention=30 * DAY)
    scene.sync()
    scene.api.remove(*(f"c{index:03}" for index in range(31)), "c040")
    scene.later(HOUR)

    outcome = scene.sync(full=True)

    assert (codes(outcome), scene.deleted) == ([], {"c040"})


@given(data=st.data())
def test_whatever_moves_and_vanishes_what_is_held_is_what_is_listed(data: st.DataObject) -> None:
    """Calls of the restless past vanish or get another place: each is held where it now stands, or is gone; none is new."""
    scene = windowed(*range(-60 * 24 * 5, -120, 150), *range(-115, 0, 10))
    scene.sync()
    first_seen = {call_id: held.first_seen_at for call_id, held in scene.calls.items()}
    restless = sorted(call_id for call_id, held in scene.calls.items() if held.cursor_at >= at(-120))
    gone = data.draw(st.sets(st.sampled_from(restless), max_size=4))
    moved = data.draw(st.dictionaries(st.sampled_from(restless), st.integers(-60 * 24 * 8, -1), max_size=5))
    scene.api.remove(*gone)
    for call_id, minutes in moved.items():
        if call_id not in gone:
            move(scene, call_id, minutes)
    scene.later(10 * MINUTE)

    outcome = scene.sync()

    listed = {value["id"]: value["created"] for value in scene.api.calls}
    assert {call_id: held.cursor_at.isoformat() for call_id, held in scene.calls.items()} == listed
    assert (scene.deleted, outcome.counters.inserted) == (gone, 0)
    assert {call_id: held.first_seen_at for call_id, held in scene.calls.items()} == {one: first_seen[one] for one in listed}
    assert Spans([Span(at(-60 * 24 * 5), at(10) - 2 * HOUR)]) - scene.state().settled == Spans()
