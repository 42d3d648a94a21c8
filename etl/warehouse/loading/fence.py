"""
The statements at the beginning and end of every page's transaction: the fence, and saving the run's progress.

Each is built once, because building a statement for every page took as long as running it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, DateTime, Insert, Update, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from etl.warehouse.tables import connections, runs, state

Columns = tuple[str, ...]

INSTANT = func.transaction_timestamp(type_=DateTime(timezone=True))
"""
The database's clock, to be selected. Statements that write are given this instant instead of calling a function themselves: so a
transaction writes one instant everywhere, and distributed tables accept the statements.
"""


class Standing(NamedTuple):
    """A connection as the fence finds it: the transaction's instant by the database's clock, and what is erased of its calls."""

    now: datetime
    erasures: int = 0
    calls_before: datetime | None = None
    words_before: datetime | None = None


_FENCE = (
    select(INSTANT, connections.c.erasures, connections.c.erase_calls_before, connections.c.erase_words_before)
    .select_from(connections)
    .where(connections.c.connection == bindparam("name"), connections.c.owner_run == bindparam("run"))
    .with_for_update()
)


def take(connection: Connection, name: str, run_id: int) -> Standing | None:
    """
    Lock a connection's row if the run is its owner, so that nobody else writes to the connection until the commit.

    Returns how the connection stands, or None if another run is the owner.
    """
    found = connection.execute(_FENCE, {"name": name, "run": run_id}).first()
    return None if found is None else Standing(*found)


def finish(
    connection: Connection,
    name: str,
    run_id: int,
    *,
    now: datetime,
    state_values: Mapping[str, object],
    run_values: Mapping[str, object],
    connection_values: Mapping[str, object],
) -> None:
    """Write the given columns of a stream's row in `sync.state`, the run's row and the connection's, in one statement."""
    statement = _finishing(tuple(state_values), tuple(run_values), tuple(connection_values))
    if statement is None:
        return
    values: dict[str, object] = {"at_name": name, "at_run": run_id, "at_now": now}
    for prefix, given in (("s", state_values), ("r", run_values), ("c", connection_values)):
        values |= {f"{prefix}_{column}": value for column, value in given.items()}
    connection.execute(statement, values)


@lru_cache
def _finishing(
    state_columns: tuple[str, ...], run_columns: tuple[str, ...], connection_columns: tuple[str, ...]
) -> Update | Insert | None:
    statements: list[Update | Insert] = []
    if state_columns:
        given = _parameters("s", state_columns)
        saved = insert(state).values(connection=bindparam("at_name"), updated_at=bindparam("at_now"), **given)
        kept = {column: saved.excluded[column] for column in (*state_columns, "updated_at") if column != "stream"}
        statements.append(saved.on_conflict_do_update(index_elements=["connection", "stream"], set_=kept))
    if run_columns:
        statements.append(update(runs).where(runs.c.id == bindparam("at_run")).values(_parameters("r", run_columns)))
    if connection_columns:
        kept_here = update(connections).where(connections.c.connection == bindparam("at_name"))
        statements.append(kept_here.values(_parameters("c", connection_columns)))
    if not statements:
        return None
    *others, last = statements
    return last.add_cte(*(other.cte(f"other_{place}") for place, other in enumerate(others)))


def _parameters(prefix: str, columns: Columns) -> dict[str, Any]:
    return {column: bindparam(f"{prefix}_{column}") for column in columns}
