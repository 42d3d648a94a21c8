"""Knows what is held of the calls on a page: enough of each to tell news from repetition, all of those that changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Connection, Text, func, select

from etl.coverage import Spans
from etl.model import Record
from etl.records.identify import identify
from etl.runs.account import Account
from etl.warehouse.loading.binary_copy import array
from etl.warehouse.tables import OPEN, calls, texts

# A subquery with a limit is run for each id, by the primary key. A plain join would be left to the planner, and that reads all
# calls of a connection for a page's ids as long as it has no statistics: during the first backfill, of all times.
_LOOK_UP = f"""
SELECT asked.place, held.stream, held.content_hash, held.observed_at, held.status
FROM unnest(%s::text[], %s::bytea[]) WITH ORDINALITY AS asked (call_id, content_hash, place)
LEFT JOIN LATERAL (
    SELECT c.call_id, c.stream, c.content_hash, c.observed_at, c.status
    FROM public.calls c WHERE c.connection = %s AND c.call_id = asked.call_id LIMIT 1
) held ON true
WHERE held.call_id IS NULL OR held.content_hash <> asked.content_hash OR held.stream <> %s OR held.status IN ({OPEN})
ORDER BY asked.place
"""  # noqa: S608 - words of ours

_ANY_HELD = """
SELECT held.call_id
FROM unnest(%s::text[]) AS asked (call_id)
CROSS JOIN LATERAL (
    SELECT c.call_id, c.stream FROM public.calls c WHERE c.connection = %s AND c.call_id = asked.call_id LIMIT 1
) held
WHERE held.stream = %s
"""

_HELD_IN = f"""
SELECT call_id, content_hash, status IN ({OPEN})
FROM public.calls
WHERE connection = %s AND stream = %s AND cursor_at >= %s AND cursor_at < %s
"""  # noqa: S608 - words of ours


class Known(NamedTuple):
    """What is held of a call: enough to tell whether a record of it is news."""

    stream: str
    content_hash: bytes
    observed_at: datetime
    status: str


class Glimpse(NamedTuple):
    """What is held in a stretch of time: enough to tell which records repeat it. By the calls' ids; and those that are open."""

    hashes: Mapping[str, bytes]
    open_ids: frozenset[str]


class Stored(NamedTuple):
    """A held call's own records, from which its row is derived anew."""

    raw: Record
    observed_at: datetime
    detail: Record | None
    detail_observed_at: datetime | None


def held_among(driver: psycopg.Connection[Any], connection: str, *, stream: str, call_ids: Collection[str]) -> frozenset[str]:
    """Return which of the ids are held in the stream."""
    return frozenset(row[0] for row in driver.execute(_ANY_HELD, (array(call_ids), connection, stream)).fetchall())


def held_in(driver: psycopg.Connection[Any], account: Account, *, stream: str, spans: Spans) -> Glimpse:
    """Return what is held of the calls of a stream whose cursors lie in `spans`."""
    name = account.connection
    rows = [row for span in spans for row in driver.execute(_HELD_IN, (name, stream, span.start, span.end)).fetchall()]
    return Glimpse(dict(map(itemgetter(0, 1), rows)), frozenset([row[0] for row in rows if row[2]]))


def look_up(
    driver: psycopg.Connection[Any], account: Account, *, stream: str, records: Sequence[Record]
) -> list[tuple[Record, Known | None]]:
    """
    Return, in their order, the records that are not held (with None) and those that differ from what is held, or are still open.

    A record that is not returned is held as it is, in this stream, and had ended: it need not travel back.
    """
    if not records:
        return []
    ids = array([record.call_id or "" for record in records])
    hashes = array(["\\x" + record.digest.hex() for record in records])
    rows = driver.execute(_LOOK_UP, (ids, hashes, account.connection, stream)).fetchall()
    return [(records[place - 1], None if held is None else Known(held, *others)) for place, held, *others in rows]


def stored(connection: Connection, account: Account, call_ids: Collection[str]) -> dict[str, Stored]:
    """Return the records that are held of these calls."""
    # As text: the records are decoded by the one decoder, whatever the driver would make of jsonb.
    rows = connection.execute(
        select(
            calls.c.call_id,
            calls.c.raw.cast(Text).label("raw"),
            calls.c.observed_at,
            calls.c.detail.cast(Text).label("detail"),
            calls.c.detail_observed_at,
            calls.c.content_hash,
        ).where(calls.c.connection == account.connection, calls.c.call_id == func.any(texts(call_ids)))
    )
    return {
        row.call_id: Stored(
            raw=_examined(account, row.raw)._replace(digest=bytes(row.content_hash)),
            observed_at=row.observed_at,
            detail=_examined(account, row.detail) if row.detail is not None else None,
            detail_observed_at=row.detail_observed_at,
        )
        for row in rows
    }


def _examined(account: Account, record: str) -> Record:
    return identify(account.provider, record.encode(), cleaned=False)
