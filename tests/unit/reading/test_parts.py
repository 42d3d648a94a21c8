"""Asking for the parts of a call: they stand in its detail, or the detail as a whole has failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl import providers
from etl.errors import AuthenticationFailed, ConnectionFailed, NotFound, ProviderUnavailable
from etl.json_text import decoded
from etl.model import JSON, Drift, DriftNote
from etl.provider import Part, Provider
from etl.reading.api import Answer
from etl.reading.parts import joined
from etl.reading.source import Source

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CALL = {"id": "c/1", "created_at": "2026-03-01T00:00:00Z", "price": 1}
PATH = "/calls/c%2F1"
WORDS = Part(key="words", path="/calls/{call}/words", record="words")
TAPES = Part(key="tapes", path="/{account}/tapes/{call}", record="tapes", is_list=True)


@dataclass
class Desk:
    """An account that answers as it is told, and notes what it was asked for."""

    answers: Mapping[str, JSON]
    asked: list[tuple[str, JSON]] = field(default_factory=list)
    requests: int = 0
    retries: int = 0

    def get_one(self, path: str, record: str | None, body: JSON = None) -> Answer:
        """Answer with an object."""
        return self._answer(path, record, body)

    def get_list(self, path: str, params: Mapping[str, str], records: tuple[str, ...], body: JSON = None) -> Answer:
        """Answer with a list."""
        return self._answer(path, records[0] if records else None, body)

    def check_link(self, url: str) -> None:
        """Let every link pass."""

    def _answer(self, path: str, key: str | None, body: JSON) -> Answer:
        self.asked.append((path, body))
        said = self.answers.get(path, NotFound("absent", naming="call"))
        if isinstance(said, Exception):
            raise said
        value = said if key is None else said[key]
        texts = tuple(json.dumps(one).encode() for one in (value if isinstance(value, list) else [value]))
        fields = {} if key is None else {name: inner for name, inner in said.items() if name != key}
        return Answer(records=texts, fields=fields, headers={}, date=None, sent_at=NOW)


def with_parts(*parts: Part, **other: JSON) -> Provider:
    """Return KrosAI, as if its calls had parts."""
    provider = providers.get("krosai")
    assert provider.detail is not None
    return replace(provider, detail=replace(provider.detail, parts=parts), **other)


def source(desk: Desk, *parts: Part, **other: JSON) -> Source:
    """Return a source of calls with these parts."""
    return Source(with_parts(*parts, **other), desk, {"account": "A 1"})


def test_parts_stand_in_the_detail() -> None:
    """An object and a list, each under its key, asked for after the call and in the place that its path says."""
    tapes = {"tapes": [{"n": 1}, {"n": 2}], "page": 1}
    desk = Desk({PATH: CALL, f"{PATH}/words": {"words": {"text": "Good morning."}}, "/A%201/tapes/c%2F1": tapes})
    asking = source(desk, WORDS, TAPES)
    record, asked_at = asking.detail(stream="calls", call_id="c/1")

    assert record.value == {**CALL, "words": {"text": "Good morning."}, "tapes": [{"n": 1}, {"n": 2}]}
    assert (record.call_id, record.rejection, asked_at) == ("c/1", None, NOW)
    assert [path for path, _ in desk.asked] == [PATH, f"{PATH}/words", "/A%201/tapes/c%2F1"]
    assert asking.departures() == {}


@pytest.mark.parametrize("naming", ["call", "part"])
def test_a_part_that_is_not_there_is_null(naming: str) -> None:
    """Whatever the provider says is absent: the call itself was there a moment ago, and is not gone."""
    desk = Desk({PATH: CALL, f"{PATH}/words": NotFound("none", naming=naming)})

    assert source(desk, WORDS).detail(stream="calls", call_id="c/1")[0].value == {**CALL, "words": None}


@pytest.mark.parametrize(
    "failure",
    [
        ProviderUnavailable("a 503"),
        AuthenticationFailed("a 403", status=403),
        NotFound("a route that is not there", naming=None),
        NotFound("an agent that is not there", naming="agent"),
    ],
    ids=str,
)
def test_a_part_that_fails_is_a_failure_of_the_detail(failure: ConnectionFailed) -> None:
    """Nothing is half stored, and no other form of the id is tried: a 404 that names nothing may be a gateway's."""
    desk = Desk({PATH: CALL, f"{PATH}/words": failure})

    with pytest.raises(type(failure)) as raised:
        source(desk, WORDS, TAPES).detail(stream="calls", call_id="c/1")
    assert raised.value is failure
    assert [path for path, _ in desk.asked] == [PATH, f"{PATH}/words"]


def test_no_part_is_asked_for_without_its_call() -> None:
    """Neither of one that is gone, nor where another call was answered, nor where only its existence is in question."""
    desk = Desk({PATH: CALL, "/calls/c2": {**CALL, "id": "c3"}})
    asking = source(desk, WORDS)
    for call_id in ("c0", "c2"):
        with pytest.raises(NotFound):
            asking.detail(stream="calls", call_id=call_id)
    asking.meet(stream="calls", call_id="c/1")

    assert [path for path, _ in desk.asked] == ["/calls/c0", "/calls/c2", PATH]


def test_a_part_is_asked_for_by_post() -> None:
    """As Gong's transcripts are, by the ids of calls."""
    by_id = Part(key="words", path="/words", record=None, is_list=True, body=lambda call: {"ids": [call]})
    desk = Desk({PATH: CALL, "/words": [{"text": "Good morning."}]})
    record, _ = source(desk, by_id).detail(stream="calls", call_id="c/1")

    assert (record.value["words"], desk.asked[1]) == ([{"text": "Good morning."}], ("/words", {"ids": ["c/1"]}))


def test_what_is_left_out_is_noted() -> None:
    """A list that goes on behind its first page, and a key that the call's own answer holds too: the part's value counts."""
    tapes = {"tapes": [{"n": 1}], "total": 3, "limit": 1, "page": 1}
    desk = Desk({PATH: {**CALL, "tapes": "none"}, "/A%201/tapes/c%2F1": tapes})
    asking = source(desk, TAPES)

    assert asking.detail(stream="calls", call_id="c/1")[0].value["tapes"] == [{"n": 1}]
    notes = {DriftNote("(answer).tapes", Drift.OUT_OF_RANGE, "more"), DriftNote("(answer).tapes", Drift.NEW_FIELD, "string")}
    assert asking.departures() == dict.fromkeys(notes, 1)


def test_what_must_never_be_stored_is_cut_out_of_parts_too() -> None:
    """Of each element of a list."""
    desk = Desk({PATH: CALL, "/A%201/tapes/c%2F1": {"tapes": [{"n": 1, "key": "made-up"}, {"key": "made-up"}]}})
    record, _ = source(desk, TAPES, never_stored=frozenset({"tapes.key"})).detail(stream="calls", call_id="c/1")

    assert record.value == {**CALL, "tapes": [{"n": 1}, {}]}


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), JSONS, max_size=4), st.lists(JSONS, max_size=3), st.text(), st.sampled_from([None, 2]))
def test_texts_put_together_are_the_values_put_together(detail: JSON, listed: list[JSON], key: str, indent: int | None) -> None:
    """Whatever they hold, also a key of the same name, and however they are written; a list and nothing at all."""
    texts = tuple(json.dumps(one, ensure_ascii=False).encode() for one in listed)
    answer = Answer(records=texts, fields={}, headers={}, date=None, sent_at=NOW)
    part, none = Part(key=key, path="", record=None, is_list=True), Part(key="none", path="", record=None)
    text = json.dumps(detail, indent=indent).encode()

    assert decoded(joined(text, [(part, answer), (none, None)])) == {**detail, key: listed, "none": None}
