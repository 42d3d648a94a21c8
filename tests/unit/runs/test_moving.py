"""A call that another agent's list shows has moved there and is not gone; an id that two lists show at once is a reject."""

from __future__ import annotations

from datetime import timedelta

import pytest

from etl.errors import NotFound, ProviderUnavailable
from etl.model import JSON
from etl.runs.terms import RunStatus
from tests.memory.acme import BY_AGENT, at, call
from tests.unit.runs.scene import DAY, HOUR, Scene, codes

MINUTE = timedelta(minutes=1)


def agents_of(*names: str) -> Scene:
    """Return a scene with these agents, each with three calls of the last hour."""
    scene = Scene(BY_AGENT)
    for name in names:
        scene.api.agents.append({"id": name, "name": name.title(), "status": "on", "created": at(-600).isoformat()})
        scene.add(*(call(f"{name}-{index}", -30 - index, transcript="words") for index in range(3)), stream=name)
    return scene


def listed(scene: Scene, stream: str, call_id: str) -> dict[str, JSON]:
    """Return the record of a call in one list."""
    return next(one for one in scene.api.lists[stream] if one["id"] == call_id)


def move(scene: Scene, call_id: str, source: str, target: str) -> None:
    """Let a call be another agent's: the first one knows it no more."""
    record = listed(scene, source, call_id)
    scene.api.lists[source].remove(record)
    scene.api.lists.setdefault(target, []).append(record)
    scene.api.refusals[f"/agents/{source}/calls/{call_id}"] = NotFound("404", naming="call")


def rejects(scene: Scene) -> list[tuple[str, str | None, bool]]:
    """Return stream and id of each reject, and whether it is open."""
    return [(stream, one.call_id, one.resolved_at is None) for (stream, _), one in scene.shelf.rejects.items()]


@pytest.mark.parametrize(("source", "target"), [("a", "b"), ("b", "a")], ids=["to one read later", "to one read before"])
def test_a_call_that_moves_to_another_agent_takes_its_row_along(source: str, target: str) -> None:
    """No sync buries or rejects it; it was first seen when it was, and the version before is kept. Then all is quiet."""
    scene = agents_of("a", "b")
    scene.sync()
    before = scene.calls[f"{source}-1"]
    move(scene, f"{source}-1", source, target)
    scene.later(MINUTE)

    outcome = scene.sync()

    after = scene.calls[f"{source}-1"]
    assert (codes(outcome), outcome.counters.deleted, outcome.counters.rejected) == ([], 0, 0)
    assert (after.stream, after.agent_id, after.first_seen_at) == (target, target, before.first_seen_at)
    assert (after.transcript, len(scene.ids), scene.deleted, rejects(scene)) == ("words", 6, set(), [])
    versions = scene.shelf.history[f"{source}-1"]
    assert [(one.call.stream, one.deleted) for one in versions] == [(source, False)] * len(versions)
    scene.later(MINUTE)
    outcome = scene.sync()
    assert (codes(outcome), outcome.counters.updated, outcome.counters.rejected) == ([], 0, 0)
    assert scene.shelf.history[f"{source}-1"] == versions


def test_an_id_that_two_lists_show_in_one_run_is_a_reject_in_the_second() -> None:
    """It never moves, however often both are read."""
    scene = agents_of("a", "b")
    scene.add(call("a-1", -31, why="other"), stream="b")
    for _ in range(3):
        outcome = scene.sync()
        assert (outcome.status, outcome.counters.rejected) == (RunStatus.SUCCEEDED, 1)
        scene.later(MINUTE)

    assert (scene.calls["a-1"].stream, rejects(scene)) == ("a", [("b", "a-1", True)])
    assert [one.deleted for one in scene.shelf.history["a-1"]] == [False]  # its detail came


def test_an_id_that_stood_in_two_lists_moves_when_the_first_one_drops_it() -> None:
    """The reject is resolved, and the row is the second agent's."""
    scene = agents_of("a", "b")
    scene.add(call("a-1", -31, transcript="words"), stream="b")
    scene.sync()
    scene.api.lists["a"] = [one for one in scene.api.lists["a"] if one["id"] != "a-1"]
    scene.api.refusals["/agents/a/calls/a-1"] = NotFound("404", naming="call")
    scene.later(MINUTE)

    outcome = scene.sync()

    assert (codes(outcome), outcome.counters.deleted, outcome.counters.rejected) == ([], 0, 0)
    assert (scene.calls["a-1"].stream, rejects(scene)) == ("b", [("b", "a-1", False)])


def test_all_calls_of_an_agent_may_move_at_once() -> None:
    """The agent that lists none of its held calls any more is met through the one that has them now."""
    scene = agents_of("a", "b")
    scene.sync()
    for index in range(3):
        move(scene, f"a-{index}", "a", "b")
    scene.add(call("a-new", -5, transcript="words"), stream="a")
    scene.later(MINUTE)

    outcome = scene.sync()

    assert (outcome.status, codes(outcome), outcome.counters.deleted) == (RunStatus.SUCCEEDED, [], 0)
    assert {call_id: row.stream for call_id, row in scene.calls.items()} == {
        **{f"a-{index}": "b" for index in range(3)},
        **{f"b-{index}": "b" for index in range(3)},
        "a-new": "a",
    }


def test_an_old_call_that_moved_is_found_by_a_full_sync() -> None:
    """No list that is read every day shows it; when all of it is read again, the row moves."""
    scene = agents_of("a", "b")
    scene.sync()
    scene.later(2 * DAY)
    scene.add(call("a-9", 2 * 24 * 60 - 1, transcript="words"), stream="a")
    scene.add(call("b-9", 2 * 24 * 60 - 1, transcript="words"), stream="b")
    scene.sync()
    move(scene, "a-1", "a", "b")
    scene.later(HOUR)
    assert scene.sync().counters.deleted == 0

    outcome = scene.sync(full=True)

    assert (outcome.counters.deleted, outcome.counters.rejected, scene.calls["a-1"].stream) == (0, 0, "b")


def test_a_call_that_has_moved_to_an_agent_that_cannot_be_read_comes_back_with_it() -> None:
    """While the second agent answers 500 nobody lists the call; once it answers, the call is held again as its."""
    scene = agents_of("a", "b")
    scene.sync()
    move(scene, "a-1", "a", "b")
    scene.api.refusals["/agents/b/calls"] = ProviderUnavailable("500")
    scene.later(MINUTE)
    scene.sync()
    del scene.api.refusals["/agents/b/calls"]
    scene.later(MINUTE)

    outcome = scene.sync()

    assert (outcome.status, scene.calls["a-1"].stream, len(scene.ids), rejects(scene)) == (RunStatus.SUCCEEDED, "b", 6, [])


@pytest.mark.parametrize("second", ["a", "b"], ids=["read before", "read after"])
def test_an_id_that_another_list_begins_to_show_stays_where_it_is(second: str) -> None:
    """Whichever agent is read first: the one that has the call still lists it, so the other one's record is the reject."""
    first = "b" if second == "a" else "a"
    scene = agents_of("a", "b")
    scene.sync()
    before = scene.calls[f"{first}-1"]
    scene.add(call(f"{first}-1", -31, why="other"), stream=second)
    for _ in range(2):
        scene.later(MINUTE)
        assert scene.sync().counters.rejected == 1

    assert (scene.calls[f"{first}-1"], rejects(scene)) == (before, [(second, f"{first}-1", True)])
