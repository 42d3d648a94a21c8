"""A record that cannot become a row is kept with its reason; the rest of its page is loaded, and the mark moves."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from etl.runs.terms import RunStatus
from tests.acceptance.cast import CAST, PROVIDERS
from tests.acceptance.expected import differences, expected_calls, held_calls
from tests.acceptance.stage import START, Row, Stage

AT = START - timedelta(hours=30)
TUPLE: Row = {
    "id": 77,
    "started_at": "2026-02-28T05:30:00.000Z",
    "ended_at": "2026-02-28T06:00:00.000Z",
    "duration_seconds": 1800,
    "call_participations": [],
}


def bimpe_call(**changes: Any) -> Row:
    """A record of BimpeAI, changed."""
    record: Row = {
        "id": "odd",
        "source": "+14155550100",
        "destination": "+14155550101",
        "status": "ended",
        "direction": "inbound",
    }
    record |= {"created_on": "2026-02-28T06:00:00.000Z", "duration_seconds": 60, "is_test_call": False, "error_reason": None}
    return record | {"end_reason": "completed", "ringing_at": None, "ended_at": "2026-02-28T06:02:00.000Z"} | changes


def synced_among_others(stage: Stage, provider: str, *records: object) -> None:
    """Serve the records between ten good calls; sync twice, and check that the good ones are held and the mark moved."""
    stage.settings = {provider: {"per_page": 4}}
    good = [*stage.history.add(provider, number=5, at=AT - timedelta(hours=1))]
    good += stage.history.add(provider, number=5, at=AT + timedelta(hours=1))
    stage.history.add_records(provider, list(records), at=AT)
    for _ in range(2):
        outcome = stage.sync(provider)
        assert (outcome.status, outcome.error) == (RunStatus.SUCCEEDED, None)
    assert set(good) <= stage.ids(provider)
    assert {row["high_water_mark"] for row in stage.state(provider)} == {START}


REJECTED: dict[str, tuple[str, object, str | None, str]] = {
    "no object": ("tuple", "a text", None, "not_an_object"),
    "no id": ("tuple", {key: value for key, value in TUPLE.items() if key != "id"}, None, "missing_id"),
    "an id that is null": ("bimpe", bimpe_call(id=None), None, "missing_id"),
    "an impossible date": ("tuple", TUPLE | {"ended_at": "2026-02-30T06:00:00Z"}, "77", "bad_cursor"),
    "no cursor": ("bimpe", bimpe_call(created_on=None), "odd", "bad_cursor"),
    "a number as cursor": ("salpre", {"call_id": "c9", "status": "completed", "started_at": 1772000000}, "c9", "bad_cursor"),
    "an id over 512 bytes": ("bimpe", bimpe_call(id="x" * 513), None, "id_too_long"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_what_cannot_become_a_call_is_kept(stage: Stage, case: str) -> None:
    """One row in `sync.rejected_records` with reason and text, counted at every sighting, and nothing in `calls`."""
    provider, record, call_id, reason = REJECTED[case]

    synced_among_others(stage, provider, record)

    (row,) = stage.rejects(provider)
    stream = stage.state(provider)[0]["stream"]
    assert json.loads(row.pop("raw_text")) == record
    # An ascending walk repeats the last second of a page, a newest-first walk its ties.
    assert row.pop("sightings") >= 1
    assert row == {"stream": stream, "call_id": call_id, "reason": reason, "resolved_at": None}
    assert len(stage.ids(provider)) == 10


DRIFT: dict[str, tuple[str, Row, Row, list[tuple[str, str, str]]]] = {
    "a text where a number belongs": (
        "tuple",
        TUPLE | {"duration_seconds": "half an hour"},
        {"duration_seconds": None},
        [("duration_seconds", "wrong_type", "string")],
    ),
    "an end before the start": (
        "tuple",
        TUPLE | {"started_at": "2026-02-28T07:00:00.000Z"},
        {"ended_at": AT, "started_at": AT + timedelta(hours=1), "duration_seconds": 1800},
        [("ended_at", "end_before_start", "string")],
    ),
    "64-bit overflow": (
        "tuple",
        TUPLE | {"duration_seconds": 2**64},
        {"duration_seconds": None},
        [("duration_seconds", "out_of_range", "number")],
    ),
    "more digits than any integer has": (
        "tuple",
        TUPLE | {"duration_seconds": 10**400},
        {"duration_seconds": None},
        [("duration_seconds", "out_of_range", "number")],
    ),
    "an unknown status": (
        "bimpe",
        bimpe_call(status="on hold"),
        {"status": "unknown", "provider_status": "on hold"},
        [("status", "new_status", "on hold")],
    ),
    "an unknown field": (
        "bimpe",
        bimpe_call(mood="fine"),
        {"status": "completed"},
        [("mood", "new_field", "string")],
    ),
    "an impossible date beside the cursor": (
        "bimpe",
        bimpe_call(ended_at="2026-13-01T00:00:00Z"),
        {"ended_at": None, "duration_seconds": 60},
        [("ended_at", "out_of_range", "string")],
    ),
    "a NUL character": (
        "bimpe",
        bimpe_call(end_reason="be\0fore"),
        {"end_reason": "be\ufffdfore"},
        [("$", "cleaned_text", "string")],
    ),
    "a lone surrogate": (
        "bimpe",
        bimpe_call(end_reason="be\ud800fore"),
        {"end_reason": "be\ufffdfore"},
        [("$", "cleaned_text", "string")],
    ),
}


@pytest.mark.parametrize("case", DRIFT)
def test_what_departs_from_the_documentation_is_loaded_and_noted(stage: Stage, case: str) -> None:
    """The call is there, the odd value is null (or as given), and `sync.schema_drift` says where and how, once."""
    provider, record, columns, drift = DRIFT[case]

    synced_among_others(stage, provider, record)

    row = stage.calls(provider)[str(record["id"])]
    assert {column: row[column] for column in columns} == columns
    assert [entry[:3] for entry in stage.drift(provider)] == drift
    assert stage.rejects(provider) == []
    assert len(stage.ids(provider)) == 11


def test_raw_control_characters_are_read_as_they_are(stage: Stage) -> None:
    """A newline that stands raw inside a string is no JSON; the value arrives as the provider has it."""
    text = json.dumps(bimpe_call(end_reason="LINE")).replace("LINE", "one\ntwo\tthree").encode()

    synced_among_others(stage, "bimpe", text)

    assert stage.calls("bimpe")["odd"]["end_reason"] == "one\ntwo\tthree"
    assert (stage.rejects("bimpe"), stage.drift("bimpe")) == ([], [])


def test_a_number_that_the_database_refuses_stands_alone(stage: Stage) -> None:
    """1e400000 is JSON, and jsonb takes it not: that record is rejected with its text, its neighbours are loaded."""
    text = json.dumps(TUPLE | {"duration_seconds": 1234567}).replace("1234567", "1e400000").encode()

    synced_among_others(stage, "tuple", text)

    (row,) = stage.rejects("tuple")
    assert (row["reason"], row["call_id"]) == ("database_refused", "77")
    assert "1e400000" in row["raw_text"]
    assert len(stage.ids("tuple")) == 10


def test_the_same_id_in_two_streams_is_the_first_ones(stage: Stage) -> None:
    """Two BimpeAI agents list a call of the same id: the first keeps it, the second one's record is kept as a reject."""
    first = stage.history.agents()[0]["id"]
    stage.history.add_records("bimpe", [bimpe_call(id="twice")], at=AT, agent=first)
    stage.sync("bimpe")
    second = stage.history.roster.add(stage.history.micros, "Second")
    stage.history.add_records("bimpe", [bimpe_call(id="twice", end_reason="other")], at=AT, agent=second)
    stage.history.add("bimpe", number=3, at=AT, agent=second)

    assert stage.sync("bimpe").status is RunStatus.SUCCEEDED

    assert stage.calls("bimpe")["twice"]["agent_id"] == first
    (row,) = stage.rejects("bimpe")
    assert (row["stream"], row["call_id"], row["reason"]) == (second, "twice", "id_in_two_streams")
    assert len(stage.ids("bimpe")) == 4


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_cursor_of_another_century_takes_no_part_in_claims(stage: Stage, provider: str) -> None:
    """A call that says it happened in 2999, or in 1971, is loaded; mark and coverage stay with the others."""
    key = CAST[provider].cursor
    number = {"tuple": 1, "bimpe": "odd", "salpre": "c1", "krosai": "odd", "aircall": 7, "twilio": "CAodd"}[provider]
    (sample,) = [stage.history.truth(provider)[0] for _ in stage.history.add(provider, at=AT)]
    stage.settings = {provider: {"per_page": 4}}
    stage.history.add(provider, number=9, at=AT + timedelta(minutes=7))
    far = {"aircall": 32_472_144_000, "twilio": "Tue, 01 Jan 2999 00:00:00 +0000"}.get(provider, "2999-01-01T00:00:00Z")
    strange = dict(sample) | {key: far, CAST[provider].id: number}
    stage.history.add_records(provider, [strange], at=AT + timedelta(minutes=3))

    assert stage.sync(provider).status is RunStatus.SUCCEEDED

    assert {row["high_water_mark"] for row in stage.state(provider)} == {START}
    good = {call_id: row for call_id, row in expected_calls(stage, provider).items() if call_id != str(number)}
    assert len(good) == 10
    assert differences(good, held_calls(stage, provider)) == {}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_list_without_one_usable_cursor_ends(stage: Stage, provider: str) -> None:
    """The provider renames its time: every record is kept, and the run ends within a few requests as one that brought nothing."""
    stage.settings = {provider: {"per_page": 4}}
    for minutes in range(10):
        stage.history.add(provider, at=AT + timedelta(minutes=minutes))
    renamed = dict.fromkeys(CAST[provider].cursors) | {"new_name": AT.isoformat()}
    for call in stage.history.living(provider):
        stage.history.change(provider, call.id, renamed)

    outcome = stage.sync(provider)

    assert (outcome.status, stage.ids(provider)) == (RunStatus.FAILED, set())
    assert outcome.error is not None
    assert outcome.error.code == "nothing_usable"
    assert [row["reason"] for row in stage.rejects(provider)] == ["bad_cursor"] * 10
    assert len(stage.pages(provider)) <= 10
