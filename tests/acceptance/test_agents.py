"""Whose calls they are: BimpeAI's agents come, are renamed and go; KrosAI's rows belong to one organisation."""

from __future__ import annotations

from datetime import timedelta

import pytest

from etl.errors import ConnectionFailed, ForeignOrganization
from etl.runs.terms import RunStatus
from tests.acceptance.expected import differences, expected_calls, held_calls
from tests.acceptance.stage import START, Row, Stage

HOUR = timedelta(hours=1)
OTHER = "6f1c1f0e-5d0b-4a51-a0c3-000000000002"


def agents(stage: Stage) -> dict[str, Row]:
    """Return the agents held, by id."""
    return {row["agent_id"]: row for row in stage.rows("SELECT * FROM agents")}


def test_a_new_agent_is_read_from_its_first_call(stage: Stage) -> None:
    """It appears between two syncs, with calls; both are there after the next one."""
    stage.history.add("bimpe", number=3, at=START - HOUR)
    stage.sync("bimpe")
    fresh = stage.history.roster.add(stage.history.micros, "Night shift")
    stage.history.advance(HOUR)
    stage.history.add("bimpe", number=4, agent=fresh)

    assert stage.sync("bimpe").status is RunStatus.SUCCEEDED

    assert differences(expected_calls(stage, "bimpe"), held_calls(stage, "bimpe")) == {}
    assert {row["name"]: row["closed_at"] for row in agents(stage).values()} == {"Reception": None, "Night shift": None}
    assert len(stage.state("bimpe")) == 2


def test_a_renamed_agent_keeps_its_id_and_its_calls(stage: Stage) -> None:
    """Only the name changes."""
    stage.history.add("bimpe", number=3, at=START - HOUR)
    stage.sync("bimpe")
    (before,) = agents(stage).values()
    stage.history.roster.rename(stage.history.micros, before["agent_id"], "Front desk")

    stage.sync("bimpe")

    (after,) = agents(stage).values()
    assert after == before | {"name": "Front desk", "last_seen_at": after["last_seen_at"]}
    assert after["last_seen_at"] > before["last_seen_at"]
    assert {row["agent_id"] for row in stage.calls("bimpe").values()} == {before["agent_id"]}


def test_an_agent_that_vanishes_closes_its_stream_and_touches_no_call(stage: Stage) -> None:
    """Its calls stay as they are, it is asked for no more, and the run tells of it once."""
    gone = stage.history.roster.add(stage.history.micros, "Seasonal")
    stage.history.add("bimpe", number=3, at=START)
    stage.history.add("bimpe", number=2, agent=gone, at=START)
    stage.history.advance(HOUR)
    stage.sync("bimpe")
    held = stage.calls("bimpe")
    before = {row["stream"]: row for row in stage.state("bimpe")}
    stage.history.roster.remove(stage.history.micros, gone)

    outcome = stage.sync("bimpe")

    assert (outcome.status, [(one.stream, one.code) for one in outcome.findings]) == (RunStatus.SUCCEEDED, [(gone, "agent_gone")])
    assert stage.calls("bimpe") == held
    after = {row["stream"]: row for row in stage.state("bimpe")}
    assert after[gone]["closed_at"] is not None
    assert after[gone] == before[gone] | {"closed_at": after[gone]["closed_at"]}
    assert agents(stage)[gone]["closed_at"] is not None
    assert stage.freshness("bimpe")["gaps"] == 0

    stage.sandbox.clear_requests()
    assert stage.sync("bimpe").findings == []
    assert [entry for entry in stage.sandbox.requests("bimpe") if gone in entry.path] == []


def test_an_agent_that_returns_is_read_on(stage: Stage) -> None:
    """The stream opens again where it stood, and what came meanwhile arrives."""
    gone = stage.history.roster.add(stage.history.micros, "Seasonal")
    stage.history.add("bimpe", number=3, at=START)
    stage.history.add("bimpe", number=2, agent=gone, at=START)
    stage.history.advance(HOUR)
    stage.sync("bimpe")
    stage.history.roster.remove(stage.history.micros, gone)
    stage.sync("bimpe")
    stage.history.advance(timedelta(days=2))
    (agent,) = [one for one in stage.history.roster._agents if one.id == gone]
    agent.gone = 1 << 62
    stage.history.add("bimpe", number=4, agent=gone)

    assert stage.sync("bimpe").status is RunStatus.SUCCEEDED

    state = {row["stream"]: row for row in stage.state("bimpe")}[gone]
    assert (state["closed_at"], agents(stage)[gone]["closed_at"]) == (None, None)
    assert state["high_water_mark"] == stage.history.now
    assert differences(expected_calls(stage, "bimpe"), held_calls(stage, "bimpe")) == {}


@pytest.mark.parametrize("to", ["younger", "older"])
def test_a_call_that_moves_to_another_agent_takes_its_row_along(stage: Stage, to: str) -> None:
    """It is neither buried nor rejected, by sync, audit or replay, whichever agent is read first."""
    older = stage.history.agents()[0]["id"]
    younger = stage.history.roster.add(stage.history.micros, "Second")
    source, target = (older, younger) if to == "younger" else (younger, older)
    for agent in (source, target):
        stage.history.add("bimpe", number=15, at=START - timedelta(minutes=20), agent=agent)
    (moving,) = stage.history.add("bimpe", at=START - timedelta(minutes=10), agent=source)
    stage.sync("bimpe")
    before = stage.calls("bimpe")[moving]
    (record,) = [one for one in stage.history.truth("bimpe", agent=source) if one["id"] == moving]
    stage.history.delete("bimpe", moving)
    stage.history.add_records("bimpe", [record], at=START - timedelta(minutes=10), agent=target)
    stage.history.advance(timedelta(minutes=5))

    for _ in range(2):
        outcome = stage.sync("bimpe")
        assert (outcome.status, outcome.counters.deleted, outcome.counters.rejected) == (RunStatus.SUCCEEDED, 0, 0)
        after = stage.calls("bimpe")[moving]
        assert (after["stream"], after["agent_id"], after["first_seen_at"]) == (target, target, before["first_seen_at"])
        assert (len(stage.ids("bimpe")), stage.rejects("bimpe")) == (31, [])
        assert stage.rows("SELECT call_id FROM call_history WHERE deleted") == []


def test_an_agent_that_nobody_knows_fails_and_the_others_are_synced(stage: Stage) -> None:
    """A configured agent that the provider never knew is an error with a hint, and costs no other agent."""
    (known,) = (agent["id"] for agent in stage.history.agents())
    stage.history.add("bimpe", number=3, at=START - HOUR)
    stage.settings = {"bimpe": {"agents": ["no-such-agent", known]}}

    outcome = stage.sync("bimpe")

    assert isinstance(outcome.error, ConnectionFailed)
    assert "no-such-agent" in outcome.error.happened and "connections.voice.agents" in outcome.error.hint
    assert stage.ids("bimpe") == stage.truth_ids("bimpe")


def test_the_first_organization_seen_is_pinned(stage: Stage) -> None:
    """Without a configured organisation the first one counts; when the key then shows another one's rows, nothing is stored."""
    stage.history.add("krosai", number=3, at=START - HOUR)
    stage.history.add("krosai", number=3, at=START - HOUR, account="other")
    stage.sync("krosai")
    (pinned,) = stage.rows("SELECT pinned_organization FROM sync.connections")
    assert pinned == {"pinned_organization": stage.sandbox.organization_id}
    held, state = stage.calls("krosai"), stage.state("krosai")
    stage.history.advance(HOUR)
    foreign = dict(stage.sandbox.history.truth("krosai", account="other")[0], id="11111111-0000-4000-a000-000000000001")
    stage.history.add_records("krosai", [foreign | {"created_at": "2026-03-01T12:30:00+00:00"}])
    stage.history.add("krosai", number=2, at=START + timedelta(minutes=20))

    outcome = stage.sync("krosai")

    assert isinstance(outcome.error, ForeignOrganization)
    assert "connections.telephony.organization_id" in outcome.error.hint
    assert stage.calls("krosai") == held
    assert stage.rejects("krosai") == []
    assert stage.state("krosai") == state


def test_a_configured_organization_is_asked_for_and_held_to(stage: Stage) -> None:
    """The header names it, so its rows come; another one's first organisation does not matter."""
    stage.history.add("krosai", number=3, at=START - HOUR)
    stage.history.add("krosai", number=2, at=START - HOUR, account="other")
    stage.sandbox.switches.krosai.first_organization = "other"
    stage.settings = {"krosai": {"organization_id": stage.sandbox.organization_id}}

    assert stage.sync("krosai").status is RunStatus.SUCCEEDED

    assert stage.ids("krosai") == stage.truth_ids("krosai")
    stage.settings = {"krosai": {"organization_id": OTHER}}
    outcome = stage.sync("krosai")
    assert isinstance(outcome.error, ConnectionFailed) and "another organisation" in outcome.error.happened
    assert stage.ids("krosai") == stage.truth_ids("krosai")


def test_agents_who_are_people_have_the_names_that_calls_tell(stage: Stage) -> None:
    """Of Aircall's users, by the newest call; a rename arrives with the next call that is new, and `masked` shows none of it."""
    ids = [call_id for hours in range(12) for call_id in stage.history.add("aircall", at=START - timedelta(hours=hours + 1))]
    stage.sync("aircall")
    users = {str(user["id"]): user["name"] for one in stage.history.truth("aircall") if (user := one["user"])}
    assert {row["agent_id"]: row["name"] for row in stage.rows("SELECT * FROM agents")} == users != {}

    newest = next(one for one in reversed(stage.history.truth("aircall")) if one["user"])
    stage.history.change("aircall", str(newest["id"]), {"user": newest["user"] | {"name": "Somebody Else"}})
    outcome = stage.sync("aircall")

    assert (outcome.counters.updated, len(ids)) == (1, 12)
    held = {row["agent_id"]: row["name"] for row in stage.rows("SELECT * FROM agents")}
    assert held == users | {str(newest["user"]["id"]): "Somebody Else"}
    (masked,) = stage.rows("SELECT count(*) AS n FROM masked.agents WHERE to_jsonb(agents)::text LIKE '%%Somebody%%'")
    assert masked["n"] == 0
