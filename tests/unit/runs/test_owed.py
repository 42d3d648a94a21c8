"""What is owed is written down before it is read: a stream never read is not forgotten, one that is dropped holds nobody."""

from __future__ import annotations

from datetime import datetime

import pytest

from etl.coverage import Spans
from etl.errors import NotFound, ProviderUnavailable
from etl.runs.terms import RunStatus
from tests.memory.acme import ACME, BY_AGENT, WINDOWED, WITHOUT_DETAIL, at, call
from tests.unit.runs.scene import DAY, HOUR, Scene, codes

UNAVAILABLE = ProviderUnavailable("500")


def agents_of(*names: str, **settings: object) -> Scene:
    """Return a scene with these agents, each with two calls."""
    scene = Scene(BY_AGENT, settings=dict(settings))
    for name in names:
        scene.api.agents.append({"id": name, "name": name.title(), "status": "on", "created": at(-600).isoformat()})
        scene.add(*(call(f"{name}-{index}", -60 - index, transcript="words") for index in range(2)), stream=name)
    return scene


def owed(scene: Scene) -> dict[str, tuple[bool, datetime | None]]:
    """Return of each known stream whether it was ever read, and since when it is not."""
    return {name: (bool(state.coverage), state.closed_at) for name, state in scene.shelf.states.items()}


def test_an_agent_that_fails_from_the_beginning_has_its_stream() -> None:
    """So that nobody takes the connection for read; once it answers, all is."""
    scene = agents_of("ann", "bob")
    scene.api.refusals = {"/agents/bob/calls": UNAVAILABLE}
    for _ in range(2):
        assert scene.sync().status is RunStatus.FAILED
        assert owed(scene) == {"ann": (True, None), "bob": (False, None)}

    scene.api.refusals = {}
    assert scene.sync().status is RunStatus.SUCCEEDED
    assert owed(scene) == {"ann": (True, None), "bob": (True, None)}


def test_every_agent_is_owed_before_the_first_is_read() -> None:
    """A credential that is refused, or the program killed, leaves them all as they are: not read."""
    scene = agents_of("ann", "bob")
    scene.api.before = lambda path: scene.stop.set() if path == "/agents/ann/calls" else None

    assert scene.sync().status is RunStatus.PARTIAL
    assert owed(scene) == {"ann": (True, None), "bob": (False, None)}


def test_a_configured_agent_that_nobody_knows_fails_every_run_until_it_is_taken_out() -> None:
    """It is owed as long as it is named; without it the connection is as good as its other agents."""
    scene = agents_of("ann", agents=("ann", "nobody"))
    for _ in range(3):
        outcome = scene.sync()
        assert (codes(outcome), "no agent 'nobody'" in str(outcome.error)) == (["failed"], True)
        assert owed(scene) == {"ann": (True, None), "nobody": (False, None)}

    scene.settings["agents"] = ("ann",)
    assert codes(scene.sync()) == []
    assert owed(scene) == {"ann": (True, None), "nobody": (False, scene.clock.now())}


def test_an_agent_that_is_no_longer_configured_is_closed_and_opened_again() -> None:
    """Its calls stay, and when it is named again it is read on from where it was."""
    scene = agents_of("ann", "bob")
    scene.sync()
    scene.settings["agents"] = ("ann",)
    scene.later(HOUR)
    scene.sync()
    closed_at = scene.clock.now()
    scene.later(HOUR)
    scene.sync()
    assert owed(scene) == {"ann": (True, None), "bob": (True, closed_at)}
    assert len(scene.ids) == 4

    scene.settings["agents"] = None
    scene.sync()
    assert owed(scene) == {"ann": (True, None), "bob": (True, None)}


def test_an_agent_that_returns_and_cannot_be_read_is_owed_again() -> None:
    """It was gone, and is listed anew."""
    scene = agents_of("ann", "bob")
    scene.sync()
    agents, calls = scene.api.agents, scene.api.lists.pop("bob")
    scene.api.agents = agents[:1]
    scene.later(HOUR)
    assert codes(scene.sync()) == ["agent_gone"]
    scene.api.agents, scene.api.lists["bob"] = agents, calls
    scene.api.refusals = {"/agents/bob/calls": UNAVAILABLE}

    scene.sync()

    assert owed(scene) == {"ann": (True, None), "bob": (True, None)}


def test_an_agent_that_is_listed_and_unknown_when_its_calls_are_asked_for_is_told() -> None:
    """It stays owed while it is listed; when it is listed no more, it is gone."""
    scene = agents_of("ann", "bob")
    scene.api.refusals = {"/agents/bob/calls": NotFound("404", naming="agent")}
    for _ in range(2):
        outcome = scene.sync()
        assert (outcome.status, "lists the agent 'bob'" in str(outcome.error)) == (RunStatus.FAILED, True)
        assert owed(scene)["bob"] == (False, None)

    scene.api.agents.pop()
    assert codes(scene.sync()) == ["agent_gone"]
    assert owed(scene)["bob"] == (False, scene.clock.now())


@pytest.mark.parametrize("provider", [ACME, WITHOUT_DETAIL, WINDOWED, BY_AGENT], ids=lambda provider: provider.name)
def test_before_its_start_date_nothing_is_read_and_that_is_said(provider: object) -> None:
    """No request is sent; a range that begins earlier is read, and when the day has come all is."""
    scene = agents_of("ann") if provider is BY_AGENT else Scene(provider)  # type: ignore[arg-type]
    scene.api.descending = provider is not WINDOWED
    stream = "ann" if provider is BY_AGENT else "calls"
    scene.settings["start_date"] = at(24 * 60)

    outcome = scene.sync()

    assert (outcome.status, codes(outcome), scene.api.log) == (RunStatus.SUCCEEDED, ["not_begun"], [])
    assert outcome.findings[0].text == ("start_date (2026-03-02 12:00 UTC) is in the future: nothing is read until then.")
    assert (scene.ids, scene.covered(stream)) == (set(), Spans())
    scene.add(call("early", -30, transcript="words"), stream=stream)
    assert (codes(scene.sync(since=at(-31))), "early" in scene.ids) == ([], True)
    scene.later(2 * DAY)
    scene.add(call("begun", 36 * 60, transcript="words"), stream=stream)
    assert (codes(scene.sync()), "begun" in scene.ids) == ([], True)
