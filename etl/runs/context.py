"""What all streams of one run share: account and API, the organisation check, the provider's clock, findings, stopping."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Event, Lock
from typing import NamedTuple

from etl.effects import Clock, Threads
from etl.errors import AuthenticationFailed, ForeignOrganization, Interrupted
from etl.log import Logger
from etl.model import JSON, Record
from etl.reading.clocks import APART
from etl.reading.source import Capabilities, Source
from etl.reading.walks import Step
from etl.reading.walks.way import Access
from etl.runs.account import Account
from etl.runs.listed import Listed, Moves
from etl.runs.making import Making
from etl.runs.port import PageTransaction, RunWarehouse, Watcher
from etl.runs.repeated import repeated
from etl.runs.state import StreamState
from etl.runs.terms import Counters, Finding, Want

DATE_SLACK = timedelta(seconds=2)
"""How far apart two runs may see the provider's clock: `Date` headers have whole seconds, and a provider's hosts differ."""

UNTIL_THEN = (
    "One of the two is wrong: set this machine's clock, or tell the provider. Until then nothing is marked as read beyond our "
    "clock, and calls may be read later, or more often, than they need to be."
)

log = Logger(__name__)


class Empty(NamedTuple):
    """A stream as it was when its list said, at its first step, that there is no call before `instant`."""

    state: StreamState
    step: Step
    instant: datetime


@dataclass(slots=True, kw_only=True)
class Task:
    """What the streams of one run share."""

    account: Account
    source: Source
    warehouse: RunWarehouse
    run_id: int
    want: Want
    clock: Clock
    threads: Threads
    watcher: Watcher
    stop: Event
    rollups: Making
    counters: Counters
    capabilities: Capabilities
    organization: str | None  # every record must belong to it: the configured one, else the pinned one
    pinned: str | None
    states: dict[str, StreamState] = field(default_factory=dict)  # as they were when the run began
    account_seen: bool = False  # whether any stream of this run has shown a call that is held
    findings: list[Finding] = field(default_factory=list)
    latest: datetime | None = None  # the latest instant of the provider's clock seen so far
    telling: Lock = field(default_factory=Lock)  # guards `latest`: pages are fetched in another thread
    forbidden: dict[str, list[AuthenticationFailed]] = field(default_factory=lambda: defaultdict(list))  # details, by stream
    open_seen: set[str] = field(default_factory=set)  # open calls that this run has already seen in a list
    agents_listed: frozenset[str] = frozenset()  # what the provider's list of agents showed
    listed: Listed = field(default_factory=Listed)
    moves: Moves = field(default_factory=Moves)
    empty: dict[str, Empty] = field(default_factory=dict)  # the streams whose lists say that they have no call

    @property
    def connection(self) -> str:
        """The connection's name."""
        return self.account.connection

    def access(self, stream: str) -> Access:
        """Return what a walk needs to read a stream of this account."""
        return Access(
            source=self.source,
            stream=stream,
            capabilities=self.capabilities,
            per_page=self.account.per_page,
            lookback=self.account.lookback,
            clock=self.clock,
        )

    def write(self, work: Callable[[PageTransaction, Counters], None]) -> None:
        """
        Do the work of a page in one transaction, together with the run's counters.

        The work adds what it brought to the counters that it is given: they are the run's once the transaction is committed,
        and are forgotten where it is not. Work that collided with another transaction is done again from its beginning.
        """
        organization, pinned = self.organization, self.pinned
        departures = self.source.departures()

        def transaction() -> Counters:
            self.organization, self.pinned = organization, pinned
            counters = replace(self.counters)
            with self.warehouse.page(self.account, run_id=self.run_id) as page:
                work(page, counters)
                counters.requests, counters.retries = self.source.api.requests, self.source.api.retries
                page.save_counters(counters)
                if departures:
                    page.note_drift(departures, observed_at=self.clock.now())
                page.save_connection(capabilities=self.found_out())
            return counters

        before = self.counters.written
        self.counters.become(repeated(transaction, clock=self.clock))
        self.rollups.wrote(self.counters.written - before)

    def check_organization(self, records: tuple[Record, ...], page: PageTransaction) -> None:
        """Pin the first organisation seen. Raises ForeignOrganization at the first record of another one."""
        key = self.account.provider.organization
        if key is None:
            return
        for record in records:
            owner = record.value.get(key) if isinstance(record.value, dict) else None
            if not isinstance(owner, str) or not owner:
                continue
            if self.organization not in (None, owner):
                chosen = "organization_id" in self.account.provider.settings
                choose = (
                    f"Set connections.{self.connection}.organization_id to the organisation you mean, or give"
                    if chosen
                    else "Give"
                )
                raise ForeignOrganization(
                    "the provider sent a record of another organisation than the one pinned.",
                    safe="Nothing of that page was stored; what was loaded before stays.",
                    hint=f"{choose} the other one a connection of its own.",
                )
            self.organization = owner
            if self.pinned is None:
                page.pin_organization(owner)
                self.pinned = owner

    def provider_now(self) -> datetime:
        """
        Return the provider's current time, estimated from its `Date` headers and never going back; details are due by it.

        It is at most the lookback and an hour ahead of ours, as a call that is due by a clock years ahead would wait for years.
        """
        # `Date` has whole seconds, so the estimate from one answer may lie before the estimate from the answer before it.
        with self.telling:
            ahead = min(self.source.ahead, self.account.lookback + APART)
            self.latest = max(self.clock.now() + ahead, self.latest or datetime.min.replace(tzinfo=UTC))
            return self.latest

    def at_once(self) -> datetime:
        """Return an instant that is in the past for this run, and still is for the next one if this one is killed."""
        return self.provider_now() - DATE_SLACK

    def details_due_at(self) -> datetime | None:
        """Return when the details of calls just listed are due: at once, or never where the provider has none."""
        return self.at_once() if self.account.provider.detail is not None else None

    def found_out(self) -> JSON:
        """Return what is kept about the provider: its paging and order, and its clock where that differs from ours."""
        stored = self.capabilities.stored()
        return {**stored, "clocks": self.source.apart[1].stored()} if self.source.apart is not None else stored

    def compare_clocks(self) -> None:
        """Report it if the provider's clock and ours differ."""
        if self.source.apart is None:
            return
        stream, apart = self.source.apart
        log.warning("clocks.apart", connection=self.connection, stream=stream, **apart.stored())
        self.find(Finding(stream=stream, code="clocks_apart", text=f"{apart}. {UNTIL_THEN}"))

    def find(self, finding: Finding) -> None:
        """Add a finding, unless it was added before."""
        if finding not in self.findings:
            self.findings.append(finding)

    def check_stop(self) -> None:
        """Raise Interrupted where the program is asked to stop."""
        if self.stop.is_set():
            raise Interrupted(
                "the sync was interrupted.",
                safe="Everything up to the last page is committed.",
                hint="The next sync continues there.",
            )
