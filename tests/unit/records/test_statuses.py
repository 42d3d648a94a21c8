"""A status that several fields tell together: the most telling known word counts, and what is not known is noted."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.model import JSON, CallRow, Context, Drift, DriftNote, Status
from etl.records.columns import in_bulk
from etl.records.derive import derive
from etl.records.identify import identify
from etl.records.rows import Same
from tests.memory.acme import ACME

SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
CONTEXT = Context(connection="made_up", stream="calls", currency="EUR", run_id=7)


def _words(given_values: JSON) -> tuple[str, ...]:
    state, answered, reason = given_values
    if state != "over":
        return (state,)
    if answered is not None:
        return ("done",)
    return (reason, "missed") if isinstance(reason, str) else ("missed",)


DESK = replace(
    ACME,
    name="desk",
    status=("state", "answered", "call.reason"),
    words=_words,
    statuses={
        "done": Status.COMPLETED,
        "missed": Status.NO_ANSWER,
        "gave up": Status.CANCELED,
        "talking": Status.IN_PROGRESS,
    },
)
"""A provider whose word for the end of a call says nothing of how it ended."""

STATES = st.fixed_dictionaries(
    {"created": st.just("2026-03-01T12:00:00Z")},
    optional={
        "state": st.sampled_from(["over", "talking", "Talking", None, "asleep", 5, [], {}]),
        "answered": st.sampled_from([None, "2026-03-01T12:00:00Z"]),
        "call": st.none() | st.sampled_from([{}, {"reason": "gave up"}, {"reason": "moved +14155550100"}, {"reason": None}, "x"]),
    },
)


def derived(value: dict[str, Any], detail: dict[str, Any] | None = None) -> Any:
    """Derive a record, and a detail observed at the same time."""
    later = None if detail is None else identify(DESK, json.dumps({"id": "a"} | detail).encode(), cleaned=False)
    record = identify(DESK, json.dumps({"id": "a", "created": "2026-03-01T12:00:00Z"} | value).encode(), cleaned=False)
    return derive(DESK, CONTEXT, record, observed_at=SEEN, detail=later, detail_observed_at=later and SEEN)


@pytest.mark.parametrize(
    ("value", "status", "drift"),
    [
        ({"state": "talking"}, "in_progress", ()),
        ({"state": "over", "answered": "2026-03-01T12:00:00Z"}, "completed", ()),
        ({"state": "over", "call": {"reason": "gave-up"}}, "canceled", ()),
        ({"state": "over", "call": {"reason": None}}, "no_answer", ()),
        ({"state": "over", "call": {"reason": "asleep"}}, "no_answer", ((Drift.NEW_STATUS, "asleep"),)),
        ({"state": "over", "call": {"reason": "+14155550100"}}, "no_answer", ((Drift.NEW_STATUS, "string"),)),
        ({"state": "asleep"}, "unknown", ((Drift.NEW_STATUS, "asleep"),)),
        ({"state": None}, "unknown", ((Drift.WRONG_TYPE, "null"),)),
        ({"state": 5}, "unknown", ((Drift.WRONG_TYPE, "number"),)),
    ],
)
def test_the_most_telling_known_word_counts(value: dict[str, Any], status: str, drift: tuple[tuple[Drift, str], ...]) -> None:
    """An unknown one before it is noted, without what may be personal; the provider's own word is that of the first key."""
    found = derived(value)
    assert found.call.status == status
    assert found.call.provider_status == (value["state"] if isinstance(value["state"], str) else None)
    assert [note for note in found.drift if note.path == "state"] == [DriftNote("state", *one) for one in drift]


def test_each_field_may_come_from_list_or_detail() -> None:
    """What only the list knows still counts beside a detail."""
    found = derived({"state": "over", "call": {"reason": "gave up"}}, {"state": "over", "call": {}})
    assert found.call.status == "canceled"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(held=st.lists(STATES, min_size=1, max_size=4))
def test_many_are_told_as_each_is(held: list[dict[str, Any]]) -> None:
    """Statuses, words and which are open; where one is odd, all go the long way."""
    texts = [json.dumps({"id": place, **value}).encode() for place, value in enumerate(held)]
    records = [identify(DESK, text, cleaned=False) for text in texts]
    entries = [derive(DESK, CONTEXT, record, observed_at=SEEN) for record in records]
    bulk = in_bulk(DESK, CONTEXT, records, observed_at=SEEN, detail_due_at=None)
    if bulk is None:
        assert any(entry.drift for entry in entries)
        return
    for name in ("status", "provider_status", "answered_at"):
        column = bulk.calls.get(name, Same(None))
        made = [column.value] * len(entries) if isinstance(column, Same) else list(column)
        assert made == [entry.call[CallRow._fields.index(name)] for entry in entries]
    assert bulk.open_ids == {entry.call.call_id for entry in entries if entry.call.status in ("in_progress", "unknown")}
