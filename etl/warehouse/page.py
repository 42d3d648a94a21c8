"""Knows one page's transaction: fence first, then rows, rejects, drift, state and counters; commits all of it or nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.multirange import Multirange
from psycopg.types.range import Range
from sqlalchemy import BigInteger, Connection, Text, bindparam, func, literal, not_, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from etl.coverage import Spans
from etl.errors import FenceLost
from etl.model import JSON, AgentRow, Record
from etl.run import Account, Counters, Loaded
from etl.state import StreamState
from etl.warehouse.database import Database
from etl.warehouse.load import Loader
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

    def load(self, *, stream: str, records: Sequence[Record], observed_at: datetime, covered: Spans) -> Loaded:
        """See `PageTransaction.load`."""
        return self._loader.load(stream=stream, records=records, observed_at=observed_at, covered=covered)

    def load_detail(self, *, stream: str, call_id: str, detail: Record, observed_at: datetime) -> Loaded:
        """See `PageTransaction.load_detail`."""
        return self._loader.load_detail(stream=stream, call_id=call_id, detail=detail, observed_at=observed_at)

    def missing(self, *, stream: str, read: Spans, seen: Collection[str]) -> tuple[int, int]:
        """See `PageTransaction.missing`."""
        if not read:
            return 0, 0
        inside = or_(*((calls.c.cursor_at >= span.start) & (calls.c.cursor_at < span.end) for span in read))
        known = calls.c.call_id == func.any(bindparam("seen", list(seen), ARRAY(Text)))
        row = self._connection.execute(
            select(func.count(), func.count().filter(not_(known))).where(
                calls.c.connection == self._account.connection, calls.c.stream == stream, inside
            )
        ).one()
        return row[0], row[1]

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
def page_transaction(database: Database, account: Account, run_id: int) -> Iterator[Page]:
    """
    Open a page's transaction at the fence; leaving the block commits.

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
        yield Page(connection, account, run_id)


def _multirange(spans: Spans) -> Multirange[datetime]:
    return Multirange([Range(span.start, span.end, "[)") for span in spans])


def spans_of(value: Any) -> Spans:
    """Return the spans of a multirange as it comes from the database."""
    return Spans((part.lower, part.upper) for part in value or ())
