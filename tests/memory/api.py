"""
A scripted API for the made-up providers: it serves what a test says is true.

It is an `etl.reading.api.Api` and the way to one, `etl.runs.lifecycle.Connect`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from etl.errors import AccountBusy, BudgetSpent, NotFound
from etl.model import JSON
from etl.reading.api import Answer
from etl.runs.account import Account
from tests.memory.acme import EPOCH, as_text

CALLS = "calls"
WITHOUT_END = 1_000
"""More requests than any sync of a test needs."""
Request = tuple[str, Mapping[str, str]]


@dataclass
class ManualClock:
    """Stands still until a test, or somebody who sleeps, moves it on."""

    instant: datetime = EPOCH

    def now(self) -> datetime:
        """See `Clock`."""
        return self.instant

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        self.instant += timedelta(seconds=seconds)


@dataclass
class ScriptedApi:
    """
    What is true at one account: by stream the records of its list, by id what a call's own address says.

    A call without a detail of its own answers with its list record; one that is listed nowhere answers 404, naming the call.
    `refusals` holds the errors of single addresses; `before` is called before each request and may change everything.
    """

    clock: ManualClock = field(default_factory=ManualClock)
    lists: dict[str, list[dict[str, JSON]]] = field(default_factory=lambda: {CALLS: []})
    details: dict[str, dict[str, JSON]] = field(default_factory=dict)
    agents: list[dict[str, JSON]] = field(default_factory=list)
    refusals: dict[str, Exception] = field(default_factory=dict)
    before: Callable[[str], object] = lambda path: None
    budget: int | None = None  # requests that are left
    busy: bool = False  # whether another process uses the account
    totals: bool = True
    says: dict[str, JSON] = field(default_factory=dict)  # what every page says of itself, instead of the truth
    stated: bool = True  # whether a list without records is answered by a list, and not by null
    skew: timedelta = timedelta()  # how far its clock is ahead of ours
    date: Callable[[datetime], datetime | None] | None = None  # what an answer of an instant is dated, if it is not that
    descending: bool | None = True  # None: as the list is given
    log: list[Request] = field(default_factory=list)
    requests: int = 0
    retries: int = 0

    @property
    def calls(self) -> list[dict[str, JSON]]:
        """The list of an account that has one list."""
        return self.lists[CALLS]

    def find(self, call_id: str) -> dict[str, JSON]:
        """Return the list record of a call, to be changed by a test."""
        return next(call for calls in self.lists.values() for call in calls if call["id"] == call_id)

    def remove(self, *call_ids: str) -> None:
        """Let calls be gone."""
        for stream, calls in self.lists.items():
            self.lists[stream] = [call for call in calls if call["id"] not in call_ids]

    def asked(self) -> list[str]:
        """Return the ids of the calls that were asked for by themselves, in that order."""
        return [path.rsplit("/", 1)[-1] for path, params in self.log if not params]

    def pages(self) -> list[Mapping[str, str]]:
        """Return the parameters of the pages that were asked for, in that order."""
        return [params for path, params in self.log if path.endswith("/calls")]

    @contextmanager
    def reserved(self, account: Account) -> Iterator[None]:
        """See `Connect.reserved`."""
        if self.busy:
            raise AccountBusy("another process is using the request allowance of its account.")
        yield

    @contextmanager
    def __call__(self, account: Account) -> Iterator[ScriptedApi]:
        """See `Connect`."""
        yield self

    # etl.reading.api.Api

    def get_list(self, path: str, params: Mapping[str, str], records: tuple[str, ...], body: JSON = None) -> Answer:
        """See `Api.get_list`."""
        self._ask(path, params)
        if path == "/agents":
            return self._page(self.agents, params)
        stream = path.split("/")[2] if path.startswith("/agents/") else CALLS
        if stream not in self.lists:
            raise NotFound("no such agent", naming="agent")
        return self._page(self._listed(stream, params), params)

    def get_one(self, path: str, record: str | None, body: JSON = None) -> Answer:
        """See `Api.get_one`."""
        self._ask(path, {})
        call_id = path.rsplit("/", 1)[-1]
        known = {call["id"]: call for calls in self.lists.values() for call in calls} | self.details
        if call_id not in known:
            raise NotFound("no such call", naming="call")
        return self._answer([known[call_id]], {})

    def check_link(self, url: str) -> None:
        """See `Api.check_link`; it has no links."""

    def _ask(self, path: str, params: Mapping[str, str]) -> None:
        self.before(path)
        if self.budget is not None:
            if self.budget == 0:
                raise BudgetSpent("the day's requests are spent")
            self.budget -= 1
        self.requests += 1
        assert len(self.log) < WITHOUT_END, "the sync asks without an end"
        self.log.append((path, MappingProxyType(dict(params))))
        if path in self.refusals:
            raise self.refusals[path]

    def _listed(self, stream: str, params: Mapping[str, str]) -> list[dict[str, JSON]]:
        since, until = params.get("since", ""), params.get("until", "9")
        listed = [call for call in self.lists[stream] if since <= str(call["created"]) < until]
        return (
            listed if self.descending is None else sorted(listed, key=lambda call: str(call["created"]), reverse=self.descending)
        )

    def _page(self, rows: list[dict[str, JSON]], params: Mapping[str, str]) -> Answer:
        number, size = int(params["page"]), int(params["size"])
        served = rows[(number - 1) * size : number * size]
        fields = {"page": number, "size": size, "more": number * size < len(rows)}
        return self._answer(served, fields | ({"total": len(rows)} if self.totals else {}) | self.says)

    def _answer(self, records: list[dict[str, JSON]], fields: Mapping[str, JSON]) -> Answer:
        now = self.clock.now()
        return Answer(
            records=tuple(map(as_text, records)),
            fields=fields,
            headers={},
            date=self.date(now) if self.date is not None else now + self.skew,
            sent_at=now,
            stated=self.stated or bool(records),
        )
