"""Id, cursor and columns are read from nested keys and from several keys together, at once exactly as one by one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl import providers
from etl.model import CallRow, Context, Drift, DriftNote, Rejection
from etl.provider import Field
from etl.records.columns import in_bulk
from etl.records.derive import derive
from etl.records.identify import identify, identify_all
from etl.records.misfit import Misfit, misfit, needed
from etl.records.parse import direction
from etl.records.rows import Same
from etl.records.skim import TOGETHER
from etl.records.values import amount, callee, caller, epoch_millis, first_of

SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
CONTEXT = Context(connection="made_up", stream="calls", currency="EUR", run_id=7)
OTHER = replace(
    providers.get("tuple"),
    name="other",
    call_id="call.uid",
    cursor=("times.began", "times.made"),
    read_cursor=first_of(epoch_millis),
    participants=None,
    fields=(
        Field(column="started_at", key="times.began", parse=epoch_millis),
        Field(column="direction", key="way", parse=direction),
        Field(column="from_address", key=("way", "line.number", "party"), parse=caller),
        Field(column="to_address", key=("way", "line.number", "party"), parse=callee),
        Field(column="cost", key="price", parse=amount),
    ),
)
"""A provider whose id is nested, whose cursor stands under one of two keys, and whose addresses are relative."""

MILLIS = st.integers(1, 10**13)
ODD = st.sampled_from([None, True, -1, 2**70, 1.5, "", " ", "x" * 600, [], {}, "2026-05-01T10:00:00Z"])
NUMBERS = st.sampled_from(["+14155550100", "+1 415-555-0121", "anonymous", ""])
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def objects(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return objects with some of the keys."""
    return st.fixed_dictionaries({}, optional={key: st.none() | values for key, values in keys.items()})


CALLS = st.fixed_dictionaries(
    {
        "call": st.fixed_dictionaries({"uid": st.integers(0, 10**12) | st.text(min_size=1, max_size=9).filter(str.strip)}),
        "times": st.fixed_dictionaries({"made": MILLIS}, optional={"began": st.none() | MILLIS}),
    },
    optional={
        "way": st.sampled_from(["inbound", "outbound", None]),
        "line": st.none() | objects(number=NUMBERS),
        "party": st.none() | NUMBERS,
        "price": st.none() | st.sampled_from(["1.50", 2, 0.25]),
    },
)
ANYTHING = ODD | objects(call=ODD | objects(uid=ODD), times=ODD | objects(made=ODD, began=ODD), way=ODD, line=ODD, party=ODD)


@UNHURRIED
@given(
    plain=st.lists(CALLS, max_size=4),
    odd=st.lists(ANYTHING, max_size=2),
    many=st.booleans(),
    cleaned=st.sets(st.just(0), max_size=1),
)
def test_a_page_is_examined_as_its_records_are(plain: list[Any], odd: list[Any], many: bool, cleaned: set[int]) -> None:
    """Plain ones only, or with odd ones and with cleaned ones among them; more than are decoded together."""
    texts = [json.dumps(value).encode() for value in [*plain * (TOGETHER if many else 1), *odd]]
    alone = tuple(identify(OTHER, text, cleaned=place in cleaned) for place, text in enumerate(texts))
    assert identify_all(OTHER, texts, cleaned=cleaned) == alone


@UNHURRIED
@given(held=st.lists(CALLS | ANYTHING, min_size=1, max_size=4))
def test_records_become_the_same_columns_as_rows(held: list[Any]) -> None:
    """Where they can be made columns at once; where they cannot, something was odd, or a key of them is not documented."""
    found = [identify(OTHER, json.dumps(value).encode(), cleaned=False) for value in held]
    records = [record for record in found if record.rejection is None]
    if not records:
        return
    bulk = in_bulk(OTHER, CONTEXT, records, observed_at=SEEN, detail_due_at=None)
    entries = [derive(OTHER, CONTEXT, record, observed_at=SEEN) for record in records]
    if bulk is None:
        assert any(entry.drift for entry in entries)
        return
    for name in CallRow._fields:
        column = bulk.calls.get(name, Same(None))
        made = [column.value] * len(entries) if isinstance(column, Same) else list(column)
        expected = [getattr(entry.call, name) for entry in entries]
        assert ([one.decode() for one in made] if name == "raw" else made) == expected, name


def test_a_record_of_another_kind_becomes_a_whole_row() -> None:
    """The later instant of two keys is not looked at where the first has one; who called depends on the direction."""
    value = {
        "call": {"uid": 7},
        "times": {"made": 1772366399000, "began": 1772366400250},
        "way": "outbound",
        "line": {"number": "+1 415-555-0100"},
        "party": "+1 415-555-0121",
        "price": "1.50",
    }
    record = identify(OTHER, json.dumps(value).encode(), cleaned=False)
    at = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    assert (record.call_id, record.cursor, record.rejection) == ("7", at, None)
    row, *inside = derive(OTHER, CONTEXT, record, observed_at=SEEN)
    assert (row.call_id, row.occurred_at, row.started_at, row.cursor_at) == ("7", at, at, at)
    assert (row.direction, row.from_address, row.to_address) == ("outbound", "+14155550100", "+14155550121")
    assert (row.cost, row.currency) == (Decimal("1.50"), "EUR")
    assert inside == [(), (), (), ()]


def test_each_of_several_keys_may_come_from_list_or_detail() -> None:
    """The detail knows the line only; the direction and the party stay those of the list."""
    listed = {"call": {"uid": "a"}, "times": {"made": 1772366400000}, "way": "inbound", "party": "anonymous", "line": {}}
    record = identify(OTHER, json.dumps(listed).encode(), cleaned=False)
    detail = identify(OTHER, json.dumps({**listed, "party": None, "line": {"number": "+14155550100"}}).encode(), cleaned=False)
    call = derive(OTHER, CONTEXT, record, observed_at=SEEN, detail=detail, detail_observed_at=SEEN).call
    assert (call.from_address, call.to_address) == ("anonymous", "+14155550100")


def test_what_is_unfit_is_noted_under_all_keys() -> None:
    """With the type of each, and nothing of the values."""
    value = {"call": {"uid": "a"}, "times": {"made": 1772366400000}, "way": "inbound", "line": {"number": 5}, "party": "box:1"}
    derived = derive(OTHER, CONTEXT, identify(OTHER, json.dumps(value).encode(), cleaned=False), observed_at=SEEN)
    assert derived.call.from_address == "box:1"
    assert derived.drift == (DriftNote("way, line.number, party", Drift.WRONG_TYPE, "string, number, string"),)


def test_a_reject_is_told_by_what_stood_under_each_key() -> None:
    """And by what the provider writes there."""
    text = json.dumps({"call": {"uid": "a"}, "times": {"made": "soon"}}).encode()
    assert identify(OTHER, text, cleaned=False).rejection is Rejection.BAD_CURSOR
    epoch = replace(OTHER, cursor="times.made", read_cursor=epoch_millis)
    assert misfit(OTHER, text, "bad_cursor") == Misfit(
        "no key times.began; times.made: a text of 4 characters like aaaa", "an instant as the provider documents it"
    )
    assert misfit(epoch, text, "bad_cursor").accepted == "milliseconds since 1970, such as 1772366400000"
    assert identify(OTHER, b'{"call":"a","times":{"made":1}}', cleaned=False).rejection is Rejection.MISSING_ID
    assert needed(epoch) == (
        "A record must be an object with an id in call.uid and a time in times.made, as milliseconds since 1970, "
        "such as 1772366400000."
    )
    assert needed(providers.get("tuple")) == "A record must be an object with an id in id and a time in ended_at, as ISO 8601."
