"""Asking one account: the first way that works is found, kept for a week, and details are what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from etl import providers
from etl.errors import NotFound, PagingBroken, ProviderRefused
from etl.model import JSON, AgentRow
from etl.provider import Ask
from etl.reading.api import Answer
from etl.reading.source import RELOOK, Capabilities, Pager, Source

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Desk:
    """An account that answers by rule: it refuses page sizes above `largest`, knows some details, and lists agents."""

    largest: int = 1_000
    details: Mapping[str, bytes] = field(default_factory=dict)
    agent_pages: int = 1
    rows: tuple[bytes, ...] = ()
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    requests: int = 0
    retries: int = 0

    def get_list(self, path: str, params: Mapping[str, str], records: tuple[str, ...], body: JSON = None) -> Answer:
        """Answer with no call, or with one agent a page."""
        self.asked.append((path, dict(params)))
        if int(params.get("per_page") or params["limit"]) > self.largest:
            raise ProviderRefused("too many", status=400)
        rows = self.rows
        more = False
        if path.endswith("/agents"):
            number = int(params["page"])
            rows, more = (b'{"id": "agent-%d", "name": "n"}' % number,), number < self.agent_pages
        return Answer(records=rows, fields={"meta": {"has_next_page": more}}, headers={}, date=None, sent_at=NOW)

    def get_one(self, path: str, record: str | None, body: JSON = None) -> Answer:
        """Answer with a known detail."""
        self.asked.append((path, {}))
        if path not in self.details:
            raise NotFound("absent", naming="call")
        return Answer(records=(self.details[path],), fields={}, headers={}, date=None, sent_at=NOW)

    def check_link(self, url: str) -> None:
        """Let every link pass."""


def pager(name: str, desk: Desk, *, found: Capabilities | None = None, per_page: int | None = None) -> Pager:
    """Return the pager of one stream of a provider."""
    return Pager(Source(providers.get(name), desk), stream="calls", found=found or Capabilities(), per_page=per_page)


def test_a_refused_page_size_is_stepped_down_until_one_is_taken_and_that_is_remembered() -> None:
    """Salpre documents no maximum: 1000, 500, 100 are tried in turn."""
    desk = Desk(largest=100)
    asking = pager("salpre", desk)
    asking.page(1)
    again = pager("salpre", desk, found=asking.found)
    again.page(1)

    assert [params["per_page"] for _, params in desk.asked] == ["1000", "500", "100", "100"]
    assert asking.found == Capabilities(style="page", size=100, checked_at=NOW)


def test_a_page_size_of_the_configuration_is_asked_for_as_it_is() -> None:
    """What the user wants is not second-guessed: a refusal is told."""
    with pytest.raises(ProviderRefused, match="too many"):
        pager("salpre", Desk(largest=100), per_page=200).page(1)


def test_a_refusal_after_a_page_was_accepted_is_told() -> None:
    """Only the first page finds the way; later refusals have other reasons."""
    desk = Desk()
    asking = pager("salpre", desk)
    asking.page(1)
    desk.largest = 0

    with pytest.raises(ProviderRefused, match="too many"):
        asking.page(2)


def test_a_style_given_up_is_followed_by_the_next_and_after_the_last_by_the_first() -> None:
    """Nothing is lost by having tried: the way that worked best is taken up again."""
    desk = Desk()
    asking = pager("bimpe", desk)
    tried = []
    for _ in range(3):
        asking.page(1)
        tried.append((desk.asked[-1][1].get("sort"), asking.give_up_style()))

    assert tried == [("-created_on", True), ("-created_at", True), (None, False)]
    asking.page(1)
    assert desk.asked[-1][1]["sort"] == "-created_on"


def test_a_style_remembered_in_error_is_not_all_that_a_later_run_tries() -> None:
    """One page served in the place of another must not cost a week: once no style is left, the next run begins anew."""
    asking = pager("krosai", Desk(), found=Capabilities(style="offset", size=100, checked_at=NOW))
    asking.page(1)
    given_up = asking.give_up_style()
    asking.page(2)
    again = Desk()
    pager("krosai", again, found=asking.found).page(2)

    assert (given_up, asking.found.style, "page" in again.asked[-1][1]) == (False, None, True)


def test_where_pages_are_smaller_than_asked_for_the_next_ones_are_counted_by_what_is_served() -> None:
    """An offset counted by the size that was asked for would pass over what every page lacked."""

    class Smaller(Desk):
        def get_list(self, path: str, params: Mapping[str, str], records: tuple[str, ...], body: JSON = None) -> Answer:
            answer = super().get_list(path, params, records, body)
            return replace(answer, fields={"total": 9, "limit": 2, "offset": int(params["offset"])})

    desk = Smaller(rows=tuple(b'{"id": "%d", "created_at": "2026-03-01T00:00:00Z"}' % number for number in range(2)))
    asking = pager("krosai", desk, found=Capabilities(style="offset", size=100, checked_at=NOW), per_page=3)
    for number in (1, 2, 3):
        asking.page(number)

    assert [(params["offset"], params["limit"]) for _, params in desk.asked] == [("0", "3"), ("2", "2"), ("4", "2")]


def test_that_no_style_keeps_the_order_is_remembered() -> None:
    """Else each run would begin as if the list were sorted."""
    asking = pager("krosai", Desk())
    asking.page(1)
    asking.note_unsorted()

    assert Capabilities.remembered(asking.found.stored(), now=NOW).unsorted


def test_what_was_found_out_is_looked_at_again_after_a_week() -> None:
    """A provider that learns to sort is not scanned for ever."""
    found = Capabilities(style="page", size=100, unsorted=True, checked_at=NOW)

    assert [
        Capabilities.remembered(found.stored(), now=now) == found
        for now in (NOW, NOW + RELOOK / 2, NOW + RELOOK, NOW - timedelta(1))
    ] == [True, True, False, False]


@pytest.mark.parametrize("stored", [None, {}, [], {"checked_at": "soon"}, {"checked_at": "2026-03-01T00:00:00Z"}])
def test_what_cannot_be_read_back_is_found_out_again(stored: JSON) -> None:
    """Whatever stands in the column, a run begins."""
    assert Capabilities.remembered(stored, now=NOW) == Capabilities()


def test_a_detail_is_asked_for_under_each_form_of_its_id() -> None:
    """Salpre lists c874 and wants 874."""
    desk = Desk(details={"/call/874": b'{"call_id": "874", "started_at": "2026-03-01T00:00:00Z"}'})
    record, asked_at = Source(providers.get("salpre"), desk).detail(stream="calls", call_id="c874")

    assert ([path for path, _ in desk.asked], record.call_id, asked_at) == (["/call/c874", "/call/874"], "874", NOW)


def test_a_detail_of_another_call_is_no_answer() -> None:
    """A wrong form of an id may lead to another call: what is asked for is checked in what comes."""
    desk = Desk(details={"/call/c874": b'{"call_id": "c999", "started_at": "2026-03-01T00:00:00Z"}'})

    with pytest.raises(NotFound) as refused:
        Source(providers.get("salpre"), desk).detail(stream="calls", call_id="c874")
    assert refused.value.naming in (None, "call")


def test_an_id_cannot_leave_its_place_in_the_path() -> None:
    """A slash or a question mark inside an id stays inside."""
    desk = Desk()
    with pytest.raises(NotFound):
        Source(providers.get("krosai"), desk).detail(stream="calls", call_id="../x?y#z")

    assert desk.asked == [("/calls/..%2Fx%3Fy%23z", {})]


def test_agents_are_listed_page_by_page() -> None:
    """Each once, in the order given."""
    agents = Source(providers.get("bimpe"), Desk(agent_pages=3)).agents()

    assert [agent.agent_id for agent in agents] == ["agent-1", "agent-2", "agent-3"]
    assert all(isinstance(agent, AgentRow) for agent in agents)


def test_a_list_of_agents_that_does_not_end_is_an_error() -> None:
    """It ends the run with a sentence, not the memory."""
    with pytest.raises(PagingBroken, match="did not end"):
        Source(providers.get("bimpe"), Desk(agent_pages=10**9)).agents()


def test_what_must_never_be_stored_is_gone_before_a_record_is_looked_at() -> None:
    """Of a list and of a detail; a record without it stays the very text that arrived."""
    provider = replace(providers.get("krosai"), never_stored=frozenset({"access_token"}))
    plain = b'{"id": "a", "created_at": "2026-03-01T00:00:00Z"}'
    told = b'{"id": "b", "created_at": "2026-03-01T00:00:00Z", "access_token": "made-up"}'
    desk = Desk(details={"/calls/b": told}, rows=(plain, told))
    source = Source(provider, desk)
    page = source.page(stream="calls", style=provider.listing.styles[0], ask=Ask(number=1, size=10))
    cut = b'{"created_at":"2026-03-01T00:00:00Z","id":"b"}'
    assert [record.text for record in page.records] == [plain, cut]
    assert source.detail(stream="calls", call_id="b")[0].text == cut


def test_paths_hold_the_accounts_own_settings() -> None:
    """Quoted like everything that stands in a path."""
    source = Source(providers.get("krosai"), Desk(), {"account_sid": "A/C 17"})
    assert source.path("/Accounts/{account_sid}/Calls/{call}.json", call="C?A") == "/Accounts/A%2FC%2017/Calls/C%3FA.json"
