"""A reject that is tried again counts as seen when it was seen, not when it was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from etl.coverage import Spans
from etl.model import JSON, CallRow
from etl.runs.loading import load_page
from etl.runs.loading_details import Told, load_details
from etl.runs.port import FIRST, KeptReject, Place
from etl.runs.retrying import Tried, try_rejects
from etl.runs.terms import Observed
from etl.testing.memory.kept import Shelf
from etl.testing.memory.page import MemoryPage
from tests.memory.acme import account, as_text, at, call, record

ONE = account()


@dataclass
class Batch(MemoryPage):
    """The transaction of one batch of a replay (`etl.runs.port.ReplayPage`), over the rejects that a test gives."""

    rejects: list[KeptReject] = field(default_factory=list)
    buried: dict[str, datetime] = field(default_factory=dict)
    resolved: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        MemoryPage.__init__(self, Shelf())

    def rejects_after(self, place: Place, *, limit: int) -> Sequence[KeptReject]:
        """See `ReplayPage`."""
        return [reject for reject in self.rejects if (reject.stream, reject.record_key) > place][:limit]

    def gone(self, call_ids: Sequence[str]) -> Mapping[str, datetime]:
        """See `ReplayPage`."""
        return {call_id: self.buried[call_id] for call_id in call_ids if call_id in self.buried}

    def resolve(self, *, stream: str, keys: Sequence[str], at: datetime) -> None:
        """See `ReplayPage`."""
        self.resolved += keys

    def listed(self, value: JSON, *, seen: float) -> None:
        """Let a list record be loaded."""
        observed = Observed(stream="calls", records=[record(value)], observed_at=at(seen), due_at=None)
        load_page(self, ONE, observed, run_id=1, covered=Spans(), listed_there=lambda found: False)

    def detailed(self, value: JSON, *, seen: float) -> None:
        """Let a detail be loaded."""
        told = Told("calls", value["id"], record(value), at(seen))
        load_details(self, ONE, [told], run_id=1, due=lambda entry, detail: None)

    def call(self, call_id: str) -> CallRow:
        """Return the row of a call."""
        entry = self._held(call_id)
        assert entry is not None
        return entry.call


def reject(value: JSON, *, first: float, last: float) -> KeptReject:
    """Return a list record that could not become a call when it was seen, and can now."""
    return KeptReject("calls", "key", "bad_cursor", as_text(value).decode(), at(first), at(last))


def tried(page: Batch) -> Tried:
    """Try the rejects again, long after all was seen."""
    found = try_rejects(page, ONE, run_id=2, after=FIRST, now=at(500))
    assert found is not None
    return found


@pytest.mark.parametrize(("detail_seen", "status"), [(8, "completed"), (2, "in_progress")], ids=["after it", "before it"])
def test_a_detail_that_was_asked_for_after_a_reject_was_seen_is_the_newer_one(detail_seen: float, status: str) -> None:
    """The reject says that the call goes on, the detail that it is over: the one that was seen last counts."""
    page = Batch()
    page.listed(call("c1", 0), seen=1)
    page.detailed(call("c1", 0, seconds=60), seen=detail_seen)
    page.rejects = [reject(call("c1", 0, status="talking"), first=4, last=5)]

    assert tried(page)[1:] == (1, 0, 1, 1)
    row = page.call("c1")
    assert (row.status, row.observed_at, row.detail_observed_at) == (status, at(5), at(detail_seen))


def test_a_call_that_comes_of_a_reject_was_first_seen_when_the_reject_was() -> None:
    """And observed when the reject was seen last; its detail is asked for now."""
    page = Batch(rejects=[reject(call("c1", 0), first=4, last=5)])

    assert (tried(page)[1:], page.resolved) == ((1, 1, 0, 1), ["key"])
    row = page.call("c1")
    assert (row.first_seen_at, row.observed_at, row.last_changed_at, row.detail_due_at) == (at(4), at(5), at(5), at(500))


def test_a_list_record_that_was_seen_after_a_reject_stays() -> None:
    """Never older over newer."""
    page = Batch()
    page.listed(call("c1", 0, seconds=9), seen=6)
    page.rejects = [reject(call("c1", 0, seconds=8), first=4, last=5)]
    tried(page)

    assert (page.call("c1").duration_seconds, page.call("c1").observed_at, page.resolved) == (9, at(6), ["key"])


def test_a_reject_of_a_call_that_was_found_gone_later_brings_it_not_back() -> None:
    """It was seen before the call was gone: it is resolved, and no call comes of it."""
    page = Batch(rejects=[reject(call("c1", 0), first=4, last=5)], buried={"c1": at(6)})

    assert (tried(page)[1:], page.resolved, page._held("c1")) == ((1, 0, 0, 1), ["key"], None)
