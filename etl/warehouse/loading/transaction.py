"""Knows one page's transaction: fence first, then rows, rejects, drift, state and counters; commits all of it or nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from psycopg.types.multirange import Multirange
from psycopg.types.range import Range
from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from etl.coverage import Spans
from etl.errors import FenceLost
from etl.model import JSON, AgentRow, Record
from etl.runs.account import Account
from etl.runs.port import Due
from etl.runs.state import StreamState
from etl.runs.terms import Absent, Counters, Loaded, Observed
from etl.warehouse.database import Database
from etl.warehouse.loading.fence import finish, take
from etl.warehouse.loading.history import bury
from etl.warehouse.loading.load import Loader
from etl.warehouse.loading.rejects_and_drift import resolve_refused, resolve_rejects
from etl.warehouse.tables import agents

SIGHTING = timedelta(days=1)
"""How old the last sighting of an agent may be while it is listed at every run."""


class Page:
    """The open transaction of one page of one connection (`etl.runs.port.PageTransaction`)."""

    def __init__(self, connection: Connection, account: Account, run_id: int, *, now: datetime) -> None:
        """Begin at an instant of the database's clock, that of everything that is noted of the page's writing."""
        self._connection = connection
        self._now = now
        self._account = account
        self._run_id = run_id
        self._loader = Loader(connection, account, run_id)
        self._came: list[Observed] = []
        self._details_came: list[tuple[str, str, datetime]] = []
        self._state: dict[str, object] = {}
        self._counted: dict[str, object] = {}
        self._kept: dict[str, object] = {}

    def load(self, observed: Observed, *, covered: Spans) -> Loaded:
        """See `PageTransaction.load`."""
        self._came.append(observed)
        return self._loader.load(observed, covered)

    def load_detail(self, *, stream: str, call_id: str, detail: Record, observed_at: datetime, due: Due) -> Loaded:
        """See `PageTransaction.load_detail`."""
        loaded = self._loader.load_detail(stream=stream, call_id=call_id, detail=detail, observed_at=observed_at, due=due)
        if not loaded.rejected:
            self._details_came.append((stream, call_id, observed_at))
        return loaded

    def resolve_rejects(self) -> None:
        """Note of the rejects whose calls came in this transaction, as they should, that they are none any more."""
        for observed in self._came:
            came = [record.call_id for record in observed.records if record.rejection is None and record.call_id is not None]
            resolve_rejects(self._connection, self._account.connection, observed.stream, came, observed.observed_at)
        for stream, call_id, observed_at in self._details_came:
            resolve_refused(self._connection, self._account.connection, stream, call_id, observed_at)

    def ask_for(self, call_ids: Collection[str], *, due_at: datetime) -> None:
        """See `PageTransaction.ask_for`."""
        self._loader.ask_for(call_ids, due_at=due_at)

    def bury(self, call_ids: Collection[str], *, gone_at: datetime) -> int:
        """See `PageTransaction.bury`."""
        return bury(self._connection, self._account.connection, call_ids, gone_at=gone_at)

    def absent(self, *, stream: str, read: Spans, seen: Iterable[Collection[str]]) -> Absent:
        """See `PageTransaction.absent`."""
        if not read:
            return Absent(0, frozenset())
        held = self._loader.glimpse(stream, read)
        return Absent(len(held), frozenset(held).difference(*seen))

    def save_state(self, stream: str, state_: StreamState) -> None:
        """See `PageTransaction.save_state`; written when the page is finished."""
        self._state = {
            "stream": stream,
            "high_water_mark": state_.high_water_mark,
            "coverage": _multirange(state_.coverage),
            "settled": _multirange(state_.settled),
            "horizon": state_.horizon,
            "domain_start": state_.start,
            "closed_at": state_.closed_at,
        }

    def save_agents(self, rows: Sequence[AgentRow], *, observed_at: datetime) -> None:
        """See `PageTransaction.save_agents`; an agent that is as it was known is not touched, but for one sighting a day."""
        held = select(agents).where(agents.c.connection == self._account.connection)
        known = {row.agent_id: row for row in self._connection.execute(held)}
        for row in rows:
            before = known.get(row.agent_id)
            seen = before is not None and before.closed_at is None and before.last_seen_at > observed_at - SIGHTING
            if before is not None and seen and (before.name, before.status) == (row.name, row.status):
                continue
            statement = insert(agents).values(
                connection=self._account.connection,
                agent_id=row.agent_id,
                name=row.name,
                status=row.status,
                first_seen_at=observed_at,
                last_seen_at=observed_at,
            )
            self._connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["connection", "agent_id"],
                    set_={"name": row.name, "status": row.status, "last_seen_at": observed_at, "closed_at": None},
                )
            )

    def close_agent(self, agent_id: str, *, observed_at: datetime) -> None:
        """See `PageTransaction.close_agent`."""
        self._connection.execute(
            update(agents)
            .where(agents.c.connection == self._account.connection, agents.c.agent_id == agent_id)
            .values(closed_at=observed_at)
        )

    def pin_organization(self, organization: str) -> None:
        """See `PageTransaction.pin_organization`; written when the page is finished."""
        self._kept["pinned_organization"] = organization

    def save_connection(self, *, capabilities: JSON, request_log: JSON) -> None:
        """See `PageTransaction.save_connection`; written when the page is finished."""
        self._kept |= {"capabilities": capabilities, "request_log": request_log}

    def save_counters(self, counters: Counters) -> None:
        """See `PageTransaction.save_counters`; written when the page is finished."""
        self._counted = counted(counters)

    def finish(self) -> None:
        """Write state, counters and what is known of the connection, together: every round trip holds a page up."""
        finish(
            self._connection,
            self._account.connection,
            self._run_id,
            now=self._now,
            state_values=self._state,
            run_values=self._counted,
            connection_values=self._kept,
        )


def counted(counters: Counters) -> dict[str, object]:
    """Return the columns of `sync.runs` that a run counts."""
    return {name: getattr(counters, name) for name in Counters.__slots__}


class Fenced(NamedTuple):
    """An open transaction in which nobody else writes the connection, and its instant by the database's clock."""

    connection: Connection
    now: datetime


@contextmanager
def behind_fence(database: Database, account: Account, run_id: int) -> Iterator[Fenced]:
    """
    Open a transaction in which nobody else writes the connection; leaving the block commits.

    Raises FenceLost where another run has become the connection's owner, WarehouseError where the database fails.
    """
    with database.begin() as connection:
        now = take(connection, account.connection, run_id)
        if now is None:
            raise FenceLost(
                "another run has taken over.",
                safe="This run stopped writing; what it had committed stays, and the other run continues from there.",
                hint="Nothing needs to be done.",
            )
        yield Fenced(connection, now)


PageKind = TypeVar("PageKind", bound=Page)


@contextmanager
def page_transaction(database: Database, account: Account, run_id: int, kind: type[PageKind]) -> Iterator[PageKind]:
    """Open a page's transaction at the fence; leaving the block finishes and commits it. Raises what `behind_fence` raises."""
    with behind_fence(database, account, run_id) as fenced:
        page = kind(fenced.connection, account, run_id, now=fenced.now)
        yield page
        page.finish()


def _multirange(spans: Spans) -> Multirange[datetime]:
    return Multirange([Range(span.start, span.end, "[)") for span in spans])


def spans_of(value: Any) -> Spans:
    """Return the spans of a multirange as it comes from the database."""
    return Spans((part.lower, part.upper) for part in value or ())
