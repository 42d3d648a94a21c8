"""
The statements that replace held rows by those in the session's temporary table (`touched.CHANGED`).

`etl.warehouse.loading.load` runs them.
"""

from __future__ import annotations

from datetime import datetime

from psycopg import sql
from sqlalchemy import ColumnElement, DateTime, Executable, bindparam, case, column, literal_column, select, table, text
from sqlalchemy.dialects.postgresql import insert

from etl.model import CallRow
from etl.warehouse.loading.touched import CHANGED
from etl.warehouse.tables import calls

COLUMNS = CallRow._fields
KEPT = frozenset({"connection", "call_id", "first_seen_at"})
"""The columns that an update does not touch."""

_RIGHT_AFTER: ColumnElement[datetime] = literal_column(
    "timezone('UTC', timezone('UTC', calls.last_changed_at) + interval '1 microsecond')"
)
"""
The next instant. By way of UTC, where what is added depends on no setting, and without a parameter: in what a conflict does, a
distributed table takes nothing else.
"""


def _upsert_statement() -> Executable:
    changed = table(CHANGED, *(column(name) for name in COLUMNS), schema="pg_temp")
    rows = select(*(changed.c[name] for name in COLUMNS), bindparam("now", type_=DateTime(timezone=True)))
    statement = insert(calls).from_select([*COLUMNS, "changed_at"], rows)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["connection", "call_id"],
        set_={name: new[name] for name in (*COLUMNS, "changed_at") if name not in KEPT}
        # Strictly increasing, so that versions in the history do not overlap.
        | {"last_changed_at": case((new.last_changed_at > calls.c.last_changed_at, new.last_changed_at), else_=_RIGHT_AFTER)},
        where=(calls.c.observed_at <= new.observed_at)
        & (calls.c.detail_observed_at.is_(None) | (calls.c.detail_observed_at <= new.detail_observed_at)),
    ).returning(calls.c.call_id)


UPSERT = _upsert_statement()
_RECORDS = {
    "raw": "coalesce(n.raw, c.raw)",
    "detail": "CASE WHEN n.raw IS NULL THEN c.detail ELSE n.detail END",
}
REWRITE = text(
    "UPDATE public.calls c SET "  # noqa: S608 - column names of ours
    + ", ".join(f"{name} = {_RECORDS.get(name, f'n.{name}')}" for name in COLUMNS if name not in ("connection", "call_id"))
    + f", changed_at = :now FROM pg_temp.{CHANGED} n"
    + " WHERE c.connection = :connection AND n.connection = c.connection AND n.call_id = c.call_id"
)
"""Rewrites rows in place. A null `raw` means that the held records are right: they are kept, and need not be sent."""

CREATE_CHANGED = sql.SQL(
    "CREATE TEMPORARY TABLE IF NOT EXISTS {} ON COMMIT DELETE ROWS AS SELECT {} FROM public.calls WITH NO DATA"
).format(sql.Identifier(CHANGED), sql.SQL(", ").join(map(sql.Identifier, COLUMNS)))
EMPTY_CHANGED = sql.SQL("DELETE FROM {}").format(sql.Identifier("pg_temp", CHANGED))
