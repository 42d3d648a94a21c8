"""Lists whose pages are asked for by tokens are read by the same walks, and nothing that was not read is claimed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.coverage import ORIGIN, Span, Spans
from etl.model import JSON
from etl.provider import Ask, Listing, Order, PageFacts, Provider, Style
from etl.reading.api import Answer
from etl.reading.pager import Pager
from etl.reading.source import Capabilities, Source
from etl.reading.walks import Step, newest_first
from tests.memory.acme import ACME
from tests.unit.reading.walks.listed import Listed, at
from tests.unit.reading.walks.test_walks_claim_only_what_they_read import DAY, NOW, history, missed, vanish_and_appear


def _facts(fields: Mapping[str, JSON], headers: Mapping[str, str]) -> PageFacts:
    return PageFacts(after=fields.get("next"))


def _body(ask: Ask) -> JSON:
    return {"limit": ask.size} | ({"key": ask.after} if ask.after else {})


def _address(ask: Ask) -> Mapping[str, str]:
    return dict(parse_qsl(urlsplit(ask.after).query)) if ask.after else {"limit": str(ask.size)}


STYLES = {
    "key": Style(name="key", by_token=True, body=_body),
    "address": Style(name="address", by_token=True, params=_address),
    "last": Style(name="last", by_token=True, last="id", body=_body),
}
"""A key in the body, the address of the next page, and the id of the last record."""


def provider(style: Style) -> Provider:
    """Return a provider that hands out tokens and no totals."""
    listing = Listing(
        order=Order.NEWEST_FIRST, path="/list", records=("items",), styles=(style,), page_sizes=(1000,), facts=_facts
    )
    return replace(ACME, name=f"tokens_{style.name}", listing=listing)


@dataclass
class Tokens:
    """Serves the calls of a list, newest first, each page from the call below the one that its token names."""

    listed: Listed
    style: str
    asked: list[str | None] = field(default_factory=list)
    requests: int = 0
    retries: int = 0
    places: dict[str, tuple[datetime, str]] = field(default_factory=dict)  # where the calls stood that tokens name

    def get_list(self, path: str, params: Mapping[str, str], records: tuple[str, ...], body: JSON = None) -> Answer:
        """Serve a page; a token keeps its place though the call that it names is gone."""
        if self.asked:
            self.listed.between(self.listed, len(self.asked))
        said = body if body is not None else params
        token, size = said.get("key"), int(said["limit"])
        self.asked.append(token)
        below = sorted(((cursor, call_id) for call_id, cursor in self.listed.calls.items()), reverse=True)
        if token is not None:
            below = [place for place in below if place < self.places[token]]
        shown = below[:size]
        following: str | None = None
        if shown:
            self.places[shown[-1][1]] = shown[-1]
            following = shown[-1][1] if len(below) > size else None
        if following is not None and self.style == "address":
            following = f"/list.json?limit={size}&key={following}"
        texts = tuple(json.dumps({"id": call_id, "created": cursor.isoformat()}).encode() for cursor, call_id in shown)
        fields = {} if self.style == "last" else {"next": following}
        return Answer(records=texts, fields=fields, headers={}, date=self.listed.now, sent_at=self.listed.now)

    def get_one(self, path: str, record: str | None, body: JSON = None) -> Answer:
        """Nobody asks."""
        raise NotImplementedError

    def check_link(self, url: str) -> None:
        """Let every link pass."""


def pages_of(listed: Listed, style: str) -> tuple[Pager, Tokens]:
    """Return a pager of the list in one of the styles, and what it asks."""
    api = Tokens(listed, style)
    source = Source(provider(STYLES[style]), api)
    return Pager(source, stream="calls", found=Capabilities(), per_page=listed.size), api


def steps_of(pager: Pager, wanted: Spans | None = None) -> Iterator[Step]:
    """Walk the list, or what is wanted of it."""
    return newest_first(pager, wanted=wanted or Spans([Span(ORIGIN, NOW + DAY)]), position=lambda _: 0)


@pytest.mark.parametrize("style", STYLES)
@given(seed=st.integers(0, 10_000), count=st.integers(0, 40), size=st.integers(2, 9), ties=st.booleans(), stop=st.integers(1, 40))
def test_cut_at_any_step_every_living_call_that_is_claimed_was_read(
    *, style: str, seed: int, count: int, size: int, ties: bool, stop: int
) -> None:
    """Insertions, deletions and ties between pages, and an end at any step."""
    listed = Listed(history(seed, count, ties=ties), NOW, size, seed=seed, between=vanish_and_appear(seed))
    pager, _ = pages_of(listed, style)
    steps: list[Step] = []
    for step in steps_of(pager):
        steps.append(step)
        if len(steps) == stop:
            break

    assert missed(steps, listed.calls) == []


@pytest.mark.parametrize("style", STYLES)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 40), size=st.integers(2, 9))
def test_a_quiet_list_is_read_to_its_end(*, style: str, seed: int, count: int, size: int) -> None:
    """Without any total: no page leads on from the last one. That an empty page is the end is made sure of by a few requests."""
    listed = Listed(history(seed, count, ties=False), NOW, size, seed=seed)
    pager, api = pages_of(listed, style)
    steps = list(steps_of(pager))
    oldest = min(listed.calls.values())

    assert {record.call_id for step in steps for record in step.records} == set(listed.calls)
    assert Spans([span for step in steps for span in step.read]) == Spans([Span(oldest, NOW)])
    assert steps[-1].horizon == oldest
    assert len(api.asked) <= -(-count // size) + (6 if style == "last" else 3)


def test_a_page_far_down_is_reached_through_those_above_it() -> None:
    """Each is asked for once; below the end of the list there is an empty page, and no request by number."""
    listed = Listed({f"c{number}": at(1000 - number) for number in range(10)}, NOW, 2)
    pager, api = pages_of(listed, "key")

    assert pager.page(3).ids == ("c4", "c5")
    assert api.asked == [None, "c1", "c3"]
    assert pager.page(4).ids == ("c6", "c7")
    assert pager.page(2).ids == ("c2", "c3")
    assert api.asked == [None, "c1", "c3", "c5", "c1"]
    beyond = pager.page(8)
    assert (beyond.ids, beyond.facts.more) == ((), False)


def test_another_window_begins_anew() -> None:
    """Tokens lead through the list that they were handed out for, and through no other."""
    listed = Listed({f"c{number}": at(1000 - number) for number in range(6)}, NOW, 2)
    pager, api = pages_of(listed, "key")
    pager.page(2)
    pager.page(2, since=NOW - timedelta(hours=1))
    assert api.asked == [None, "c1", None, "c1"]
