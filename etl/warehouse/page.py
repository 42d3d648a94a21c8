"""Knows one page's transaction: fence first, then rows, rejects, drift, state and counters; commits all of it or nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.multirange import Multirange
from psycopg.types.range import Range
from sqlalchemy import BigInteger, Connection, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from etl.coverage import Spans
from etl.errors import FenceLost
from etl.model import JSON, AgentRow, Record
from etl.run import Account, Counters, Due, Loaded
from etl.state import StreamState
from etl.warehouse.database import Database
from etl.warehouse.history import bury
from etl.warehouse.load import Loader
from etl.warehouse.notes import resolve_refused, resolve_rejects
from etl.warehouse.tables import agents, calls, connections, runs, state

SIGHTING = timedelta(days=1)
"""How old the last sighting of an agent may be while it is listed at every run."""


class Page:
    """The open transaction of one page of one connection (`etl.run.PageTransaction`)."""

    def __init__(self, connection: Connection, account: Account, run_id: int) -> None:
        self._connection = connection
        self._account = account
        self._run_id = run_id
        self._loader = Loader(connection, account, run_id)
        self._came: list[tuple[str, Sequence[Record], datetime]] = []
        self._details_came: list[tuple[str, str, datetime]] = []

    def load(
        self, *, stream: str, records: Sequence[Record], observed_at: datetime, covered: Spans, due_at: datetime | None
    ) -> Loaded:
        """See `PageTransaction.load`."""
        self._came.append((stream, records, observed_at))
        return self._loader.load(stream=stream, records=records, observed_at=observed_at, covered=covered, due_at=due_at)

    def load_detail(self, *, stream: str, call_id: str, detail: Record, observed_at: datetime, due: Due) -> Loaded:
        """See `PageTransaction.load_detail`."""
        loaded = self._loader.load_detail(stream=stream, call_id=call_id, detail=detail, observed_at=observed_at, due=due)
        if not loaded.rejected:
            self._details_came.append((stream, call_id, observed_at))
        return loaded

    def resolve_rejects(self) -> None:
        """Note of the rejects whose calls came in this transaction, as they should, that they are none any more."""
        for stream, records, observed_at in self._came:
            came = [record.call_id for record in records if record.rejection is None and record.call_id is not None]
            resolve_rejects(self._connection, self._account.connection, stream, came, observed_at)
        for stream, call_id, observed_at in self._details_came:
            resolve_refused(self._connection, self._account.connection, stream, call_id, observed_at)

    def ask_for(self, call_ids: Collection[str], *, due_at: datetime) -> None:
        """See `PageTransaction.ask_for`."""
        self._loader.ask_for(call_ids, due_at=due_at)

    def bury(self, call_ids: Collection[str], *, gone_at: datetime) -> int:
        """See `PageTransaction.bury`."""
        return bury(self._connection, self._account.connection, call_ids, gone_at=gone_at)

    def held(self, *, stream: str, read: Spans) -> frozenset[str]:
        """See `PageTransaction.held`."""
        if not read:
            return frozenset()
        inside = or_(*((calls.c.cursor_at >= span.start) & (calls.c.cursor_at < span.end) for span in read))
        rows = self._connection.execute(
            select(calls.c.call_id).where(calls.c.connection == self._account.connection, calls.c.stream == stream, inside)
        )
        return frozenset(row.call_id for row in rows)

    def save_state(self, stream: str, state_: StreamState) -> None:
        """See `PageTransaction.save_state`."""
        values = {
            "high_water_mark": state_.high_water_mark,
            "coverage": _multirange(state_.coverage),
            "settled": _multirange(state_.settled),
            "horizon": state_.horizon,
            "domain_start": state_.start,
            "closed_at": state_.closed_at,
            "updated_at": func.now(),
        }
        statement = insert(state).values(connection=self._account.connection, stream=stream, **values)
        self._connection.execute(statement.on_conflict_do_update(index_elements=["connection", "stream"], set_=values))

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
        """See `PageTransaction.pin_organization`."""
        self._update_connection(pinned_organization=organization)

    def save_connection(self, *, capabilities: JSON, request_log: JSON) -> None:
        """See `PageTransaction.save_connection`."""
        self._update_connection(capabilities=capabilities, request_log=request_log)

    def save_counters(self, counters: Counters) -> None:
        """See `PageTransaction.save_counters`."""
        self._connection.execute(update(runs).where(runs.c.id == self._run_id).values(**counted(counters)))

    def _update_connection(self, **values: Any) -> None:
        self._connection.execute(update(connections).where(connections.c.connection == self._account.connection).values(**values))


def counted(counters: Counters) -> dict[str, object]:
    """Return the columns of `sync.runs` that a run counts."""
    return {name: getattr(counters, name) for name in Counters.__slots__}


@contextmanager
def behind_fence(database: Database, account: Account, run_id: int) -> Iterator[Connection]:
    """
    Open a transaction in which nobody else writes the connection; leaving the block commits.

    Raises FenceLost where another run has become the connection's owner, WarehouseError where the database fails.
    """
    with database.begin() as connection:
        owner = connection.execute(
            select(literal(1, BigInteger))
            .select_from(connections)
            .where(connections.c.connection == account.connection, connections.c.owner_run == run_id)
            .with_for_update()
        ).first()
        if owner is None:
            raise FenceLost(
                f"Connection {account.connection}: another run has taken over.",
                safe="This run stopped writing; what it had committed stays, and the other run continues from there.",
                hint="Nothing needs to be done.",
            )
        yield connection


@contextmanager
def page_transaction(database: Database, account: Account, run_id: int) -> Iterator[Page]:
    """Open a page's transaction at the fence; leaving the block commits. Raises what `behind_fence` raises."""
    with behind_fence(database, account, run_id) as connection:
        yield Page(connection, account, run_id)


def _multirange(spans: Spans) -> Multirange[datetime]:
    return Multirange([Range(span.start, span.end, "[)") for span in spans])


def spans_of(value: Any) -> Spans:
    """Return the spans of a multirange as it comes from the database."""
    return Spans((part.lower, part.upper) for part in value or ())
