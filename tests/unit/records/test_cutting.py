"""What stays of an erased call: ids, times, status and measures, the same whether it is cut as it comes or as it is held."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl import providers
from etl.model import Context, Rejection
from etl.records.cutting import KEPT, cut, cut_detail
from etl.records.derive import derive
from etl.records.identify import identify
from etl.records.persons import by_email, by_phone
from etl.records.shield import Cut, Shield, hash_of

KEY = b"a key of these tests, and of no other"
AT = "2026-05-01T10:00:00Z"
SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
PHONE, EMAIL = by_phone("+14155550100"), by_email("bob@example.com")
assert PHONE is not None and EMAIL is not None
SHIELD = Shield(key=KEY, hashes=frozenset({hash_of(KEY, PHONE), hash_of(KEY, EMAIL)}))
NOBODY = Shield(key=KEY)

RECORDS: dict[str, dict[str, Any]] = {
    "tuple": {
        "id": 7,
        "started_at": AT,
        "ended_at": AT,
        "duration_seconds": 60,
        "call_participations": [
            {"id": 1, "user": {"email": "bob@example.com", "name": "Bob"}, "joined_at": AT, "left_at": AT},
            {"id": 2, "user": {"email": "eve@example.com", "name": "Eve"}, "joined_at": AT, "left_at": AT},
        ],
    },
    "bimpe": {
        "id": "c1",
        "created_on": AT,
        "status": "ended",
        "direction": "inbound",
        "source": "+14155550100",
        "destination": "+14155550199",
        "duration_seconds": 9,
        "is_test_call": True,
        "end_reason": "Bob hung up",
        "conversation_logs": [{"id": "m1", "message": "I am Bob", "role": "caller", "created_at": AT}],
    },
    "salpre": {
        "call_id": "c1",
        "started_at": AT,
        "status": "completed",
        "agent_id": 5,
        "from": "salprebox:BOX_1",
        "to": "+14155550100",
        "audio_record_url": "https://cdn.example.com/1",
        "transcript": "hello",
        "variables": {"name": "Bob"},
    },
    "krosai": {
        "id": "c1",
        "created_at": AT,
        "completed_at": AT,
        "status": "completed",
        "direction": "outbound",
        "from_number": "+14155550199",
        "to_number": "+14155550100",
        "duration": 12,
        "cost_cents": 5,
        "latency_ms": 3,
        "organization_id": "org",
        "transcript": "hello",
        "recording_url": "https://cdn.example.com/1",
        "events": [{"id": "e1", "type": "ended", "created_at": AT, "data": {"number": "+14155550100"}}],
        "something_new": {"note": "Bob"},
    },
    "aircall": {
        "id": 9,
        "started_at": 1_777_000_000,
        "status": "done",
        "direction": "inbound",
        "raw_digits": "+1 415-555-0100",
        "number": {"digits": "+14155550199"},
        "voicemail": "https://cdn.example.com/voice/1",
        "user": {"id": 3, "email": "bob@example.com", "name": "Bob"},
        "cost": "1.2",
    },
}
EVERY = [pytest.param(providers.get(name), value, id=name) for name, value in RECORDS.items()]


def record_of(provider: Any, value: object) -> Any:
    """Identify a record."""
    return identify(provider, json.dumps(value).encode(), cleaned=False)


def row_of(provider: Any, record: Any) -> Any:
    """Derive a record's call."""
    context = Context(connection="here", stream="calls", currency="USD", run_id=1)
    return derive(provider, context, record, observed_at=SEEN)


@pytest.mark.parametrize(("provider", "value"), EVERY)
def test_nothing_personal_stays_of_a_call(provider: Any, value: dict[str, Any]) -> None:
    """Neither in the text nor in any column or child; what counts prove by stays as it was."""
    whole, left = record_of(provider, value), cut(provider, record_of(provider, value), Cut.PERSONS, SHIELD)
    before, after = row_of(provider, whole), row_of(provider, left)
    kept = {*KEPT, "connection", "call_id", "provider", "occurred_at", "status", "currency", "stream", "cursor_at"} - {"cost"}
    assert {name: getattr(before.call, name) for name in kept} == {name: getattr(after.call, name) for name in kept}
    assert before.call.cost == after.call.cost
    assert [row[2] for row in before.participants] == [row[2] for row in after.participants]
    assert [row[4:] for row in before.participants] == [row[4:] for row in after.participants]
    told = json.dumps([list(map(str, rows)) for rows in after]) + left.text.decode()
    for secret in ("Bob", "bob@", "eve@", "5550100", "5550199", "cdn.example.com", "hello", "BOX_1"):
        assert secret not in told, secret
    assert [row.email for row in after.participants] == [None] * len(after.participants)
    assert after.messages == ()
    assert (left.call_id, left.cursor) == (whole.call_id, whole.cursor) == identify(provider, left.text, cleaned=False)[:2]
    assert after.drift == ()


@pytest.mark.parametrize(("provider", "value"), EVERY)
def test_what_is_cut_again_is_the_same(provider: Any, value: dict[str, Any]) -> None:
    """Bytes and digest too, however the database orders the keys: so reading again is no change."""
    once = cut(provider, record_of(provider, value), Cut.PERSONS, SHIELD)
    held = json.dumps(json.loads(once.text), indent=1)
    turned = dict(reversed(value.items()))
    for again in (once, identify(provider, held.encode(), cleaned=False), record_of(provider, turned)):
        assert cut(provider, again, Cut.PERSONS, SHIELD)[:2] == once[:2]
        assert cut(provider, again, Cut.PERSONS, SHIELD).digest == once.digest
        assert cut(provider, again, Cut.PERSONS, SHIELD).text == once.text


@pytest.mark.parametrize(("provider", "value"), EVERY)
def test_only_what_was_said_goes_with_the_words(provider: Any, value: dict[str, Any]) -> None:
    """Transcript, messages and recording; a call without any stays the very record, and status and addresses stay."""
    whole = record_of(provider, value)
    left = cut(provider, whole, Cut.WORDS, NOBODY)
    before, after = row_of(provider, whole), row_of(provider, left)
    assert (after.call.transcript, after.call.recording_url or None, after.messages) == (None, None, ())
    silent = {"transcript", "recording_url", "raw", "content_hash"}
    assert {name: value for name, value in before.call._asdict().items() if name not in silent} == {
        name: value for name, value in after.call._asdict().items() if name not in silent
    }
    assert before.participants == after.participants and before.events == after.events
    assert cut(provider, left, Cut.WORDS, NOBODY) is left
    if before.call.transcript is None and before.call.recording_url is None and not before.messages:
        assert left is whole


def test_whoever_is_named_in_what_stays_is_taken_out_of_it_too() -> None:
    """An id of something else, a status word: nothing but the call's own id and cursor may name somebody erased."""
    provider = providers.get("krosai")
    value = RECORDS["krosai"] | {"endpoint_id": "+14155550100", "status": "bob@example.com"}
    left = json.loads(cut(provider, record_of(provider, value), Cut.PERSONS, SHIELD).text)
    assert (left["endpoint_id"], left["status"], left["id"]) == (None, None, "c1")


def test_a_reject_keeps_an_identity_of_its_own() -> None:
    """By a keyed hash of the one that it had: its text could be guessed from the other. Two rejects stay two."""
    provider = providers.get("krosai")
    one, two = (record_of(provider, {"from_number": "+14155550100", "status": status}) for status in ("a", "b"))
    assert one.rejection is Rejection.MISSING_ID
    cuts = [cut(provider, record, Cut.PERSONS, SHIELD) for record in (one, two)]
    assert [record.text for record in cuts] == [b'{"status":"a"}', b'{"status":"b"}']
    assert len({one.digest, two.digest, *(record.digest for record in cuts)}) == 4
    assert cuts[0].digest == SHIELD.alias(one.digest, Cut.PERSONS)
    assert cut(provider, cuts[0], Cut.PERSONS, SHIELD) is cuts[0]


@pytest.mark.parametrize("text", [b'"+14155550100"', b"[1, 2]", b"7"])
def test_of_what_is_no_record_nothing_stays(text: bytes) -> None:
    """It stays what it was all the same: a reject of its kind."""
    provider = providers.get("krosai")
    left = cut(provider, identify(provider, text, cleaned=False), Cut.PERSONS, SHIELD)
    assert (left.text, left.rejection) == (b"null", Rejection.NOT_AN_OBJECT)


def test_a_detail_without_a_cursor_is_cut_as_any() -> None:
    """It is no reject, for it needs none."""
    provider = providers.get("salpre")
    detail = record_of(provider, {"call_id": "c1", "transcript": "hello"})
    assert json.loads(cut_detail(provider, detail, Cut.WORDS, NOBODY).text) == {"call_id": "c1", "transcript": None}
    assert json.loads(cut_detail(provider, detail, Cut.PERSONS, NOBODY).text) == {"call_id": "c1"}
    assert cut_detail(provider, detail, Cut.PERSONS, NOBODY).rejection == detail.rejection


def test_age_decides_by_the_cursor() -> None:
    """Before the instant, not at it; what is erased whole has no words left to erase; without a cursor nothing is old."""
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    shield = Shield(calls_before=early, words_before=late)
    assert [shield.by_age(at) for at in (datetime(2025, 1, 1, tzinfo=UTC), early, late, None)] == [
        Cut.AGED,
        Cut.WORDS,
        Cut.NOTHING,
        Cut.NOTHING,
    ]


KEYS = st.sampled_from(["id", "created_at", "status", "x", "cost", "events"])


@given(st.dictionaries(KEYS, st.text() | st.integers(), max_size=5))
def test_whatever_comes_can_be_cut(value: dict[str, Any]) -> None:
    """Nothing but what is kept stays, however odd the values are."""
    provider = providers.get("krosai")
    left = json.loads(cut(provider, record_of(provider, value), Cut.PERSONS, SHIELD).text)
    assert set(left) <= {"id", "created_at", "status", "cost", "events"}
