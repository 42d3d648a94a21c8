"""Held calls are derived again as sync, replay, audit and repair all do it: what is right is left alone, what is not is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import providers
from etl.model import CallRow, Context, Derived, Drift, DriftNote, EventRow, MessageRow, ParticipantRow, Rejection
from etl.provider import Provider
from etl.records.derive import derive
from etl.records.differences import DERIVED, KINDS
from etl.records.identify import identify
from etl.records.rederive import FEWEST, changed, rederive, with_detail
from etl.records.rows import HeldCalls, Rewrite, Stored
from tests.unit.records.samples import EACH, EVERY, made

SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TUPLE, BIMPE, SALPRE, KROSAI = OWN = [providers.get(name) for name in ("tuple", "bimpe", "salpre", "krosai")]
MANY = 3 * FEWEST


def listed(provider: Provider, number: int) -> dict[str, Any]:
    """Return a call as the provider's list shows it; of the first four with what is looked at here by name."""
    if provider not in OWN:
        record: dict[str, Any] = made(provider, number).record
        return record
    at = f"2026-05-01T10:{number % 60:02}:00Z"
    common: dict[str, Any] = {provider.call_id: f"c{number:04}", provider.cursor: at}
    people = [
        {"id": f"p{number}-{n}", "user": {"email": f"p{n}@example.com"}, "joined_at": at, "left_at": at}
        for n in range(number % 3)
    ]
    return (
        common
        | {
            "tuple": {"started_at": at, "duration_seconds": number, "call_participations": people},
            "bimpe": {"status": "ended", "source": "+14155550100", "is_test_call": number % 2 == 0},
            "salpre": {"status": "completed", "agent_id": number % 5, "from": "salprebox:BOX_1", "duration_sec": number},
            "krosai": {"status": "completed", "cost_cents": number, "phone_number_id": "one", "endpoint_id": None},
        }[provider.name]
    )


def asked(provider: Provider, number: int) -> dict[str, Any]:
    """Return the detail of a call, with children where the provider has any."""
    if provider not in OWN:
        whole: dict[str, Any] = made(provider, number).detail
        return whole
    detail = listed(provider, number)
    if provider.messages is not None:
        detail["conversation_logs"] = [{"id": f"m{number}-{n}", "message": "Hello", "role": "agent"} for n in range(3)]
    if provider.events is not None:
        detail["events"] = [{"id": f"e{number}", "type": "ended", "flag": True}]
    if provider.attributes_object is not None:
        detail[provider.attributes_object] = {"returning": True, "tries": 1}
    return detail


def stored_text(text: str | None) -> str | None:
    """Return a JSON text as a database would give it back: keys in another order, with spaces."""
    return None if text is None else json.dumps(dict(reversed(json.loads(text).items())))


def entry_of(provider: Provider, number: int, detail: dict[str, Any] | None = None) -> Derived:
    """Return what a sync wrote of a call."""

    def record(value: dict[str, Any]) -> Any:
        return identify(provider, json.dumps(value).encode(), cleaned=False)

    stream = "calls" if provider.agents is None else f"agent-{number % 2}"
    return derive(
        provider,
        Context(connection="made_up", stream=stream, currency="EUR", run_id=7),
        record(listed(provider, number)),
        observed_at=SEEN + number * MINUTE,
        detail=None if detail is None else record(detail),
        detail_observed_at=None if detail is None else SEEN + (number + 1) * MINUTE,
    )


def held(entries: Sequence[Derived]) -> HeldCalls:
    """Return what a warehouse gives back of calls."""
    return HeldCalls(
        calls=[
            entry.call._replace(**{name: stored_text(getattr(entry.call, name)) for name in ("raw", "detail", "attributes")})
            for entry in entries
        ],
        participants=[row for entry in reversed(entries) for row in entry.participants],
        messages=[row for entry in reversed(entries) for row in entry.messages],
        events=[row._replace(data=stored_text(row.data) or "") for entry in reversed(entries) for row in entry.events],
    )


def mixed(provider: Provider) -> list[Derived]:
    """Return calls of which every third has a detail, where the provider has any."""
    return list(_mixed(provider.name))


@cache
def _mixed(name: str) -> tuple[Derived, ...]:
    """Derive them once: each of many examples changes a list of its own."""
    provider = providers.get(name)
    with_details = provider.detail is not None
    return tuple(entry_of(provider, n, asked(provider, n) if with_details and n % 3 == 0 else None) for n in range(MANY))


def again(provider: Provider, entries: HeldCalls) -> dict[str, tuple[str, ...]]:
    """Return in what each call differs that is not held as it should be: columns, then kinds of children."""
    found = rederive(provider, entries, currency="EUR", run_id=8)
    assert found.unlike == []
    return {row.call_id: (*rewrite.columns, *rewrite.children) for row, rewrite in found.differing}


def only(entries: HeldCalls, call_id: str) -> HeldCalls:
    """Return one call, and what belongs to it."""
    kinds = {kind: [row for row in getattr(entries, kind) if row.call_id == call_id] for kind in ("calls", *KINDS)}
    return HeldCalls(**kinds)


@pytest.mark.parametrize("provider", EVERY, ids=lambda one: one.name)
def test_what_is_held_as_its_records_have_it_is_left_alone(provider: Provider) -> None:
    """However the database writes JSON, and whichever of the calls have a detail."""
    assert again(provider, held(mixed(provider))) == {}


@pytest.mark.parametrize("provider", EVERY, ids=lambda one: one.name)
@settings(max_examples=EACH)
@given(data=st.data())
def test_one_value_that_is_held_otherwise_is_named_and_nothing_else(provider: Provider, data: st.DataObject) -> None:
    """Any column of any call among many, which are looked at together: that call, that column; and it is put right."""
    entries = mixed(provider)
    place = data.draw(st.integers(0, MANY - 1))
    right = entries[place].call
    columns = [name for name in DERIVED if name not in ("connection", "call_id", "attributes")]
    name = data.draw(st.sampled_from(columns))
    value = getattr(right, name)
    wrong = (not value) if isinstance(value, bool) else None if value is not None and data.draw(st.booleans()) else "otherwise"
    entries[place] = entries[place]._replace(call=right._replace(**{name: wrong}))
    if name == "stream" and provider.agents is not None:
        return  # where there are agents the stream says whose call it is: no record does

    found = rederive(provider, held(entries), currency="EUR", run_id=8)

    assert [(row.call_id, rewrite.columns, rewrite.children) for row, rewrite in found.differing] == [
        (right.call_id, (name,), ())
    ]
    ((_, rewrite),) = found.differing
    kept = held(entries).calls[place]
    assert rewrite.derived.call == right._replace(raw=kept.raw, detail=kept.detail, last_run_id=8)


@pytest.mark.parametrize("provider", EVERY, ids=lambda one: one.name)
@settings(max_examples=EACH)
@given(data=st.data())
def test_children_that_are_held_otherwise_are_named(provider: Provider, data: st.DataObject) -> None:
    """One that is missing, or says something else: the call it belongs to and the kind, whatever its neighbours have."""
    entries = mixed(provider)
    with_children = [(place, kind) for place, entry in enumerate(entries) for kind in KINDS if getattr(entry, kind)]
    if not with_children:
        return
    place, kind = data.draw(st.sampled_from(with_children))
    children = list(getattr(entries[place], kind))
    child = data.draw(st.integers(0, len(children) - 1))
    if data.draw(st.booleans()):
        del children[child]
    else:
        name = children[child]._fields[-2]
        children[child] = children[child]._replace(**{name: SEEN if getattr(children[child], name) != SEEN else None})
    entries[place] = entries[place]._replace(**{kind: tuple(children)})
    assert again(provider, held(entries)) == {entries[place].call.call_id: (kind,)}


@pytest.mark.parametrize("kind", KINDS)
def test_children_that_no_record_knows_are_named(kind: str) -> None:
    """Those of a call that has none, among many such calls."""
    entries = [entry_of(TUPLE, 3 * number) for number in range(MANY)]
    given = {
        "participants": ParticipantRow("made_up", "c0006", "p", None, None, None, None),
        "messages": MessageRow("made_up", "c0006", "m", 1, None, None, None, None),
        "events": EventRow("made_up", "c0006", "e", 1, None, None, "{}"),
    }
    assert again(TUPLE, replace(held(entries), **{kind: [given[kind]]})) == {"c0006": (kind,)}


@pytest.mark.parametrize("provider", EVERY, ids=lambda one: one.name)
def test_many_together_are_compared_as_each_alone(provider: Provider) -> None:
    """What is seen in bulk is what is seen one by one, odd records between sound ones included."""
    entries = mixed(provider)
    for place in range(0, MANY, 7):
        entries[place] = entries[place]._replace(call=entries[place].call._replace(duration_seconds=4711, status="failed"))
    for place in range(3, MANY, 41):
        call = entries[place].call
        text = json.dumps(json.loads(call.raw) | {"brand_new": 1})
        entries[place] = entries[place]._replace(call=call._replace(raw=text))
    whole = held(entries)
    alone: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        alone |= again(provider, only(whole, entry.call.call_id))
    assert again(provider, whole) == alone
    assert len(alone) >= MANY // 7


def test_true_is_not_one() -> None:
    """In attributes and in an event's data, where Python would take the one for the other; 1.0 is 1."""
    entry = entry_of(SALPRE, 1, asked(SALPRE, 1))
    for text, columns in (
        ('{"returning": true, "tries": 1.0}', ()),
        ('{"returning": 1, "tries": 1}', ("attributes",)),
        ('{"returning": true, "tries": true}', ("attributes",)),
    ):
        one = entry._replace(call=entry.call._replace(attributes=text))
        assert again(SALPRE, held([one])).get(entry.call.call_id, ()) == columns, text
    events = entry_of(KROSAI, 1, asked(KROSAI, 1))
    (event,) = events.events
    one = events._replace(events=(event._replace(data=event.data.replace("true", "1")),))
    assert again(KROSAI, held([one])) == {events.call.call_id: ("events",)}


@pytest.mark.parametrize("provider", [BIMPE, SALPRE, KROSAI], ids=lambda one: one.name)
def test_a_detail_of_another_call_takes_no_part_and_is_asked_for_again(provider: Provider) -> None:
    """It is gone from the row, which is as the list has it; what that makes of it is right from then on, for whoever looks."""
    foreign = entry_of(provider, 1, asked(provider, 2))
    plain = entry_of(provider, 1)

    found = rederive(provider, held([foreign]), currency="EUR", run_id=8)

    ((row, rewrite),) = found.differing
    assert row.call_id == plain.call.call_id
    assert "detail" in rewrite.columns
    expected = plain.call._replace(raw=row.raw, detail_due_at=row.cursor_at, last_run_id=8)
    assert rewrite.derived.call == expected
    assert (rewrite.derived.messages, rewrite.derived.events) == ((), ())
    assert again(provider, held([rewrite.derived])) == {}


def test_what_is_odd_is_noted_for_each_call() -> None:
    """Whether a call is as it should be or not; of sound records there is nothing to note."""
    entries = mixed(KROSAI)
    for place in (0, 40, 41):
        call = entries[place].call
        entries[place] = entries[place]._replace(call=call._replace(raw=json.dumps(json.loads(call.raw) | {"brand_new": 1})))
    found = rederive(KROSAI, held(entries), currency="EUR", run_id=8)
    assert found.differing == []
    assert found.drift[DriftNote("brand_new", Drift.NEW_FIELD, "number")] == 3
    assert {note.path for note in found.drift} == {"brand_new", "events[].flag"}  # of an event no key is documented but three


@pytest.mark.parametrize(
    ("raw", "call_id", "rejection"),
    [
        ('{"id": "c0007", "ended_at": "never"}', "c0007", Rejection.BAD_CURSOR),
        ('{"ended_at": "2026-05-01T10:00:00Z"}', None, Rejection.MISSING_ID),
        ("[]", None, Rejection.NOT_AN_OBJECT),
        ('{"id": "other", "ended_at": "2026-05-01T10:00:00Z"}', "other", None),
    ],
)
def test_a_record_that_cannot_become_its_row(raw: str, call_id: str | None, rejection: Rejection | None) -> None:
    """It is handed back as what it is; the calls around it are looked at all the same."""
    entries = mixed(TUPLE)
    entries[8] = entries[8]._replace(call=entries[8].call._replace(status="failed"))
    whole = held(entries)
    broken = replace(whole, calls=[row._replace(raw=raw) if place == 7 else row for place, row in enumerate(whole.calls)])

    found = rederive(TUPLE, broken, currency="EUR", run_id=8)

    ((row, record),) = found.unlike
    assert (row.call_id, record.call_id, record.rejection) == ("c0007", call_id, rejection)
    assert [(row.call_id, rewrite.columns) for row, rewrite in found.differing] == [("c0008", ("status",))]


def test_nothing_held() -> None:
    """An empty stretch has nothing to say."""
    assert rederive(TUPLE, held([]), currency="EUR", run_id=8).differing == []


def stored(call: CallRow) -> Stored:
    """Return the records of a held call."""
    return Stored(call.raw, call.observed_at, call.content_hash, call.detail, call.detail_observed_at, call.detail_due_at)


def test_a_record_with_other_bytes_and_the_same_content_changes_nothing() -> None:
    """Its keys stand in another order, or its presigned address was signed again."""
    context = Context(connection="made_up", stream="calls", currency="EUR", run_id=8)
    before = entry_of(KROSAI, 1).call
    same = identify(KROSAI, json.dumps(dict(reversed(listed(KROSAI, 1).items()))).encode(), cleaned=False)
    assert same.digest != before.content_hash
    assert changed(KROSAI, context, same, stored(before), observed_at=SEEN + 9 * MINUTE, due_at=None) is None
    other = identify(KROSAI, json.dumps(listed(KROSAI, 1) | {"status": "failed"}).encode(), cleaned=False)
    entry = changed(KROSAI, context, other, stored(before), observed_at=SEEN + 9 * MINUTE, due_at=SEEN)
    assert entry is not None
    assert (entry.call.status, entry.call.detail_due_at, entry.call.last_changed_at) == ("failed", SEEN, SEEN + 9 * MINUTE)


def test_a_detail_of_another_call_takes_no_part_in_a_change_either() -> None:
    """A newer list record is not mixed with what was said of somebody else."""
    context = Context(connection="made_up", stream="calls", currency="EUR", run_id=8)
    foreign = entry_of(SALPRE, 1, asked(SALPRE, 2)).call
    record = identify(SALPRE, json.dumps(listed(SALPRE, 1) | {"status": "failed"}).encode(), cleaned=False)
    entry = changed(SALPRE, context, record, stored(foreign), observed_at=SEEN + 9 * MINUTE, due_at=SEEN)
    assert entry is not None
    assert (entry.call.detail, entry.call.detail_observed_at, entry.call.attributes) == (None, None, None)


def test_a_detail_joins_the_list_record_that_is_held() -> None:
    """The row keeps the hash by which the list record is known."""
    context = Context(connection="made_up", stream="calls", currency="EUR", run_id=7)
    before = entry_of(SALPRE, 1).call
    detail = identify(SALPRE, json.dumps(asked(SALPRE, 1)).encode(), cleaned=False)
    entry = with_detail(SALPRE, context, stored(before), detail, observed_at=SEEN + 2 * MINUTE)
    whole = entry_of(SALPRE, 1, asked(SALPRE, 1))
    assert entry == whole._replace(call=whole.call._replace(last_changed_at=SEEN + 2 * MINUTE))


def test_a_rewrite_says_what_it_is_about() -> None:
    """Only what differs has to travel to the database."""
    entry = entry_of(TUPLE, 2)
    wrong = entry._replace(participants=entry.participants[:1])
    found = rederive(TUPLE, held([wrong]), currency="EUR", run_id=7)
    ((_, rewrite),) = found.differing
    assert rewrite == Rewrite(entry._replace(call=entry.call._replace(raw=rewrite.derived.call.raw)), (), ("participants",))
