"""Records become rows or rejects, whatever they hold; what is odd is noted without telling anybody's data."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl import providers
from etl.model import OPEN_STATUSES, Context, Derived, Drift, DriftNote, EventRow, MessageRow, Record, Rejection, Status
from etl.provider import Field, Provider, all_of
from etl.records.asking import late_parts_missing
from etl.records.content import same_content
from etl.records.derive import derive
from etl.records.identify import identify
from etl.records.parse import whole
from tests.unit.records.samples import EACH, EVERY, bare, marks

SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CONTEXT = Context(connection="made_up", stream="agent-1", currency="EUR", run_id=7)
TUPLE, BIMPE, SALPRE, KROSAI = (providers.get(name) for name in ("tuple", "bimpe", "salpre", "krosai"))
TYPE_NAMES = {"null", "boolean", "string", "number", "object", "array"}

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc.é[]", max_size=5), inner, max_size=3),
    max_leaves=5,
)

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other tests share the machine


def seen(provider: Provider, value: Any) -> Record:
    """Examine a decoded value as it would arrive."""
    return identify(provider, json.dumps(value).encode(), cleaned=False)


def derived(provider: Provider, value: Any, detail: Any = None, *, later: timedelta = MINUTE) -> Derived:
    """Derive a record's row, with a detail seen `later` where there is one."""
    record = seen(provider, value)
    if detail is None:
        return derive(provider, CONTEXT, record, observed_at=SEEN)
    return derive(provider, CONTEXT, record, observed_at=SEEN, detail=seen(provider, detail), detail_observed_at=SEEN + later)


def objects(provider: Provider) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects that hold some of the provider's keys, with likely and unlikely values."""
    times = st.sampled_from(["2026-05-01T10:00:00Z", "2026-05-01T09:00:00+02:00", "2026-99-01T10:00:00Z", "0001-01-01T00:00:00Z"])
    keys = {
        *(key for found in marks(provider) for key in found),
        "status",
        "variables",
        *(key.partition(".")[0] for field in provider.fields for key in all_of(field.key)),
        *provider.late_parts,
        "conversation_logs",
        "events",
    }
    values = times | JSON_VALUES | st.sampled_from(["completed", "Alice Example", "+14155550100", 2**70, 1e300])
    held = st.dictionaries(st.sampled_from(sorted(keys)) | st.text("xyz@4", max_size=8), values)
    people = st.lists(st.fixed_dictionaries({}, optional={"id": values, "user": values, "joined_at": times, "left_at": times}))
    inside = st.lists(
        st.fixed_dictionaries({}, optional={"id": values, "message": values, "type": values, "created_at": times | values})
        | values
    )
    children = st.fixed_dictionaries(
        {},
        optional={"call_participations": people | values, "conversation_logs": inside | values, "events": inside | values},
    )
    return st.builds(lambda *parts: reduce(or_, parts), held, bare(provider), children) | held


@pytest.mark.parametrize("provider", EVERY, ids=lambda p: p.name)
@settings(UNHURRIED, max_examples=EACH)
@given(data=st.data())
def test_any_object_becomes_a_row_or_a_reject(provider: Provider, data: st.DataObject) -> None:
    """No JSON value raises; a row has its id, its instants and its status, and no note tells anything of a value."""
    value, detail = data.draw(objects(provider) | JSON_VALUES), data.draw(st.none() | objects(provider))
    record = seen(provider, value)
    if record.rejection is not None:
        with pytest.raises(ValueError, match="rejected"):
            derive(provider, CONTEXT, record, observed_at=SEEN)
        return
    entry = derived(provider, value, detail, later=data.draw(st.sampled_from([-MINUTE, MINUTE])))
    assert (entry.call.call_id, entry.call.cursor_at) == (record.call_id, record.cursor)
    assert entry.call.occurred_at.tzinfo is UTC
    assert Status(entry.call.status)
    assert (entry.call.cost is None) == (entry.call.currency is None)
    assert entry.call.attributes is None or isinstance(json.loads(entry.call.attributes), dict)
    assert len({child.participant_id for child in entry.participants}) == len(entry.participants)
    assert len({child.message_id for child in entry.messages}) == len(entry.messages)
    assert all(isinstance(json.loads(child.data), dict) for child in entry.events)
    assert len(set(entry.drift)) == len(entry.drift) <= 100
    for note in entry.drift:
        for path in note.path.split(", "):  # a column may be read from several keys together
            assert re.fullmatch(r"\$|[A-Za-z0-9_.*\[\]]+", path) and not re.search(r"\d{4}", path)
        assert TYPE_NAMES.issuperset(note.sample.split(", ")) or note.kind is Drift.NEW_STATUS
        assert not re.search(r"[@+.:]|\d{4}", note.sample)


@UNHURRIED
@given(text=st.binary(max_size=60))
def test_any_bytes_are_examined(text: bytes) -> None:
    """Bytes that are no JSON are a reject like any other, kept as they came."""
    record = identify(TUPLE, text, cleaned=False)
    assert record.text == text
    assert record.rejection is not None or record.call_id


@pytest.mark.parametrize(
    ("text", "call_id", "cursor", "rejection"),
    [
        ('{"id": 7, "ended_at": "2026-05-01T10:00:00Z"}', "7", datetime(2026, 5, 1, 10, tzinfo=UTC), None),
        ('{"id": " a ", "ended_at": "2026-05-01T10:00:00Z", "x": 1e400}', " a ", datetime(2026, 5, 1, 10, tzinfo=UTC), None),
        ("[1]", None, None, Rejection.NOT_AN_OBJECT),
        ('"text"', None, None, Rejection.NOT_AN_OBJECT),
        ("null", None, None, Rejection.NOT_AN_OBJECT),
        ("{", None, None, Rejection.NOT_AN_OBJECT),
        ('{"id": NaN}', None, None, Rejection.NOT_AN_OBJECT),
        ('{"a":' * 200_000 + "1" + "}" * 199_999, None, None, Rejection.NOT_AN_OBJECT),
        ('{"a":' * 200_000 + "1" + "}" * 200_000, None, None, Rejection.MISSING_ID),
        ('{"id": 12345.0, "ended_at": "2026-05-01T10:00:00Z"}', "12345", datetime(2026, 5, 1, 10, tzinfo=UTC), None),
        ('{"id": 1.5}', None, None, Rejection.MISSING_ID),
        ('{"ended_at": "2026-05-01T10:00:00Z"}', None, datetime(2026, 5, 1, 10, tzinfo=UTC), Rejection.MISSING_ID),
        ('{"id": "", "ended_at": null}', None, None, Rejection.MISSING_ID),
        ('{"id": " "}', None, None, Rejection.MISSING_ID),
        ('{"id": null}', None, None, Rejection.MISSING_ID),
        ('{"id": true}', None, None, Rejection.MISSING_ID),
        ('{"id": {}}', None, None, Rejection.MISSING_ID),
        ('{"id": "' + "a" * 513 + '"}', "a" * 513, None, Rejection.ID_TOO_LONG),
        ('{"id": ' + "1" * 600 + "}", None, None, Rejection.ID_TOO_LONG),
        ('{"id": 7}', "7", None, Rejection.BAD_CURSOR),
        ('{"id": 7, "ended_at": "soon"}', "7", None, Rejection.BAD_CURSOR),
        ('{"id": 7, "ended_at": 1773585000}', "7", None, Rejection.BAD_CURSOR),
    ],
)
def test_what_cannot_be_a_row(text: str, call_id: str | None, cursor: datetime | None, rejection: Rejection | None) -> None:
    """A record is rejected only if it is no object, has no id or one too long, or no usable cursor."""
    record = identify(TUPLE, text.encode(), cleaned=False)
    assert (record.call_id, record.cursor, record.rejection) == (call_id, cursor, rejection)


def test_digest_is_of_the_bytes() -> None:
    """The same bytes have the same digest of 16 bytes, others another."""
    one, same, other = (identify(TUPLE, text, cleaned=False).digest for text in (b'{"id":1}', b'{"id":1}', b'{"id": 1}'))
    assert one == same != other
    assert len(one) == 16


def test_a_salpre_call_without_a_start_has_no_place_yet() -> None:
    """Salpre's calls stand where they started: one that has not is rejected, by name, until it has."""
    assert seen(SALPRE, {"call_id": "c1", "status": "initiated", "started_at": None})[:3] == ("c1", None, Rejection.BAD_CURSOR)


CALL = {"id": "a", "created_at": "2026-05-01T10:00:00Z", "status": "completed"}


@pytest.mark.parametrize(
    ("record", "detail", "later", "transcript"),
    [
        ({"transcript": "listed"}, {"transcript": "asked"}, MINUTE, "asked"),
        ({"transcript": "listed"}, {"transcript": "asked"}, 0 * MINUTE, "asked"),
        ({"transcript": "listed"}, {"transcript": "asked"}, -MINUTE, "listed"),
        ({"transcript": "listed"}, {}, MINUTE, "listed"),
        ({}, {"transcript": "asked"}, -MINUTE, "asked"),
        ({"transcript": "listed"}, {"transcript": None}, MINUTE, "listed"),
        ({"transcript": None}, {"transcript": "asked"}, -MINUTE, "asked"),
        ({"transcript": None}, {"transcript": None}, MINUTE, None),
        ({"transcript": "listed"}, {"transcript": 5}, MINUTE, None),
    ],
)
def test_the_later_observation_counts(record: Any, detail: Any, later: timedelta, transcript: str | None) -> None:
    """A field that both records know comes from the later one; one that only one knows from that one; a null knows nothing."""
    assert derived(KROSAI, CALL | record, CALL | detail, later=later).call.transcript == transcript


def test_a_call_does_not_move_when_its_detail_arrives() -> None:
    """Where a call stands on the time line is said by the list alone."""
    record = {"call_id": "c1", "started_at": "2026-05-01T10:00:00Z", "status": "initiated"}
    entry = derived(SALPRE, record, record | {"started_at": "2026-05-01T10:00:03Z"})
    assert entry.call.occurred_at == datetime(2026, 5, 1, 10, tzinfo=UTC)
    assert entry.call.started_at == datetime(2026, 5, 1, 10, 0, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "columns", "notes"),
    [
        ({"duration": "long"}, {"duration_seconds": None}, [("duration", Drift.WRONG_TYPE, "string")]),
        ({"duration": 2**70}, {"duration_seconds": None}, [("duration", Drift.OUT_OF_RANGE, "number")]),
        ({"direction": "sideways"}, {"direction": None}, [("direction", Drift.OUT_OF_RANGE, "string")]),
        ({"answered_at": "2026-02-31T00:00:00Z"}, {"answered_at": None}, [("answered_at", Drift.OUT_OF_RANGE, "string")]),
        ({"transcript": ["a"]}, {"transcript": None}, [("transcript", Drift.WRONG_TYPE, "array")]),
        ({"cost": 5, "cost_cents": 7}, {"cost": 7}, []),
        ({"cost": 5, "cost_cents": None}, {"cost": 5}, []),
        ({"cost": 5, "cost_cents": "?"}, {"cost": 5}, [("cost_cents", Drift.WRONG_TYPE, "string")]),
        ({"cost": "?"}, {"cost": None, "currency": None}, [("cost", Drift.WRONG_TYPE, "string")]),
        ({"status": "teleported"}, {"status": "unknown"}, [("status", Drift.NEW_STATUS, "teleported")]),
        ({"status": "a@example.com"}, {"status": "unknown"}, [("status", Drift.NEW_STATUS, "string")]),
        ({"status": "n14155550100"}, {"status": "unknown"}, [("status", Drift.NEW_STATUS, "string")]),
        ({"status": 5}, {"status": "unknown", "provider_status": None}, [("status", Drift.WRONG_TYPE, "number")]),
        ({"sip": {"a": 1}}, {}, [("sip", Drift.NEW_FIELD, "object")]),
        ({"a@example.com": True, "14155550100": None}, {}, [("*", Drift.NEW_FIELD, "null"), ("*", Drift.NEW_FIELD, "boolean")]),
    ],
)
def test_oddities_are_noted(change: dict[str, Any], columns: dict[str, Any], notes: list[tuple[str, Drift, str]]) -> None:
    """What cannot be typed is null and noted with its type's name; the rest of the call is loaded."""
    entry = derived(KROSAI, CALL | change)
    row = entry.call._asdict()
    cost = row["cost"]
    row["cost"] = None if cost is None else cost * 100
    assert {column: row[column] for column in columns} == columns
    assert list(entry.drift) == [DriftNote(*note) for note in notes]


def test_an_end_before_the_start_is_loaded_and_noted() -> None:
    """Two times in the wrong order are the provider's to explain: both are kept."""
    entry = derived(TUPLE, {"id": 1, "started_at": "2026-05-01T11:00:00Z", "ended_at": "2026-05-01T10:00:00Z"})
    assert entry.call.started_at == datetime(2026, 5, 1, 11, tzinfo=UTC)
    assert entry.call.ended_at == datetime(2026, 5, 1, 10, tzinfo=UTC)
    assert entry.drift == (DriftNote("ended_at", Drift.END_BEFORE_START, "string"),)


def test_cleaned_text_is_noted() -> None:
    """A record that had to be freed of NUL characters or lone surrogates says so."""
    record = identify(KROSAI, json.dumps(CALL).encode(), cleaned=True)
    assert derive(KROSAI, CONTEXT, record, observed_at=SEEN).drift == (DriftNote("$", Drift.CLEANED_TEXT, "string"),)


def test_participants_of_every_kind() -> None:
    """A participant has its id or its position; of two with one id the last counts; one that is no object is noted."""
    people = [
        {"id": 1, "user": {"email": "a@example.com"}, "joined_at": "2026-05-01T10:00:00Z", "left_at": "2026-05-01T10:00:09.9Z"},
        {"user": None},
        {"id": 1, "user": {"email": "b@example.com", "name": "B"}, "joined_at": None},
        {"id": [], "user": "c@example.com", "host": True},
        "d@example.com",
        {"id": 6, "joined_at": "2026-05-01T10:00:09Z", "left_at": "2026-05-01T10:00:00Z"},
        {"id": 8, "joined_at": "2026-05-01T10:00:09Z", "left_at": "9000-05-01T10:00:00Z"},
        {"id": 7, "joined_at": "9000-05-01T10:00:09Z", "left_at": "2026-05-01T10:00:00Z"},
    ]
    entry = derived(TUPLE, {"id": 1, "ended_at": "2026-05-01T10:00:00Z", "call_participations": people})
    assert [(child.participant_id, child.email, child.duration_seconds) for child in entry.participants] == [
        ("1", "b@example.com", None),
        ("2", None, None),
        ("4", None, None),
        ("6", None, -9),
        ("8", None, None),
        ("7", None, None),
    ]
    inside = "call_participations[]"
    assert entry.drift == (
        DriftNote(f"{inside}.user.name", Drift.NEW_FIELD, "string"),
        DriftNote(f"{inside}.id", Drift.WRONG_TYPE, "array"),
        DriftNote(f"{inside}.user.email", Drift.WRONG_TYPE, "string"),
        DriftNote(f"{inside}.host", Drift.NEW_FIELD, "boolean"),
        DriftNote(inside, Drift.WRONG_TYPE, "string"),
        DriftNote(f"{inside}.left_at", Drift.END_BEFORE_START, "string"),
        DriftNote(f"{inside}.left_at", Drift.OUT_OF_RANGE, "string"),
    )


def test_a_stay_that_the_provider_gives_is_taken() -> None:
    """Where a provider says how long somebody stayed, nothing is computed."""
    assert TUPLE.participants is not None
    fields = (*TUPLE.participants.fields, Field(column="duration_seconds", key="seconds", parse=whole))
    provider = replace(TUPLE, participants=replace(TUPLE.participants, fields=fields))
    people = [{"id": 1, "joined_at": "2026-05-01T10:00:00Z", "left_at": "2026-05-01T10:00:09Z", "seconds": 8}]
    entry = derived(provider, {"id": 1, "ended_at": "2026-05-01T10:00:00Z", "call_participations": people})
    assert [child.duration_seconds for child in entry.participants] == [8]
    assert entry.drift == ()


def test_keys_inside_children_can_be_ignored() -> None:
    """A known key without a column is no drift, at any depth, once the provider names it."""
    provider = replace(TUPLE, ignored=frozenset({"call_participations[].user.name", "call_participations[].host"}))
    people = [{"id": 1, "user": {"email": "a@example.com", "name": "A", "age": 1}, "host": True}]
    entry = derived(provider, {"id": 1, "ended_at": "2026-05-01T10:00:00Z", "call_participations": people})
    assert entry.drift == (DriftNote("call_participations[].user.age", Drift.NEW_FIELD, "number"),)


def test_messages_of_every_kind() -> None:
    """A message has its id or its position; of two with one id the last counts; what is odd is noted, the rest is kept."""
    logs = [
        {"id": "m1", "role": "assistant", "message": "Hello", "message_type": "text", "created_at": "2026-05-01T10:00:00Z"},
        {"role": 5, "message": "", "created_at": "soon", "tone": "warm"},
        "Hi",
        {"id": "m1", "message": "Hello again", "created_at": "2026-05-01T12:00:03+02:00"},
        {"id": [], "attachments": [{"type": "image", "url": "https://files.example.com/a.png"}]},
    ]
    record = {"id": "a", "created_on": "2026-05-01T10:00:00Z", "status": "ended"}
    entry = derived(BIMPE, record, record | {"conversation_logs": logs})
    at = datetime(2026, 5, 1, 10, 0, 3, tzinfo=UTC)
    assert entry.messages == (
        MessageRow("made_up", "a", "m1", 4, None, "Hello again", None, at),
        MessageRow("made_up", "a", "2", 2, None, "", None, None),
        MessageRow("made_up", "a", "5", 5, None, None, None, None),
    )
    assert (entry.participants, entry.events) == ((), ())
    inside = "conversation_logs[]"
    assert entry.drift == (
        DriftNote(f"{inside}.role", Drift.WRONG_TYPE, "number"),
        DriftNote(f"{inside}.created_at", Drift.WRONG_TYPE, "string"),
        DriftNote(f"{inside}.tone", Drift.NEW_FIELD, "string"),
        DriftNote(inside, Drift.WRONG_TYPE, "string"),
        DriftNote(f"{inside}.id", Drift.WRONG_TYPE, "array"),
    )


def test_events_are_kept_whole() -> None:
    """An event's documented and likely keys become columns; all of it stands in `data`, numbers that JSON cannot hold as null."""
    text = (
        b'{"id":"a","created_at":"2026-05-01T10:00:00Z","status":"completed","events":['
        b'{"id":"e1","type":"dtmf","timestamp":null,"created_at":"2026-05-01T10:00:01Z","data":{"digit":"#"},"level":1e400},'
        b'{"event":"call.ringing","occurred_at":"2026-05-01T10:00:02Z"},{}]}'
    )
    entry = derive(KROSAI, CONTEXT, identify(KROSAI, text, cleaned=False), observed_at=SEEN)
    first, second = datetime(2026, 5, 1, 10, 0, 1, tzinfo=UTC), datetime(2026, 5, 1, 10, 0, 2, tzinfo=UTC)
    whole_event = (
        '{"created_at":"2026-05-01T10:00:01Z","data":{"digit":"#"},"id":"e1","level":null,"timestamp":null,"type":"dtmf"}'
    )
    assert entry.events == (
        EventRow("made_up", "a", "e1", 1, "dtmf", first, whole_event),
        EventRow("made_up", "a", "2", 2, "call.ringing", second, '{"event":"call.ringing","occurred_at":"2026-05-01T10:00:02Z"}'),
        EventRow("made_up", "a", "3", 3, None, None, "{}"),
    )
    assert entry.drift == (DriftNote("events[].level", Drift.NEW_FIELD, "number"),)


@pytest.mark.parametrize("provider", [TUPLE, SALPRE], ids=lambda p: p.name)
def test_a_provider_without_messages_or_events_has_none(provider: Provider) -> None:
    """What stands under another provider's keys is an unknown field, and becomes no row."""
    record = {provider.call_id: "a", provider.cursor: "2026-05-01T10:00:00Z", "status": "completed", "events": [{"id": 1}]}
    entry = derived(provider, record)
    assert (entry.messages, entry.events) == ((), ())
    assert DriftNote("events", Drift.NEW_FIELD, "array") in entry.drift


@pytest.mark.parametrize(
    ("provider", "status", "detail", "missing"),
    [
        (KROSAI, "completed", {"transcript": "Hi", "recording_url": "https://files.example.com/a.mp3"}, False),
        (KROSAI, "completed", {"transcript": "Hi", "recording_url": None}, True),
        (KROSAI, "completed", {"transcript": "", "recording_url": "https://files.example.com/a.mp3"}, True),
        (KROSAI, "completed", {}, True),
        (KROSAI, "voicemail", {"transcript": "Hi"}, True),
        (KROSAI, "busy", {}, False),
        (KROSAI, "in_progress", {}, False),
        (KROSAI, "unknown", {}, False),
        (SALPRE, "completed", {"transcript": "Hi", "audio_record_url": "https://files.example.com/a.mp3"}, False),
        (SALPRE, "completed", {"transcript": "Hi"}, True),
        (SALPRE, "failed", {}, False),
        (BIMPE, "completed", {"conversation_logs": []}, True),
        (BIMPE, "completed", {"conversation_logs": [{"id": "m1"}]}, True),
        (BIMPE, "no_answer", {"conversation_logs": []}, False),
        (TUPLE, "completed", {}, False),
    ],
)
def test_late_parts(provider: Provider, status: str, detail: Any, *, missing: bool) -> None:
    """Of a call that was answered a transcript and a recording are awaited until they are there; a list may always grow."""
    assert late_parts_missing(provider, status, detail) is missing


def test_participants_that_are_no_list() -> None:
    """Where a list belongs, anything else is noted and nobody took part."""
    entry = derived(TUPLE, {"id": 1, "ended_at": "2026-05-01T10:00:00Z", "call_participations": {"id": 1}})
    assert entry.participants == ()
    assert entry.drift == (DriftNote("call_participations", Drift.WRONG_TYPE, "object"),)


def test_numbers_that_no_type_can_hold() -> None:
    """An infinite number makes its field null and no other; the record's text is kept as it came."""
    text = b'{"id":"a","created_at":"2026-05-01T10:00:00Z","status":"completed","duration":1e400,"latency_ms":45}'
    entry = derive(KROSAI, CONTEXT, identify(KROSAI, text, cleaned=False), observed_at=SEEN)
    assert (entry.call.duration_seconds, entry.call.latency_ms, entry.call.raw) == (None, 45, text.decode())
    assert entry.drift == (DriftNote("duration", Drift.OUT_OF_RANGE, "number"),)


def test_attributes_that_are_no_object() -> None:
    """Salpre's variables are an object or nothing."""
    record = {"call_id": "c1", "started_at": "2026-05-01T10:00:00Z", "status": "completed", "variables": []}
    entry = derived(SALPRE, record)
    assert entry.call.attributes is None
    assert entry.drift == (DriftNote("variables", Drift.WRONG_TYPE, "array"),)


def test_a_detail_needs_its_instant() -> None:
    """A detail that nobody observed, or that is no object, is a mistake of the caller."""
    record = seen(KROSAI, CALL)
    for detail, asked_at in ((record, None), (seen(KROSAI, [1]), SEEN)):
        with pytest.raises(ValueError, match="detail"):
            derive(KROSAI, CONTEXT, record, observed_at=SEEN, detail=detail, detail_observed_at=asked_at)


def test_given_instants_are_kept() -> None:
    """When a call was first seen and last changed is the caller's knowledge."""
    entry = derive(
        KROSAI,
        CONTEXT,
        seen(KROSAI, CALL),
        observed_at=SEEN,
        first_seen_at=SEEN - MINUTE,
        last_changed_at=SEEN - 2 * MINUTE,
        detail_due_at=SEEN + MINUTE,
    )
    assert entry.call.first_seen_at == SEEN - MINUTE
    assert entry.call.last_changed_at == SEEN - 2 * MINUTE
    assert entry.call.detail_due_at == SEEN + MINUTE


def test_open_statuses() -> None:
    """A call is open until its status is terminal; an unknown one is never over."""
    assert {str(status) for status in Status if status in OPEN_STATUSES} == {"queued", "ringing", "in_progress", "unknown"}


@pytest.mark.parametrize(
    ("held", "seen_now", "same"),
    [
        ({"a": 1, "b": [1, {"c": None}]}, {"b": [1.0, {"c": None}], "a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, False),
        ({"recording_url": "https://example.com/?s=1"}, {"recording_url": "https://example.com/?s=2"}, True),
        ({"recording_url": None}, {"recording_url": "https://example.com/?s=2"}, False),
        ([1], [1], True),
        ([1], {"a": 1}, False),
    ],
)
def test_same_content(held: Any, seen_now: Any, *, same: bool) -> None:
    """Content is compared, not bytes: order and number format do not matter, nor the text of a presigned address."""
    assert same_content(KROSAI, held, seen_now) is same
