"""Details, history and deletions: what only a detail tells arrives, what changed is kept, what is gone leaves."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest

from etl.sandbox import History
from tests.acceptance.cast import NAMES, PROVIDERS, WITH_DETAIL, per_day
from tests.acceptance.conftest import SetStage
from tests.acceptance.stage import START, Stage

AT_ONCE = len(PROVIDERS) - 1
"""How many providers, chosen by the seed, are synced in a step."""


def evolving(seed: int) -> History:
    """Two days of calls of all providers, in which calls are late, change, last long and vanish; agents stay."""
    calls = per_day(60, tuple=120, krosai=80)
    return History(seed, start=START, past=timedelta(days=2), calls_per_day=calls, agent_changes=(0, 0, 0))


@pytest.mark.parametrize("seed", [1, 2])
def test_after_every_step_the_warehouse_holds_just_the_calls_that_live(set_stage: SetStage, seed: int) -> None:
    """A call that vanished leaves `calls` for the history, proven by its detail, or by a complete reading where there is none."""
    stage = set_stage(evolving(seed))
    stage.providers = PROVIDERS
    story = random.Random(seed)
    for step in range(10):
        outcomes = stage.sync_all(*story.sample(PROVIDERS, AT_ONCE))
        assert [outcome.error for outcome in outcomes.values()] == [None] * AT_ONCE, (seed, step)
        stage.history.advance(timedelta(minutes=story.choice([10, 60, 240])))
    stage.sync_all()

    for provider in PROVIDERS:
        held, truth = stage.ids(provider), stage.truth_ids(provider)
        deleted = stage.rows("SELECT call_id FROM deleted_calls WHERE connection = %(n)s", {"n": NAMES[provider]})
        gone = {row["call_id"] for row in deleted}
        assert (held, gone & held) == (truth, set()), (provider, seed)


@pytest.mark.parametrize("provider", WITH_DETAIL)
def test_what_only_the_detail_knows_arrives_when_it_is_there(set_stage: SetStage, provider: str) -> None:
    """Transcripts come steps after the end of a call; the last sync has what the provider has."""
    stage = set_stage(evolving(7))
    for _ in range(8):
        stage.sync(provider)
        stage.history.advance(timedelta(minutes=20))
    stage.history.advance(timedelta(minutes=1))
    stage.sync(provider)
    held = stage.calls(provider)
    details = {call_id: stage.history.detail(provider, call_id) for call_id in held}
    wrong = [call_id for call_id, row in held.items() if not matches(provider, row, details[call_id])]

    assert wrong == []


def matches(provider: str, row: dict[str, object], detail: object) -> bool:
    """Whether a row's detail is the provider's, presigned addresses apart."""
    if not isinstance(detail, dict) or not isinstance(row["detail"], dict):
        return False
    volatile = {"recording_url", "audio_record_url", "call_id"}  # Salpre answers under another form of the id
    return {key: value for key, value in detail.items() if key not in volatile} == {
        key: value for key, value in row["detail"].items() if key not in volatile
    }


@pytest.mark.parametrize("provider", WITH_DETAIL)
def test_the_history_of_one_call_is_right_at_every_instant(stage: Stage, provider: str) -> None:
    """From queued to transcript: whatever instant is asked for, `call_versions` has what the warehouse held at it."""
    facts = ("status", "provider_status", "raw", "detail")
    (call_id,) = stage.history.add(provider, at=stage.history.now - timedelta(seconds=1))
    seen: list[tuple[datetime, list[object]]] = []
    for minutes in (0, 1, 5, 30, 60, 240, 1):
        stage.history.advance(timedelta(minutes=minutes))
        stage.sync(provider)
        row = stage.calls(provider)[call_id]
        seen += [(instant, [row[name] for name in facts]) for instant in (row["last_changed_at"], stage.clock.now())]
    versions = stage.rows("SELECT * FROM call_versions WHERE call_id = %(id)s ORDER BY version", {"id": call_id})

    for instant, held in seen:
        (valid,) = [v for v in versions if v["valid_from"] <= instant and (v["valid_to"] is None or instant < v["valid_to"])]
        assert [valid[name] for name in facts] == held
    assert seen[0][1] != seen[-1][1]
    assert len({str(held) for _, held in seen}) >= 3
    assert [one["version"] for one in versions] == list(range(1, len(versions) + 1))
    assert [one["valid_to"] for one in versions[:-1]] == [one["valid_from"] for one in versions[1:]]
    assert versions[0]["valid_from"] == stage.calls(provider)[call_id]["first_seen_at"]
    assert versions[-1]["valid_to"] is None
    assert matches(provider, stage.calls(provider)[call_id], stage.history.detail(provider, call_id))


def test_a_call_listed_again_comes_back(stage: Stage) -> None:
    """Its history stays, and its versions go on."""
    ids = stage.history.add("krosai", number=20, at=stage.history.now - timedelta(minutes=30))
    stage.sync("krosai")
    stage.history.delete("krosai", ids[0])
    gone = stage.sync("krosai")
    deleted = stage.rows("SELECT call_id FROM deleted_calls")
    stage.history.restore("krosai", ids[0])
    back = stage.sync("krosai")

    assert (gone.counters.deleted, deleted, back.counters.inserted) == (1, [{"call_id": ids[0]}], 1)
    assert (stage.ids("krosai"), stage.rows("SELECT call_id FROM deleted_calls")) == (set(ids), [])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_drop_to_zero_marks_nothing_deleted(stage: Stage, provider: str) -> None:
    """An outage that answers with an empty list, and 404 for every call, deletes nothing and says why."""
    stage.history.add(provider, number=30, at=stage.history.now - timedelta(minutes=30))
    stage.sync(provider)
    before = stage.calls(provider)
    stage.sandbox.faults.add("outage_empty", provider=provider)
    outcome = stage.sync(provider)

    assert (outcome.counters.deleted, stage.calls(provider)) == (0, before)
    assert outcome.error is not None and outcome.error.code == "anchor_not_met"
