"""Many calls become columns at once exactly as they become rows one by one; what is odd is left to the long way."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl import providers
from etl.model import OPEN_STATUSES, CallRow, Context, ParticipantRow, Record, Status
from etl.provider import Children, Field, Provider
from etl.records.asking import due_where_worth
from etl.records.columns import in_bulk
from etl.records.derive import derive
from etl.records.identify import identify
from etl.records.parse import address, decimal_cents, direction, flag, identifier, instant, text, whole
from etl.records.rows import Columns, Same
from tests.unit.records.samples import EACH, EVERY, made, marks

SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
CONTEXT = Context(connection="made_up", stream="agent-1", currency="EUR", run_id=7)
TUPLE, BIMPE, SALPRE, KROSAI = (providers.get(name) for name in ("tuple", "bimpe", "salpre", "krosai"))
RICH = replace(
    TUPLE,
    name="rich",
    status="state",
    statuses={"live": Status.IN_PROGRESS, "done": Status.COMPLETED},
    fields=(
        Field(column="created_at", key="made", parse=instant),
        Field(column="ended_at", key="ended_at", parse=instant),
        Field(column="is_test", key="test", parse=flag),
        Field(column="cost", key="price.cents", parse=decimal_cents),
        Field(column="from_address", key="from.number", parse=address),
        Field(column="direction", key="way", parse=direction),
        Field(column="agent_id", key="agent", parse=identifier),
    ),
    agents=BIMPE.agents,
    participants=Children(
        key="people",
        id_key="id",
        fields=(
            Field(column="email", key="mail", parse=text),
            Field(column="joined_at", key="in", parse=instant),
            Field(column="left_at", key="out", parse=instant),
            Field(column="duration_seconds", key="stay", parse=whole),
        ),
    ),
)
"""A provider whose records hold everything that can be made columns at once."""

EXTRAS = ("variables", "endpoint_id", "cost", "cost_cents", "conversation_logs", "events", "status", "organization_id")
INSTANTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 3)).map(lambda at: at.isoformat() + "Z")  # noqa: DTZ001 - bounds
ODD_INSTANTS = st.sampled_from(
    ["2026-05-01T10:00:00+02:00", "2026-05-01T10:00:00", "2026-05-01", "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", 5, "24:00"]
)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
ODD = st.sampled_from([None, True, 0, -1, 2**40, 1.5, "", "x", [], [1], {}, {"id": 1}])
UNHURRIED = settings(
    deadline=None, max_examples=2 * EACH, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def documented(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects that hold some of the keys, each with a value as documented, or null."""
    return st.fixed_dictionaries({}, optional={key: st.none() | values for key, values in keys.items()})


def people(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return a call's participants, each with an id of its own."""
    person = st.tuples(st.integers(0, 2**70), documented(**keys)).map(lambda drawn: {**drawn[1], "id": drawn[0]})
    return st.lists(person, max_size=3, unique_by=lambda one: one["id"])


def listed(provider: Provider) -> st.SearchStrategy[dict[str, Any]]:
    """Return records as the list of a provider without participants shows them, by what reads each of their fields."""
    by_parser = {
        instant: INSTANTS,
        text: NAMES,
        whole: st.integers(0, 9000) | st.just(42.0),
        flag: st.booleans(),
        decimal_cents: st.integers(0, 10**9) | st.just("2.40"),
        address: st.sampled_from(["+14155550123", "box:4", ""]),
        direction: st.sampled_from(["inbound", "Outbound"]),
        identifier: NAMES | st.integers(),
    }
    keys = {field.key: by_parser[field.parse] for field in provider.fields if field.key != provider.cursor}
    keys |= {key: NAMES | st.integers() for key in provider.attributes if key not in keys}
    if provider.attributes_object is not None:
        keys[provider.attributes_object] = st.dictionaries(NAMES, NAMES | st.booleans(), max_size=2)
    words = st.sampled_from(sorted(provider.statuses))
    return st.tuples(documented(**keys), words, INSTANTS).map(
        lambda drawn: {**drawn[0], "status": drawn[1], provider.cursor: drawn[2]}
    )


@cache
def varied(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return records of the payloads without their ids, of which some keys hold nothing, or what they hold in another record."""
    provider = providers.get(name)
    ids, cursors = marks(provider)
    records = [made(provider, number).record for number in range(40)]
    found = {key: [record[key] for record in records if key in record] for record in records for key in record}
    others = st.fixed_dictionaries({}, optional={key: st.none() | st.sampled_from(values) for key, values in found.items()})
    return st.builds(
        lambda record, other: {
            key: value if key in cursors else other.get(key, value) for key, value in record.items() if key not in ids
        },
        st.sampled_from(records),
        others,
    )


def calls(provider: Provider) -> st.SearchStrategy[dict[str, Any]]:
    """Return records as the provider documents them."""
    if provider in (BIMPE, SALPRE, KROSAI):
        return listed(provider)
    if provider not in (TUPLE, RICH):
        return varied(provider.name)
    if provider is TUPLE:
        user = documented(email=NAMES)
        held = documented(
            started_at=st.just("2026-01-01T00:00:00Z"),
            duration_seconds=st.integers(0, 9000),
            call_participations=people(user=user, joined_at=st.just("2026-01-01T00:00:00Z"), left_at=INSTANTS),
        )
    else:
        held = documented(
            made=INSTANTS,
            test=st.booleans(),
            price=documented(cents=st.integers(0, 10**9) | st.floats(0, 10**6) | st.just("2.40")),
            way=st.sampled_from(["inbound", "Outbound"]),
            agent=NAMES | st.integers(),
            people=people(mail=NAMES, out=INSTANTS, stay=st.integers(0, 9000), **{"in": st.just("2026-01-01T00:00:00Z")}),
            **{"from": documented(number=st.sampled_from(["+14155550123", "box:4"]))},
        )
        held = st.tuples(held, st.sampled_from(["live", "done", "Voice-Mail"])).map(lambda drawn: {**drawn[0], "state": drawn[1]})
    return st.tuples(held, INSTANTS).map(lambda drawn: {**drawn[0], "ended_at": drawn[1]})


def spoiled(call: dict[str, Any], draw: st.DataObject) -> dict[str, Any]:
    """Return the record with one value that nobody documented, somewhere."""
    key = draw.draw(st.sampled_from([*call, "id", "surprise", "started_at", "made", "call_participations", "people", *EXTRAS]))
    inside = call.get(key)
    value: Any = draw.draw(ODD | ODD_INSTANTS)
    if isinstance(inside, list) and inside and draw.draw(st.booleans()):
        value = [
            *inside[:-1],
            {**inside[-1], draw.draw(st.sampled_from(["id", "user", "joined_at", "out", "stay", "new"])): value},
        ]
    return {**call, key: value}


def records_of(provider: Provider, held: list[dict[str, Any]]) -> list[Record]:
    """Examine records as they would arrive; those that cannot become rows are left out."""
    texts = [json.dumps({provider.call_id: place, **call}).encode() for place, call in enumerate(held)]
    found = [identify(provider, one, cleaned=False) for one in texts]
    return [record for record in found if record.rejection is None]


def rows(columns: Columns | None, fields: tuple[str, ...], count: int) -> list[tuple[Any, ...]]:
    """Return columns as rows."""

    def value(name: str, place: int) -> Any:
        column = (columns or {}).get(name, Same(None))
        found = column.value if isinstance(column, Same) else column[place]
        return found.decode() if name == "raw" else found

    return [tuple(value(name, place) for name in fields) for place in range(count)]


def check(provider: Provider, records: list[Record], *, due_at: datetime | None) -> bool:
    """Compare both ways, and answer whether the short one was gone; where it was, nothing was odd."""
    bulk = in_bulk(provider, CONTEXT, records, observed_at=SEEN, detail_due_at=due_at)
    if bulk is None:
        return False
    entries = [
        due_where_worth(provider, derive(provider, CONTEXT, record, observed_at=SEEN, detail_due_at=due_at), record)
        for record in records
    ]
    assert [entry.drift for entry in entries] == [()] * len(entries)
    assert rows(bulk.calls, CallRow._fields, len(entries)) == [tuple(entry.call) for entry in entries]
    children = [tuple(child) for entry in entries for child in entry.participants]
    assert rows(bulk.participants, ParticipantRow._fields, len(children)) == children
    assert (bulk.count, bulk.participations, bulk.participants is None) == (len(entries), len(children), not children)
    assert bulk.open_ids == {entry.call.call_id for entry in entries if entry.call.status in OPEN_STATUSES}
    return True


@pytest.mark.parametrize("provider", [RICH, *EVERY], ids=lambda one: one.name)
@UNHURRIED
@given(data=st.data())
def test_documented_records_become_the_same_columns_as_rows(provider: Provider, data: st.DataObject) -> None:
    """Every column and every participant; the long way is gone only where somebody left before they came, or so."""
    held = data.draw(st.lists(calls(provider), min_size=1, max_size=4))
    records = records_of(provider, held)
    due_at = data.draw(st.none() | st.just(SEEN))
    if not check(provider, records, due_at=due_at):
        entries = [derive(provider, CONTEXT, record, observed_at=SEEN) for record in records]
        assert any(entry.drift for entry in entries)


@pytest.mark.parametrize("provider", [RICH, *EVERY], ids=lambda one: one.name)
@UNHURRIED
@given(data=st.data())
def test_what_nobody_documented_is_never_taken_for_something_else(provider: Provider, data: st.DataObject) -> None:
    """One odd value somewhere: either both ways agree on it without a note, or the long way is gone."""
    held = data.draw(st.lists(calls(provider), min_size=1, max_size=3))
    place = data.draw(st.integers(0, len(held) - 1))
    held[place] = spoiled(held[place], data)
    if records := records_of(provider, held):
        check(provider, records, due_at=None)


def test_a_cleaned_record_goes_the_long_way() -> None:
    """That something had to be removed from it is noted there."""
    (record,) = records_of(TUPLE, [{"ended_at": "2026-01-01T00:00:00Z"}])
    assert in_bulk(TUPLE, CONTEXT, [record], observed_at=SEEN, detail_due_at=None) is not None
    assert in_bulk(TUPLE, CONTEXT, [record._replace(cleaned=True)], observed_at=SEEN, detail_due_at=None) is None


@pytest.mark.parametrize("key", ["conversation_logs", "events"])
@pytest.mark.parametrize("value", [[{"id": 1}], 0, {}, ""])
def test_a_record_with_messages_or_events_goes_the_long_way(key: str, value: Any) -> None:
    """Only details hold them; an empty list of them, as a list may show it, is none."""
    provider = BIMPE if key == "conversation_logs" else KROSAI
    held = {provider.cursor: "2026-01-01T00:00:00Z", "status": "queued"}
    assert check(provider, records_of(provider, [held, {**held, key: []}, {**held, key: None}]), due_at=None)
    assert not check(provider, records_of(provider, [held, {**held, key: value}]), due_at=None)


def test_an_extra_that_is_null_is_kept() -> None:
    """A key that a record does not hold is another thing."""
    held = {"created_at": "2026-01-01T00:00:00Z", "status": "queued"}
    some = [held, {**held, "endpoint_id": None}, {**held, "endpoint_id": "one", "phone_number_id": "two"}]
    records = records_of(KROSAI, some)
    assert check(KROSAI, records, due_at=None)
    bulk = in_bulk(KROSAI, CONTEXT, records, observed_at=SEEN, detail_due_at=None)
    assert bulk is not None
    assert bulk.calls["attributes"] == [None, '{"endpoint_id":null}', '{"endpoint_id":"one","phone_number_id":"two"}']


def test_a_call_costs_what_it_says_in_the_currency_that_it_names() -> None:
    """Of one that names none it is the connection's; without a cost there is no currency."""
    twilio = providers.get("twilio")
    held = {"status": "completed", "date_created": "Sun, 01 Mar 2026 12:00:00 +0000"}
    prices = [("-0.01", "USD"), ("-0.01", None), (None, "USD")]
    some = [held | {"sid": f"CA{place}", "price": price, "price_unit": unit} for place, (price, unit) in enumerate(prices)]
    records = records_of(twilio, some)
    assert check(twilio, records, due_at=None)
    bulk = in_bulk(twilio, CONTEXT, records, observed_at=SEEN, detail_due_at=None)
    assert bulk is not None and bulk.calls["currency"] == ["USD", "EUR", None]


def test_of_two_keys_for_one_column_the_first_with_a_value_counts() -> None:
    """The second one is not looked at where the first has a value, whatever it holds."""
    held = {"created_at": "2026-01-01T00:00:00Z", "status": "completed"}
    some = [{**held, "cost": 240}, {**held, "cost": "never", "cost_cents": 120}, {**held, "cost": 5, "cost_cents": None}, held]
    records = records_of(KROSAI, some)
    assert check(KROSAI, records, due_at=None)
    assert not check(KROSAI, records_of(KROSAI, [{**held, "cost": "never"}, held]), due_at=None)
