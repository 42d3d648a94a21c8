"""The history: the same seed tells the same story, and a story only goes forward."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.sandbox import History
from etl.sandbox.births import PROVIDERS
from tests.unit.sandbox.identity import identity

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
RATES = {"tuple": 150, "bimpe": 100, "salpre": 60, "krosai": 60, "aircall": 60, "twilio": 60}
CURSORS = {
    "tuple": "ended_at",
    "bimpe": "created_on",
    "salpre": "started_at",
    "krosai": "created_at",
    "aircall": "started_at",
    "twilio": "date_created",
}
RANK = {
    "bimpe": {"queued": 0, "ringing": 1, "answered": 2, "ended": 3, "busy": 3, "failed": 3, "cancelled": 3},
    "salpre": {"initiated": 0, "in_progress": 1, "completed": 2, "failed": 2, "busy": 2, "no_answer": 2},
    "krosai": {"initiated": 0, "ringing": 1, "in_progress": 2, "completed": 3, "failed": 3, "busy": 3, "no_answer": 3},
    "aircall": {"initial": 0, "answered": 1, "done": 2},
    "twilio": {"queued": 0, "ringing": 1, "in-progress": 2}
    | dict.fromkeys(("completed", "busy", "failed", "no-answer", "canceled"), 3),
}
FILLED_ONCE = (
    "ringing_at",
    "ended_at",
    "completed_at",
    "answered_at",
    "started_at",
    "recording_url",
    "transcript",
    "audio_record_url",
    "start_time",
    "end_time",
    "price",
)

steps = st.lists(st.integers(min_value=1, max_value=6 * 3600), min_size=1, max_size=8)
seeds = st.integers(min_value=0, max_value=2**32)


def story(seed: int, **options: Any) -> History:
    return History(seed, start=START, **{"past": timedelta(hours=30), "calls_per_day": RATES, **options})


def everything(history: History) -> Any:
    return {provider: history.truth(provider) for provider in PROVIDERS} | {"agents": history.agents()}


def instant(value: str | int) -> datetime:
    if isinstance(value, int):
        return datetime.fromtimestamp(value, UTC)
    return datetime.fromisoformat(value) if value[0].isdigit() else parsedate_to_datetime(value)


@given(seed=seeds, walk=steps)
@settings(max_examples=15, deadline=None)
def test_a_history_depends_on_its_seed_and_its_clock_only(seed: int, walk: list[int]) -> None:
    """The same seed and the same now are the same history, whatever the steps were and however often it was read."""
    stepped, jumped = story(seed), story(seed)
    for seconds in walk:
        stepped.advance(timedelta(seconds=seconds))
        everything(stepped)
    jumped.advance(timedelta(seconds=sum(walk)))
    assert everything(stepped) == everything(jumped)


def test_another_seed_is_another_history() -> None:
    """Two seeds share no call."""
    assert not {identity(call) for call in story(1).truth("bimpe")} & {identity(call) for call in story(2).truth("bimpe")}


@given(seed=seeds, walk=steps)
@settings(max_examples=15, deadline=None)
def test_a_life_only_moves_forward(seed: int, walk: list[int]) -> None:
    """A status never goes back, what is filled stays filled, the cursor never moves, and who vanished stays away."""
    history = story(seed)
    before: dict[str, dict[Any, Any]] = {provider: {} for provider in PROVIDERS}
    gone: dict[str, set[Any]] = {provider: set() for provider in PROVIDERS}
    for seconds in [0, *walk]:
        history.advance(timedelta(seconds=seconds))
        for provider in PROVIDERS:
            now = {identity(record): history.detail(provider, identity(record)) for record in history.truth(provider)}
            gone[provider] |= before[provider].keys() - now.keys()
            assert not gone[provider] & now.keys()
            for call, record in now.items():
                old = before[provider].get(call, record)
                assert record[CURSORS[provider]] == old[CURSORS[provider]]
                if provider in RANK:
                    assert RANK[provider][record["status"]] >= RANK[provider][old["status"]]
                for field in FILLED_ONCE:
                    assert old.get(field) in (None, record.get(field))
                assert len(record.get("conversation_logs", ())) >= len(old.get("conversation_logs", ()))
            before[provider] = now


@given(seed=seeds, walk=steps)
@settings(max_examples=10, deadline=None)
def test_nothing_late_and_no_change_lies_beyond_the_bound(seed: int, walk: list[int]) -> None:
    """Of calls whose cursor is older than the bound, none appears, none vanishes, and no finished one changes its list record."""
    history = story(seed, agent_changes=(0, 0, 0))
    bounds = {
        provider: timedelta(hours=12) if provider in ("tuple", "aircall", "twilio") else timedelta(minutes=90)
        for provider in PROVIDERS
    }
    for seconds in walk:
        before, then = everything(history), history.now
        history.advance(timedelta(seconds=seconds))
        after = everything(history)
        for provider in PROVIDERS:
            sides = []
            for records in (before[provider], after[provider]):
                old = {identity(call): call for call in records if instant(call[CURSORS[provider]]) < then - bounds[provider]}
                sides.append(old)
            assert sides[0].keys() == sides[1].keys()
            for call, record in sides[0].items():
                if provider == "tuple" or any(map(record.get, ("ended_at", "completed_at", "end_time"))):
                    assert sides[1][call] == record


def test_every_kind_of_event_happens() -> None:
    """Within a week calls come late, change, stay open for hours, vanish, share an instant; agents come and go."""
    history = story(5, late=0.3, vanishing=0.1, amended=0.2, agent_changes=(1, 1, 0.5))
    seen: dict[str, dict[Any, Any]] = {provider: {} for provider in PROVIDERS}
    found: set[tuple[str, str]] = set()
    names: dict[str, str] = {}
    for _ in range(7 * 24):
        then = history.now
        history.advance(timedelta(hours=1))
        for provider in PROVIDERS:
            now = {identity(record): record for record in history.truth(provider)}
            for call, record in now.items():
                if call not in seen[provider] and instant(record[CURSORS[provider]]) < then:
                    found.add((provider, "late"))
                old = seen[provider].get(call)
                if old is not None and old != record:
                    found.add((provider, "changed"))
                if (
                    old is not None
                    and record.get("status") in ("answered", "in_progress", "in-progress")
                    and old.get("status") == record["status"]
                ):
                    found.add((provider, "long"))
            if seen[provider].keys() - now.keys():
                found.add((provider, "vanished"))
            if len({record[CURSORS[provider]] for record in now.values()}) < len(now):
                found.add((provider, "tied"))
            seen[provider] = now
        agents = {agent["id"]: agent["name"] for agent in history.agents()}
        if names:
            found |= {("agents", "appeared") for one in agents.keys() - names.keys()}
            found |= {("agents", "vanished") for one in names.keys() - agents.keys()}
            found |= {("agents", "renamed") for one, name in agents.items() if names.get(one, name) != name}
        names = agents
    expected = {(provider, event) for provider in PROVIDERS for event in ("late", "changed", "vanished", "tied", "long")}
    expected |= {("agents", event) for event in ("appeared", "vanished", "renamed")}
    assert found == expected - {("tuple", "long")}


def test_records_have_the_documented_fields_and_forms() -> None:
    """Names, types, precision and vocabulary are those of the provider's pages."""
    history = story(3)
    pairing = next(call for call in history.truth("tuple") if call["call_participations"])
    assert list(pairing) == ["id", "started_at", "ended_at", "duration_seconds", "call_participations"]
    assert list(pairing["call_participations"][0]) == ["id", "joined_at", "left_at", "user"]
    assert pairing["ended_at"].endswith("Z") and len(pairing["ended_at"]) == len("2026-03-15T15:00:00.000Z")
    sizes = {len(call["call_participations"]) for call in history.truth("tuple")}
    assert min(sizes) == 0 and 5 < max(sizes) <= 10
    users = [part["user"] for call in history.truth("tuple") for part in call["call_participations"]]
    assert None in users and all(user is None or user["email"].endswith("@example.com") for user in users)
    voice = history.truth("bimpe")[0]
    assert set(voice) == {
        "id", "source", "destination", "status", "direction", "created_on", "duration_seconds", "is_test_call", "error_reason",
        "end_reason", "ringing_at", "ended_at",
    }  # fmt: skip
    assert set(history.detail("bimpe", voice["id"])) - set(voice) == {"started_at", "answered_at", "conversation_logs"}
    box = history.truth("salpre")[0]
    assert set(box) == {"call_id", "status", "from", "to", "agent_id", "direction", "started_at", "ended_at", "duration_sec"}
    assert box["call_id"].startswith("c") and len(box["started_at"]) == len("2025-10-09T10:41:22Z")
    assert set(history.detail("salpre", box["call_id"])) - set(box) == {"audio_record_url", "transcript", "variables"}
    phone = next(call for call in history.truth("krosai") if call["status"] == "completed")
    assert isinstance(phone["cost"], float) and phone["cost"] != round(phone["cost"], 2)
    assert set(history.detail("krosai", phone["id"])) - set(phone) == {"transcript"}
    numbers = {call[key] for call in history.truth("krosai") for key in ("from_number", "to_number")}
    assert all(number.startswith("+1415555") for number in numbers)


def test_the_clock_neither_goes_back_nor_passes_real_time() -> None:
    """Both are refused with a sentence; passing real time can be asked for."""
    history = story(1)
    with pytest.raises(ValueError, match="does not go back"):
        history.advance_to(START - timedelta(seconds=1))
    with pytest.raises(ValueError, match="may not pass real time"):
        history.advance(timedelta(days=365 * 50))
    assert story(1, may_pass_real_time=True, calls_per_day=dict.fromkeys(PROVIDERS, 0)).advance(
        timedelta(days=1)
    ) == START + timedelta(days=1)


def test_calls_added_by_hand_stand_where_they_were_put() -> None:
    """Drawn calls take the instant given and may become visible later; they move no drawn call's number."""
    plain, history = story(4), story(4)
    at = START - timedelta(hours=3)
    ids = {provider: history.add(provider, number=3, at=at) for provider in PROVIDERS}
    late = history.add("tuple", at=at, visible_at=START + timedelta(hours=2))
    for provider in PROVIDERS:
        there = [call for call in history.truth(provider) if instant(call[CURSORS[provider]]) == at]
        assert sorted(str(identity(call)) for call in there) == sorted(ids[provider])
    for one in (plain, history):
        one.advance(timedelta(hours=2))
    assert late[0] in {str(call["id"]) for call in history.truth("tuple")}
    for provider in PROVIDERS:
        kept = [call for call in history.truth(provider) if str(identity(call)) not in [*ids[provider], *late]]
        assert kept == plain.truth(provider)


def test_raw_records_are_kept_as_they_are() -> None:
    """Whatever is added is served byte for byte; only what can be decoded is told as truth."""
    history = story(4, calls_per_day=dict.fromkeys(PROVIDERS, 0))
    records = [{"id": 7, "ended_at": "2026-03-01T11:00:00.000Z"}, {"id": 8, "ended_at": "never"}, 42, b'{"id": 9, "x": "\xff"}']
    ids = history.add_records("tuple", records)
    assert ids == ["7", "8", "added-3", "added-4"]
    assert [call.listed() for call in history.living("tuple")] == [json.dumps(records[0], separators=(",", ":")).encode(),
                                                                   b'{"id":8,"ended_at":"never"}', b"42", records[3]]  # fmt: skip
    assert history.truth("tuple") == records[:3]


def test_a_call_can_be_deleted_restored_changed_and_replaced() -> None:
    """Each takes effect at once; what does not exist is a KeyError."""
    history = story(4)
    first, second, third = (identity(call) for call in history.truth("salpre")[:3])
    history.delete("salpre", first)
    assert history.detail("salpre", first) is None and first not in map(identity, history.truth("salpre"))
    with pytest.raises(KeyError):
        history.delete("salpre", first)
    history.restore("salpre", first)
    history.change("salpre", second, {"status": "on_the_moon"})
    history.replace("salpre", third, {"call_id": third, "started_at": "bad"})
    found = history.truth("salpre")[:3]
    assert found[0]["call_id"] == first
    assert found[1]["status"] == "on_the_moon" and found[1]["from"].startswith("salprebox:")
    assert found[2] == {"call_id": third, "started_at": "bad"}
