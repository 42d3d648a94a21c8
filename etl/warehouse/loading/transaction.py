"""One page's transaction: the fence first, then rows, rejects, drift, state and counters. It commits all or nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from psycopg.types.multirange import Multirange
from psycopg.types.range import Range
from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from etl.coverage import Spans
from etl.errors import FenceLost
from etl.model import JSON, AgentRow, Derived, DriftNote, Record, Rejection
from etl.records.rows import Draft, Stored
from etl.records.shield import Shield
from etl.runs.account import Account
from etl.runs.state import StreamState
from etl.runs.terms import Absent, Compared, Counters, Reject
from etl.warehouse.database import Database, driver_of
from etl.warehouse.loading.erasing import Erasing, shield_of
from etl.warehouse.loading.fence import Standing, finish, take
from etl.warehouse.loading.history import bury
from etl.warehouse.loading.load import Loader
from etl.warehouse.loading.lookup import Glimpse, compare, held, held_in
from etl.warehouse.loading.rejects_and_drift import note_drift, note_rejects, resolve_rejects
from etl.warehouse.loading.touched import mark_hours, name_agents
from etl.warehouse.tables import agents, calls, texts

SIGHTING = timedelta(days=1)
"""How often the last sighting of an agent is updated while every run lists it."""


_DETAIL_FAILED = """
UPDATE public.calls c SET detail_failures = c.detail_failures + 1, detail_due_at = failed.due_at
FROM unnest(%s::text[], %s::timestamptz[]) AS failed (call_id, due_at)
WHERE c.connection = %s AND c.call_id = failed.call_id
"""


class Page:
    """Implements `etl.runs.port.PageTransaction`, whose methods are documented there."""

    erasing_as = Erasing

    def __init__(
        self, connection: Connection, account: Account, run_id: int, *, now: datetime, shield: Shield | None = None
    ) -> None:
        """
        Take the transaction's instant by the database's clock, `now`, for everything that records when it was written.

        `shield` is what keeps erased persons out, None where nothing was ever erased.
        """
        self._connection = connection
        self._now = now
        self._account = account
        self._run_id = run_id
        self._driver = driver_of(connection)
        self._loader = Loader(connection, account.connection, now=now)
        self._glimpsed = Glimpse({})  # of the stream being loaded, what was looked up already
        self._right: list[tuple[Collection[str], str, datetime, Rejection | None]] = []
        self._state: dict[str, object] = {}
        self._counted: dict[str, object] = {}
        self._kept: dict[str, object] = {}
        self.erasing = None if shield is None else self.erasing_as(connection, account.connection, self._loader, shield, now=now)
        self.met_rejects = False  # whether a record of this page could not become a row
        self.known_agents: frozenset[str] = frozenset()  # those that need no row any more

    def compare(self, records: Sequence[Record], *, stream: str, observed_at: datetime) -> Compared:
        return compare(
            self._driver,
            self._account.connection,
            records,
            self._glimpsed,
            stream=stream,
            observed_at=observed_at,
            volatile=self._account.provider.volatile,
        )

    def held(self, call_ids: Collection[str]) -> dict[str, Stored]:
        return held(self._driver, self._account.connection, call_ids)

    def copy(self, draft: Draft) -> bool:
        return self._loader.copy(draft)

    def insert(self, entries: Sequence[Derived]) -> frozenset[str]:
        return self._loader.insert(entries)

    def update(self, entries: Sequence[Derived]) -> frozenset[str]:
        return self._loader.update(entries)

    def note(self, *, stream: str, rejects: Sequence[Reject], drift: Mapping[DriftNote, int], observed_at: datetime) -> None:
        self.met_rejects = self.met_rejects or bool(rejects)
        note_rejects(self._connection, self._account.connection, stream, rejects, observed_at)
        note_drift(self._connection, self._account.connection, drift, observed_at)

    def came_right(
        self, call_ids: Collection[str], *, stream: str, observed_at: datetime, reason: Rejection | None = None
    ) -> None:
        """Remember which rejects to resolve; `resolve_rejects` writes them."""
        self._right.append((call_ids, stream, observed_at, reason))

    def resolve_rejects(self) -> None:
        """Resolve the rejects that came right. Not called if the connection has no open rejects, which is nearly always."""
        for call_ids, stream, observed_at, reason in self._right:
            resolve_rejects(self._connection, self._account.connection, stream, call_ids, observed_at, reason=reason)

    def ask_for(self, call_ids: Collection[str], *, due_at: datetime | None) -> None:
        self._connection.execute(
            update(calls)
            .where(
                calls.c.connection == self._account.connection,
                calls.c.call_id == func.any(texts(call_ids)),
                calls.c.detail_due_at.is_distinct_from(due_at),
            )
            .values(detail_due_at=due_at)
        )

    def detail_failed(self, due: Mapping[str, datetime]) -> None:
        self._driver.execute(_DETAIL_FAILED, (list(due), list(due.values()), self._account.connection))

    def detail_came(self, call_ids: Collection[str]) -> None:
        if not call_ids:
            return
        self._connection.execute(
            update(calls)
            .where(
                calls.c.connection == self._account.connection,
                calls.c.call_id == func.any(texts(call_ids)),
                calls.c.detail_failures > 0,
            )
            .values(detail_failures=0)
        )

    def bury(self, call_ids: Collection[str], *, gone_at: datetime) -> int:
        return bury(self._connection, self._account.connection, call_ids, gone_at=gone_at, now=self._now)

    def absent(self, *, stream: str, read: Spans, seen: Iterable[Collection[str]]) -> Absent:
        if not read:
            return Absent(0, frozenset())
        self._glimpsed = held_in(
            self._driver, self._account.connection, stream=stream, spans=read, volatile=self._account.provider.volatile
        )
        call_ids = self._glimpsed.hashes.keys()
        return Absent(len(call_ids), frozenset(call_ids).difference(*seen))

    def save_state(self, stream: str, state_: StreamState) -> None:
        """Remember the state; `finish` writes it."""
        self._state = {
            "stream": stream,
            "high_water_mark": state_.high_water_mark,
            "coverage": multirange_of(state_.coverage),
            "settled": multirange_of(state_.settled),
            "horizon": state_.horizon,
            "domain_start": state_.start,
            "closed_at": state_.closed_at,
        }

    def save_agents(self, rows: Sequence[AgentRow], *, observed_at: datetime) -> None:
        """Write agents that changed; of an unchanged one, only the last sighting is updated, once a day."""
        held = select(agents).where(agents.c.connection == self._account.connection)
        known = {row.agent_id: row for row in self._connection.execute(held)}
        for row in rows:
            if self.erasing is not None and row.name is not None and self.erasing.shield.names_in_text(row.name):
                row = row._replace(name=None)  # noqa: PLW2901 - the same agent, without the name
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
        self._connection.execute(
            update(agents)
            .where(agents.c.connection == self._account.connection, agents.c.agent_id == agent_id)
            .values(closed_at=observed_at)
        )

    def pin_organization(self, organization: str) -> None:
        """Remember the organisation; `finish` writes it."""
        self._kept["pinned_organization"] = organization

    def save_connection(self, *, capabilities: JSON) -> None:
        """Remember capabilities and request log; `finish` writes them."""
        self._kept |= {"capabilities": capabilities}

    def note_drift(self, drift: Mapping[DriftNote, int], *, observed_at: datetime) -> None:
        note_drift(self._connection, self._account.connection, drift, observed_at)

    def save_counters(self, counters: Counters) -> None:
        """Remember the counters; `finish` writes them."""
        self._counted = counted(counters)

    @property
    def named_agents(self) -> frozenset[str]:
        """The ids of the agents that the calls written here name."""
        return self._loader.traces.agent_ids

    def finish(self) -> None:
        """Mark the days of new calls, and write what was remembered in one statement: every round trip delays the page."""
        mark_hours(self._connection, self._account.connection, self._loader.traces.hours)
        name_agents(self._connection, self._account.connection, self.named_agents - self.known_agents, now=self._now)
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
    """Return counters as columns of `sync.runs`."""
    return {name: getattr(counters, name) for name in Counters.__slots__}


class Fenced(NamedTuple):
    """An open transaction that holds the fence, and how the connection stands in it."""

    connection: Connection
    standing: Standing


@contextmanager
def behind_fence(database: Database, name: str, run_id: int) -> Iterator[Fenced]:
    """
    Open a transaction in which nobody else writes to the connection; leaving the block commits.

    Raises FenceLost where another run has become the connection's owner, WarehouseError where the database fails.
    """
    with database.begin() as connection:
        yield Fenced(connection, hold(database, connection, name, run_id))


def hold(database: Database, connection: Connection, name: str, run_id: int) -> Standing:
    """
    Keep everybody else from writing to the connection until the transaction ends; return how the connection stands.

    Raises FenceLost where another run has become the connection's owner, ServerChanged where the run began at another server.
    """
    if changed := database.servers.changed(run_id, driver_of(connection)):
        raise changed
    standing = take(connection, name, run_id)
    if standing is None:
        raise FenceLost(
            "another run has taken over.",
            safe="This run stopped writing; what it had committed stays, and the other run continues from there.",
            hint="Nothing needs to be done.",
        )
    return standing


PageKind = TypeVar("PageKind", bound=Page)


@contextmanager
def page_transaction(database: Database, account: Account, run_id: int, kind: type[PageKind]) -> Iterator[PageKind]:
    """Open a page's transaction behind the fence; leaving the block finishes and commits it. Raises as `behind_fence` does."""
    with behind_fence(database, account.connection, run_id) as fenced:
        shield = shield_of(database, fenced.connection, account.connection, fenced.standing)
        page = kind(fenced.connection, account, run_id, now=fenced.standing.now, shield=shield)
        yield page
        page.finish()


def multirange_of(spans: Spans) -> Multirange[datetime]:
    """Return spans as a multirange for the database."""
    return Multirange([Range(span.start, span.end, "[)") for span in spans])


def spans_of(value: Any) -> Spans:
    """Return the spans of a multirange from the database."""
    return Spans((part.lower, part.upper) for part in value or ())
