"""
The statements at the beginning and end of every page's transaction: the fence, and saving the run's progress.

They are handed to the driver as they are, because building them for every page took as long as running them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import LiteralString, NamedTuple

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, DateTime, func

from etl.warehouse.database import driver_of

Columns = tuple[str, ...]

INSTANT = func.transaction_timestamp(type_=DateTime(timezone=True))
"""
The database's clock, to be selected. Statements that write are given this instant instead of calling a function themselves: so a
transaction writes one instant everywhere, and distributed tables accept the statements.
"""

NOW = "SELECT transaction_timestamp()"
"""The same in words."""

_FENCE = f"""
{NOW}, erasures, erase_calls_before, erase_words_before
FROM sync.connections WHERE connection = %s AND owner_run = %s FOR UPDATE
"""


_LOOK = _FENCE.replace("AND owner_run = %s FOR UPDATE", "")


class Standing(NamedTuple):
    """A connection as the fence finds it: the transaction's instant by the database's clock, and what is erased of its calls."""

    now: datetime
    erasures: int = 0
    calls_before: datetime | None = None
    words_before: datetime | None = None


def take(connection: Connection, name: str, run_id: int) -> Standing | None:
    """
    Lock a connection's row if the run is its owner, so that nobody else writes to the connection until the commit.

    Returns how the connection stands, or None if another run is the owner.
    """
    row = driver_of(connection).execute(_FENCE, (name, run_id)).fetchone()
    return None if row is None else Standing(*row)


def look(connection: Connection, name: str) -> Standing:
    """Return how a connection stands, known or not, without keeping anybody from writing to it."""
    row = driver_of(connection).execute(_LOOK, (name,)).fetchone()
    if row is not None:
        return Standing(*row)
    (now,) = driver_of(connection).execute(NOW).fetchone() or (None,)
    return Standing(now)


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
    if "c_capabilities" in values:
        values["c_capabilities"] = Jsonb(values["c_capabilities"])
    driver_of(connection).execute(statement, values)


@lru_cache
def _finishing(state_columns: Columns, run_columns: Columns, connection_columns: Columns) -> LiteralString | None:
    """Return the statement for columns whose names are ours."""
    statements = []
    if state_columns:
        given = ", ".join(f"%(s_{column})s" for column in state_columns)
        kept = ", ".join(f"{column} = excluded.{column}" for column in (*state_columns, "updated_at") if column != "stream")
        statements.append(
            f"INSERT INTO sync.state (connection, updated_at, {', '.join(state_columns)}) "  # noqa: S608 - as above
            f"VALUES (%(at_name)s, %(at_now)s, {given}) ON CONFLICT (connection, stream) DO UPDATE SET {kept}"
        )
    if run_columns:
        statements.append(f"UPDATE sync.runs SET {_set('r', run_columns)} WHERE id = %(at_run)s")  # noqa: S608 - as above
    if connection_columns:
        kept_here = _set("c", connection_columns)
        statements.append(f"UPDATE sync.connections SET {kept_here} WHERE connection = %(at_name)s")  # noqa: S608 - as above
    if not statements:
        return None
    *others, last = statements
    before = ", ".join(f"other_{place} AS ({other})" for place, other in enumerate(others))
    return f"WITH {before} {last}" if before else last


def _set(prefix: str, columns: Columns) -> str:
    return ", ".join(f"{column} = %({prefix}_{column})s" for column in columns)
