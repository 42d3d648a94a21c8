"""Many calls become columns at once exactly as they become rows one by one; what is odd is left to the long way."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl import providers
from etl.model import OPEN_STATUSES, CallRow, Context, ParticipantRow, Record, Status
from etl.provider import Children, Field, Provider
from etl.records.columns import Columns, Same, in_bulk
from etl.records.derive import derive
from etl.records.identify import identify
from etl.records.parse import address, decimal_cents, direction, flag, identifier, instant, text, whole

SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
CONTEXT = Context(connection="made_up", stream="agent-1", currency="EUR", run_id=7)
TUPLE = providers.get("tuple")
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
    agents=providers.get("bimpe").agents,
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

INSTANTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 3)).map(lambda at: at.isoformat() + "Z")  # noqa: DTZ001 - bounds
ODD_INSTANTS = st.sampled_from(
    ["2026-05-01T10:00:00+02:00", "2026-05-01T10:00:00", "2026-05-01", "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", 5, "24:00"]
)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
ODD = st.sampled_from([None, True, 0, -1, 2**40, 1.5, "", "x", [], [1], {}, {"id": 1}])
UNHURRIED = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def documented(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects that hold some of the keys, each with a value as documented, or null."""
    return st.fixed_dictionaries({}, optional={key: st.none() | values for key, values in keys.items()})


def people(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return a call's participants, each with an id of its own."""
    person = st.tuples(st.integers(0, 2**70), documented(**keys)).map(lambda drawn: {**drawn[1], "id": drawn[0]})
    return st.lists(person, max_size=3, unique_by=lambda one: one["id"])


def calls(provider: Provider) -> st.SearchStrategy[dict[str, Any]]:
    """Return records as the provider documents them."""
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
    key = draw.draw(st.sampled_from([*call, "id", "surprise", "started_at", "made", "call_participations", "people"]))
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
    found = [identify(provider, json.dumps({"id": place, **call}).encode(), cleaned=False) for place, call in enumerate(held)]
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
    entries = [derive(provider, CONTEXT, record, observed_at=SEEN, detail_due_at=due_at) for record in records]
    assert [entry.drift for entry in entries] == [()] * len(entries)
    assert rows(bulk.calls, CallRow._fields, len(entries)) == [tuple(entry.call) for entry in entries]
    children = [tuple(child) for entry in entries for child in entry.participants]
    assert rows(bulk.participants, ParticipantRow._fields, len(children)) == children
    assert (bulk.count, bulk.participations, bulk.participants is None) == (len(entries), len(children), not children)
    assert bulk.open_ids == {entry.call.call_id for entry in entries if entry.call.status in OPEN_STATUSES}
    return True


@pytest.mark.parametrize("provider", [TUPLE, RICH], ids=lambda one: one.name)
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


@pytest.mark.parametrize("provider", [TUPLE, RICH], ids=lambda one: one.name)
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


@pytest.mark.parametrize("name", ["bimpe", "salpre", "krosai"])
def test_a_provider_with_attributes_goes_the_long_way(name: str) -> None:
    """Its records hold more than columns can be made of at once."""
    provider = providers.get(name)
    record = identify(
        provider, json.dumps({provider.call_id: 1, provider.cursor: "2026-01-01T00:00:00Z"}).encode(), cleaned=False
    )
    assert record.rejection is None
    assert in_bulk(provider, CONTEXT, [record], observed_at=SEEN, detail_due_at=None) is None
