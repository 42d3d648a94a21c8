"""The life of a sync: lock, outcome, streams that fail alone, agents that come and go, the organisation, what is remembered."""

from __future__ import annotations

import pytest

from etl.errors import AuthenticationFailed, FenceLost, ProviderUnavailable, WarehouseError
from etl.model import JSON
from etl.runs import making
from etl.runs.terms import Counters, RunStatus
from tests.memory.acme import ACME, BY_AGENT, WITHOUT_DETAIL, account, at, call
from tests.unit.runs.scene import HOUR, LINE, Scene, codes


def scene_of(number: int = 15, **settings: object) -> Scene:
    """Return a scene whose provider lists so many calls."""
    scene = Scene(WITHOUT_DETAIL, settings=dict(settings))
    scene.add(*(call(f"c{index:02}", -60 - index) for index in range(number)))
    return scene


def agents_of(*names: str, **settings: object) -> Scene:
    """Return a scene with these agents, each with two calls."""
    scene = Scene(BY_AGENT, settings=dict(settings))
    for name in names:
        scene.api.agents.append({"id": name, "name": name.title(), "status": "on", "created": at(-600).isoformat()})
        scene.add(*(call(f"{name}-{index}", -60 - index, transcript="words") for index in range(2)), stream=name)
    return scene


def ids(*names: str) -> set[str]:
    """Return the ids of the calls of these agents."""
    return {f"{name}-{index}" for name in names for index in range(2)}


# Lock, run row, outcome


def test_a_connection_that_another_run_works_on_is_left_alone() -> None:
    """No request, no run; the lock stays with its holder."""
    scene = scene_of()
    scene.warehouse.acquire(LINE)

    outcome = scene.sync()

    assert (outcome.status, codes(outcome), outcome.run_id) == (RunStatus.FAILED, ["already_running"], None)
    assert (scene.api.log, scene.warehouse.runs, scene.warehouse.locked) == ([], {}, {LINE})


def test_a_run_that_succeeds_is_noted_with_what_it_did() -> None:
    """The row holds what the outcome says; the lock is given back."""
    scene = scene_of()

    outcome = scene.sync()

    assert (outcome.status, outcome.error, outcome.run_id, scene.warehouse.locked) == (RunStatus.SUCCEEDED, None, 1, set())
    expected = Counters(requests=2, pages=2, records_seen=15, inserted=15)
    assert (outcome.counters, scene.run.status, scene.run.error_code) == (expected, RunStatus.SUCCEEDED, None)
    assert scene.run.counted == {name: getattr(expected, name) for name in Counters.__slots__}


@pytest.mark.parametrize(
    ("error", "code"), [(ProviderUnavailable("500"), "unavailable"), (AuthenticationFailed("401"), "authentication")]
)
def test_a_provider_that_fails_fails_the_run(error: Exception, code: str) -> None:
    """It is noted with the kind of its error, which names the connection; nothing is claimed, and the lock is given back."""
    scene = scene_of()
    scene.api.refusals = {"/calls": error}

    outcome = scene.sync()

    assert (outcome.status, codes(outcome), scene.run.error_code) == (RunStatus.FAILED, [code], code)
    assert LINE in str(outcome.error)
    assert (scene.run.status, scene.run.counted["requests"], scene.warehouse.locked) == (RunStatus.FAILED, 1, set())
    assert (scene.ids, scene.shelf.states) == (set(), {})


@pytest.mark.parametrize("kind", ["remake_calls", "remake_people"])
def test_roll_ups_that_cannot_be_made_beside_the_pages_fail_no_run(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Their days stay touched, and are computed when they are read; all pages are loaded."""
    scene = scene_of()
    asked: list[int] = []

    def fails(account: object, *, run_id: int, written: int) -> int:
        asked.append(written)
        raise WarehouseError("the server did not give the lock.")

    monkeypatch.setattr(making, "OFTEN", 5)
    monkeypatch.setattr(scene.warehouse, kind, fails)

    outcome = scene.sync()

    assert (outcome.status, outcome.error, len(scene.ids)) == (RunStatus.SUCCEEDED, None, 15)
    assert asked == [10, 15]


def test_a_run_that_is_taken_over_while_roll_ups_are_made_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at a page."""
    scene = scene_of()

    def taken_over(account: object, *, run_id: int, written: int) -> int:
        raise FenceLost("another run has taken over.")

    monkeypatch.setattr(making, "OFTEN", 5)
    monkeypatch.setattr(scene.warehouse, "remake_people", taken_over)

    outcome = scene.sync()

    assert (outcome.status, codes(outcome)) == (RunStatus.FAILED, ["fence_lost"])


def test_an_account_that_another_process_uses_opens_no_run() -> None:
    """It is told, nothing is asked for, and the lock is given back; the next run finds everything as it was."""
    scene = scene_of()
    scene.api.busy = True

    outcome = scene.sync()

    assert (outcome.run_id, codes(outcome), scene.warehouse.runs, scene.warehouse.locked) == (None, ["account_busy"], {}, set())
    assert (scene.api.log, LINE in str(outcome.error)) == ([], True)
    scene.api.busy = False
    assert (scene.sync().status, len(scene.ids)) == (RunStatus.SUCCEEDED, 15)


def test_a_fault_of_the_program_is_raised_and_noted() -> None:
    """The run is closed as failed, and the lock is given back, so that the next one can work."""
    scene = scene_of()
    scene.watcher.then = lambda: {}["fault"]  # type: ignore[return-value]

    with pytest.raises(KeyError):
        scene.sync()

    assert (scene.run.status, scene.run.error_code, scene.warehouse.locked) == (RunStatus.FAILED, "error", set())
    scene.watcher.then = lambda: None
    assert (scene.sync().status, len(scene.ids)) == (RunStatus.SUCCEEDED, 15)


def test_a_run_that_is_taken_over_stops_writing() -> None:
    """What it had committed stays; its row is left as its successor noted it."""
    scene = scene_of()
    scene.watcher.then = lambda: scene.warehouse.open_run(account(WITHOUT_DETAIL), kind=scene.run.kind, trigger=scene.run.trigger)

    outcome = scene.sync()

    assert (outcome.status, codes(outcome), len(scene.ids)) == (RunStatus.FAILED, ["fence_lost"], 10)
    assert [run.status for run in scene.warehouse.runs.values()] == [RunStatus.CRASHED, RunStatus.RUNNING]


def test_a_day_s_budget_that_is_spent_ends_the_run_partial() -> None:
    """What was loaded stays, and the next run continues."""
    scene = scene_of(35)
    scene.api.budget = 2

    outcome = scene.sync()

    assert (outcome.status, codes(outcome), len(scene.ids)) == (RunStatus.PARTIAL, ["budget_spent"], 20)
    scene.api.budget = None
    assert (scene.sync().counters.inserted, len(scene.ids)) == (15, 35)


def test_what_was_found_out_about_paging_is_remembered() -> None:
    """The next run asks in the way that was found to work; what the limiter knew is handed to it."""
    scene = scene_of()
    scene.sync()

    capabilities, *_ = scene.warehouse.remembered(LINE)
    assert (capabilities["style"], capabilities["size"]) == ("page", 10)


# Streams of agents


def test_each_agent_has_its_own_stream() -> None:
    """With its own coverage; agents are kept as they are listed."""
    scene = agents_of("ann", "bob")

    assert scene.sync().status is RunStatus.SUCCEEDED
    assert (scene.ids, {row.stream for row in scene.calls.values()}) == (ids("ann", "bob"), {"ann", "bob"})
    assert [scene.covered(name).last.end for name in ("ann", "bob")] == [at(0), at(0)]
    assert {agent: kept.name for agent, kept in scene.shelf.agents.items()} == {"ann": "Ann", "bob": "Bob"}


def test_one_stream_that_fails_stops_no_other_but_fails_the_run() -> None:
    """The others are brought up to date; what fails is read by the next run."""
    scene = agents_of("ann", "bob", "eve")
    scene.api.refusals = {"/agents/bob/calls": ProviderUnavailable("500")}

    outcome = scene.sync()

    assert (outcome.status, codes(outcome), scene.ids) == (RunStatus.FAILED, ["unavailable"], ids("ann", "eve"))
    assert {name: bool(state.coverage) for name, state in scene.shelf.states.items()} == {"ann": True, "bob": False, "eve": True}
    scene.api.refusals = {}
    assert (scene.sync().status, scene.ids) == (RunStatus.SUCCEEDED, ids("ann", "bob", "eve"))


def test_a_credential_that_is_refused_ends_every_stream() -> None:
    """None of the others is asked for."""
    scene = agents_of("ann", "bob", "eve")
    scene.api.refusals = {"/agents/bob/calls": AuthenticationFailed("401")}

    outcome = scene.sync()

    assert (codes(outcome), scene.ids) == (["authentication"], ids("ann"))
    assert "/agents/eve/calls" not in [path for path, _ in scene.api.log]


def test_an_agent_that_is_gone_closes_its_stream_and_touches_no_call() -> None:
    """It is told, and not asked for again; when it is back its stream is read on."""
    scene = agents_of("ann", "bob")
    scene.sync()
    gone, agents = scene.api.lists.pop("bob"), scene.api.agents
    scene.api.agents = agents[:1]
    scene.later(HOUR)

    outcome = scene.sync()

    assert (outcome.status, codes(outcome), scene.ids, scene.deleted) == (
        RunStatus.SUCCEEDED,
        ["agent_gone"],
        ids("ann", "bob"),
        set(),
    )
    assert (scene.state("bob").closed_at, scene.shelf.agents["bob"].closed_at) == (at(60), at(60))
    assert scene.covered("bob").last.end == at(0)
    scene.later(HOUR)
    assert (codes(scene.sync()), "/agents/bob/calls" in [path for path, _ in scene.api.log]) == ([], False)
    scene.api.agents, scene.api.lists["bob"] = agents, gone
    scene.later(HOUR)
    assert (codes(scene.sync()), scene.state("bob").closed_at, scene.shelf.agents["bob"].closed_at) == ([], None, None)


def test_an_agent_that_is_configured_and_unknown_fails_the_run() -> None:
    """The others are synced."""
    scene = agents_of("ann", "bob", agents=("ann", "nobody"))

    outcome = scene.sync()

    assert (outcome.status, codes(outcome), scene.ids) == (RunStatus.FAILED, ["failed"], ids("ann"))
    assert "no agent 'nobody'" in str(outcome.error)


@pytest.mark.parametrize(("created", "accepted"), [(at(30), True), (at(-30), False), (None, False)])
def test_an_account_of_other_agents_is_not_read(created: object, accepted: bool) -> None:
    """Unless all of them were created after the last sync: without a date of creation an agent counts as old."""
    scene = agents_of("ann")
    scene.sync()
    scene.api.agents = [{"id": "new", "created": created.isoformat() if hasattr(created, "isoformat") else None}]
    scene.api.lists["new"] = [call("new-0", 45, transcript="words")]
    scene.later(HOUR)

    outcome = scene.sync()

    assert (codes(outcome), "new-0" in scene.ids) == (([], True) if accepted else (["anchor_not_met"], False))


def test_a_stream_whose_only_calls_are_gone_is_proven_by_the_others() -> None:
    """Its calls answer 404 by name, and another stream of the account showed calls that are held: it is the same account."""
    scene = agents_of("ann", "bob")
    scene.sync()
    scene.api.lists["ann"] = [call("ann-9", 30, transcript="words")]
    scene.later(HOUR)

    outcome = scene.sync()

    assert (outcome.status, "ann-9" in scene.ids) == (RunStatus.SUCCEEDED, True)


# The organisation


def of(owner: JSON, *call_ids: str) -> list[dict[str, JSON]]:
    """Return calls of an organisation."""
    return [call(call_id, -60, org=owner) for call_id in call_ids]


def test_the_first_organisation_is_pinned_and_another_one_refused() -> None:
    """Nothing of the page that shows it is stored, not even its rejects; what was loaded before stays."""
    scene = Scene(WITHOUT_DETAIL)
    scene.add(*of("ours", "c1", "c2"))
    scene.sync()
    assert scene.warehouse.remembered(LINE)[1] == "ours"
    before = scene.state()
    scene.add(*of("ours", "c3"), *of("theirs", "c4"), {"id": "bad", "created": "never"})
    scene.later(HOUR)

    outcome = scene.sync()

    assert (outcome.status, codes(outcome)) == (RunStatus.FAILED, ["foreign_organization"])
    assert (scene.ids, scene.shelf.rejects, scene.state()) == ({"c1", "c2"}, {}, before)


def test_two_organisations_on_the_first_page_pin_neither() -> None:
    """The page is not stored, and with it goes the pin."""
    scene = Scene(ACME)
    scene.add(*of("ours", "c1"), *of("theirs", "c2"))

    assert codes(scene.sync()) == ["foreign_organization"]
    assert (scene.ids, scene.warehouse.remembered(LINE)[1]) == (set(), None)


def test_an_organisation_that_is_configured_needs_no_pin() -> None:
    """A record of another one is refused at the first page."""
    scene = Scene(ACME, settings={"organization_id": "ours"})
    scene.add(*of("theirs", "c1"))

    assert (codes(scene.sync()), scene.ids) == (["foreign_organization"], set())


def test_a_setting_that_disagrees_with_the_pin_sends_no_request() -> None:
    """The calls that are held are of another organisation than the one meant."""
    scene = Scene(WITHOUT_DETAIL)
    scene.add(*of("ours", "c1"))
    scene.sync()
    scene.settings["organization_id"] = "theirs"

    outcome = scene.sync()

    assert (outcome.status, codes(outcome), scene.api.log) == (RunStatus.FAILED, ["failed"], [])
    assert scene.run.error_code == "failed"


# Records that are of no use


def bad(call_id: str) -> dict[str, JSON]:
    """Return a record whose cursor is a number."""
    return call(call_id, -60) | {"created": 1_772_000_000}


def test_a_run_fails_if_none_of_its_records_could_become_a_call() -> None:
    """The rejects are kept, and the error says what a record must have."""
    scene = Scene(WITHOUT_DETAIL)
    scene.add(bad("c1"), bad("c2"))

    outcome = scene.sync()

    assert (outcome.status, codes(outcome)) == (RunStatus.FAILED, ["nothing_usable"])
    assert (scene.ids, len(scene.shelf.rejects)) == (set(), 2)
    assert outcome.error is not None
    assert outcome.error.exit_code == 1
    assert outcome.error.happened == "the provider, Acme, listed 2 records, and none could become a call."
    assert "an id in id and a time in created" in outcome.error.hint


def test_one_call_that_is_held_unchanged_is_enough() -> None:
    """What a run reads again is of use, though nothing about it is new."""
    scene = Scene(WITHOUT_DETAIL)
    scene.add(call("c1", -60))
    scene.sync()
    scene.add(bad("c2"))
    scene.later(HOUR / 4)

    outcome = scene.sync()

    assert (outcome.status, codes(outcome)) == (RunStatus.SUCCEEDED, [])
    assert (outcome.counters.unchanged, outcome.counters.rejected) == (1, 1)


def test_an_account_without_calls_is_no_failure() -> None:
    """Nothing listed is nothing unusable."""
    assert Scene(WITHOUT_DETAIL).sync().status is RunStatus.SUCCEEDED
