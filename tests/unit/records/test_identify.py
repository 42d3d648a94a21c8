"""A page's records are looked at together exactly as they are one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl import providers
from etl.model import LATER, Context
from etl.provider import Provider
from etl.records.derive import derive
from etl.records.identify import identify, identify_all
from etl.records.skim import TOGETHER
from tests.unit.records.samples import EACH, EVERY, bare, marks

ODD = st.sampled_from(
    [None, True, -1, 2**70, 1.5, "", " ", "x" * 600, [], {}, "2026-05-01", "2026-05-01T10:00:00+02:00", "24:00"]
)
NUMBERS = st.integers(-(10**6), 10**12)
WORDS = st.text(min_size=1, max_size=40).filter(str.strip)


def plain(provider: Provider) -> st.SearchStrategy[dict[str, Any]]:
    """Return records with an id and an instant, and with something else."""
    (call_id, *_), _ = marks(provider)
    return st.builds(lambda record, name, odd: {**record, call_id: name, "else": odd}, bare(provider), NUMBERS | WORDS, ODD)


def odd(provider: Provider) -> st.SearchStrategy[Any]:
    """Return what may stand in a list in the place of a record."""
    keys = [key for found in marks(provider) for key in found]
    spoiled = st.dictionaries(st.sampled_from(keys), NUMBERS | ODD)
    return ODD | spoiled | st.builds(lambda record, spoiled: {**record, **spoiled}, bare(provider), spoiled)


@pytest.mark.parametrize("provider", EVERY, ids=lambda one: one.name)
@settings(deadline=None, max_examples=EACH, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_a_page_is_examined_as_its_records_are(provider: Provider, data: st.DataObject) -> None:
    """Plain ones only, or with odd ones and with cleaned ones among them; more than are decoded together."""
    held = data.draw(st.lists(plain(provider), max_size=4)) * data.draw(st.sampled_from([1, TOGETHER]))
    held += data.draw(st.lists(odd(provider), max_size=2))
    texts = [json.dumps(value).encode() for value in held]
    cleaned = data.draw(st.sets(st.integers(0, max(0, len(texts) - 1)), max_size=1))
    alone = tuple(identify(provider, text, cleaned=place in cleaned) for place, text in enumerate(texts))
    assert identify_all(provider, texts, cleaned=cleaned) == alone


@pytest.mark.parametrize(
    "texts",
    [
        [b'{"id":1,"ended_at":"2026-01-01T00:00:00Z"},{"id":2,"ended_at":"2026-01-01T00:00:00Z"}'],
        [b'{"id":1,"ended_at":"2026-01-01T00:00:00Z","a":"', b'"}'],
        [b"{", b'{"id":1,"ended_at":"2026-01-01T00:00:00Z"}'],
    ],
    ids=["two values in one text", "one value in two texts", "no value"],
)
def test_texts_that_are_not_one_value_each_are_not_taken_for_others(texts: list[bytes]) -> None:
    """Put together they might be read as something that none of them is."""
    tuple_ = providers.get("tuple")
    assert identify_all(tuple_, texts) == tuple(identify(tuple_, text, cleaned=False) for text in texts)


def test_what_is_not_needed_is_decoded_later() -> None:
    """Of a plain page nothing but ids and cursors is kept decoded; the rest is there when asked for."""
    texts = [json.dumps({"id": number, "ended_at": "2026-01-01T00:00:00Z"}).encode() for number in range(3)]
    records = identify_all(providers.get("tuple"), texts)
    assert [record.decoded is LATER for record in records] == [True] * 3
    assert [record.value for record in records] == [json.loads(text) for text in texts]
    context = Context(connection="made_up", stream="calls", currency="USD", run_id=1)
    seen = records[0].cursor
    assert seen is not None
    assert [derive(providers.get("tuple"), context, record, observed_at=seen).call.call_id for record in records] == [
        "0",
        "1",
        "2",
    ]
