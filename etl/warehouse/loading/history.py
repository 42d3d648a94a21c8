"""
Moves versions of calls to the history: when another version supersedes them, or the call is gone at its provider.

Runs inside a page's transaction. A version is valid from when it was observed (`last_changed_at`) until its successor, or the
call's absence, was observed; if both are the same instant, the later one is moved by a microsecond.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from etl.warehouse.loading.touched import CHANGED, mark_held

_NEXT_VERSION = """
    1 + coalesce(
        (SELECT max(h.version) FROM public.call_history h WHERE h.connection = c.connection AND h.call_id = c.call_id), 0)
"""
_KEPT = (
    "status, provider_status, occurred_at, direction, agent_id, duration_seconds, cost, currency, raw, detail, stream, "
    "cursor_at, observed_at, detail_observed_at, content_hash, first_seen_at"
)
_TAKEN = ", ".join(f"c.{name.strip()}" for name in _KEPT.split(","))

_SUPERSEDE = text(
    f"""
    INSERT INTO public.call_history (connection, call_id, version, changed_at, valid_from, valid_to, deleted, {_KEPT})
    SELECT c.connection, c.call_id, {_NEXT_VERSION}, CAST(:now AS timestamptz), c.last_changed_at,
           greatest(n.last_changed_at, c.last_changed_at + interval '1 microsecond'), false, {_TAKEN}
    FROM public.calls c
    JOIN pg_temp.{CHANGED} n ON n.connection = :connection AND n.call_id = c.call_id
    WHERE c.connection = :connection AND c.observed_at <= n.observed_at
      AND (c.detail_observed_at IS NULL OR c.detail_observed_at <= n.detail_observed_at)
    """  # noqa: S608 - column names of ours
)

_BURY = text(
    f"""
    INSERT INTO public.call_history AS buried (connection, call_id, version, changed_at, valid_from, valid_to, deleted, {_KEPT})
    SELECT c.connection, c.call_id, {_NEXT_VERSION}, CAST(:now AS timestamptz), c.last_changed_at,
           greatest(CAST(:gone_at AS timestamptz), c.last_changed_at + interval '1 microsecond'), true, {_TAKEN}
    FROM public.calls c
    WHERE c.connection = :connection AND c.call_id = ANY(:call_ids)
    RETURNING buried.call_id
    """  # noqa: S608 - column names of ours
).bindparams(bindparam("call_ids", type_=ARRAY(Text)))

CHILDREN = ("call_participants", "call_messages", "call_events")
"""The tables of calls' children."""

_DELETE = {
    name: text(
        f"DELETE FROM public.{name} WHERE connection = :connection AND call_id = ANY(:call_ids)"  # noqa: S608 - names of ours
    ).bindparams(bindparam("call_ids", type_=ARRAY(Text)))
    for name in (*CHILDREN, "calls")
}


def supersede(connection: Connection, name: str, *, now: datetime) -> None:
    """Copy the versions that the rows in the temporary table will replace to the history."""
    connection.execute(_SUPERSEDE, {"connection": name, "now": now})


def bury(connection: Connection, name: str, call_ids: Collection[str], *, gone_at: datetime, now: datetime) -> int:
    """Move calls to the history and delete their children; return how many were held."""
    mark_held(connection, name, call_ids)
    found = connection.execute(_BURY, {"connection": name, "call_ids": list(call_ids), "gone_at": gone_at, "now": now})
    buried = [row.call_id for row in found]
    if buried:
        delete_children(connection, name, buried)
        connection.execute(_DELETE["calls"], {"connection": name, "call_ids": buried})
    return len(buried)


def delete_children(connection: Connection, name: str, call_ids: Collection[str]) -> None:
    """Delete the children of these calls."""
    for child in CHILDREN:
        connection.execute(_DELETE[child], {"connection": name, "call_ids": list(call_ids)})
