"""Thirty steps of an evolving history, with pages that drift while they are read: warehouse and truth agree after an audit."""

from __future__ import annotations

import os
import random
from datetime import timedelta

import pytest

from etl.model import Verdict
from etl.sandbox import Entry, History
from tests.acceptance.cast import CAST, PROVIDERS, per_day
from tests.acceptance.conftest import SetStage
from tests.acceptance.expected import differences, expected_calls, expected_participants, held_calls, held_participants
from tests.acceptance.expected_details import detail_differences
from tests.acceptance.stage import START, Stage
from tests.acceptance.test_audit import audited

SEEDS = range(1, int(os.environ.get("ETL_TEST_SEEDS", "1")) + 1)
STEPS = 30
AT_ONCE = len(PROVIDERS) - 1
"""How many providers, chosen by the seed, are synced in a step: none is always as near behind its list as the others."""


def drifting(stage: Stage, seed: int) -> None:
    """Let a call appear or vanish between two pages now and then; details are asked for side by side, in no fixed order."""
    story = random.Random(seed * 31)

    def between(entry: Entry) -> None:
        if not entry.path.endswith(CAST[entry.provider].page):
            return
        living = sorted(call.id for call in stage.history.living(entry.provider)) if story.random() < 0.06 else []
        if not living or entry.status != 200:
            return
        if story.random() < 0.5:
            stage.history.delete(entry.provider, story.choice(living[-40:]))
        else:
            agents = stage.history.agents()
            agent = agents[0]["id"] if entry.provider == "bimpe" and agents else None
            stage.history.add(entry.provider, at=stage.history.now - timedelta(seconds=30), agent=agent)

    stage.sandbox.on_request = between


def unexplained(stage: Stage, provider: str) -> set[str]:
    """Return the calls held that live no more, but for those below the end of the list: deleted or aged out, nobody can tell."""
    horizons = {row["stream"]: row["horizon"] for row in stage.state(provider)}
    gone = {call_id: row for call_id, row in stage.calls(provider).items() if call_id not in stage.truth_ids(provider)}
    return {call_id for call_id, row in gone.items() if not (above := horizons[row["stream"]]) or row["cursor_at"] >= above}


@pytest.mark.parametrize("seed", SEEDS)
def test_after_thirty_steps_and_an_audit_every_provider_is_held_as_it_is(set_stage: SetStage, seed: int) -> None:
    """Late, changed and deleted calls, transcripts that come later, drift by insertion and deletion: field by field."""
    calls = per_day(20, tuple=40, krosai=30)
    stage = set_stage(History(seed, start=START, past=timedelta(days=1), calls_per_day=calls, agent_changes=(0, 0, 0)))
    stage.providers, stage.settings = PROVIDERS, {provider: {"per_page": 10} for provider in PROVIDERS}
    story = random.Random(seed)
    drifting(stage, seed)
    for step in range(STEPS):
        outcomes = stage.sync_all(*story.sample(PROVIDERS, AT_ONCE))
        assert [outcome.error for outcome in outcomes.values()] == [None] * AT_ONCE, (seed, step)
        stage.history.advance(timedelta(minutes=story.choice([5, 20, 60, 120])))
    stage.sandbox.on_request = None
    stage.sync_all()

    for provider in PROVIDERS:
        outcome = audited(stage, provider, repair=True)
        assert outcome.error is None, (seed, provider)
        wanted = {Verdict.UNVERIFIABLE} if not CAST[provider].totals else {Verdict.COMPLETE, Verdict.REPAIRED}
        assert {one.verdict for one in outcome.verdicts} <= wanted, (seed, provider)
        assert differences(expected_calls(stage, provider), held_calls(stage, provider)) == {}, (seed, provider)
        assert unexplained(stage, provider) == set(), (seed, provider)
        assert detail_differences(stage, provider) == {}, (seed, provider)
    living = stage.truth_ids("tuple")
    assert held_participants(stage, living) == expected_participants(stage, living)
