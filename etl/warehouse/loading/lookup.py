"""Looks up what is held of a page's calls: for all of them whether they are unchanged, for the others their records."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import compress
from operator import attrgetter, eq, itemgetter, not_
from typing import Any, NamedTuple

import psycopg

from etl.coverage import Spans
from etl.model import Record
from etl.records.rows import Stored
from etl.runs.terms import Compared, Elsewhere
from etl.warehouse.loading.binary_copy import array
from etl.warehouse.tables import OPEN

# Whether the detail was observed after the list record and has another value of something that both know. A first look, made to
# pass over nearly all calls: keys that change without the call changing are left out, and `etl.records` decides about the rest.
_DISPUTED = """
CASE WHEN c.detail_observed_at >= c.observed_at AND jsonb_typeof(c.raw) = 'object' AND jsonb_typeof(c.detail) = 'object'
THEN EXISTS (
    SELECT FROM jsonb_each(c.raw) l JOIN jsonb_each(c.detail) d ON d.key = l.key
    WHERE l.value <> d.value AND l.value <> 'null' AND d.value <> 'null' AND l.key <> ALL(%s::text[])
)
ELSE false END
"""

# The limit makes the planner run the subquery for each id by the primary key. For a plain join it would, as long as it has no
# statistics, read all calls of the connection for every page; and that is so during the first backfill.
_LOOK_UP = f"""
SELECT asked.place, held.stream, held.status IN ({OPEN}),
    (held.content_hash <> asked.content_hash OR held.disputed) AND held.observed_at <= %s, held.cursor_at
FROM unnest(%s::text[], %s::bytea[]) WITH ORDINALITY AS asked (call_id, content_hash, place)
LEFT JOIN LATERAL (
    SELECT c.call_id, c.stream, c.content_hash, c.observed_at, c.status, c.cursor_at, {_DISPUTED} AS disputed
    FROM public.calls c WHERE c.connection = %s AND c.call_id = asked.call_id LIMIT 1
) held ON true
WHERE held.call_id IS NULL OR held.content_hash <> asked.content_hash OR held.stream <> %s OR held.status IN ({OPEN})
    OR held.disputed
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
SELECT c.call_id, c.content_hash, c.status IN ({OPEN}), {_DISPUTED}
FROM public.calls c
WHERE connection = %s AND stream = %s AND cursor_at >= %s AND cursor_at < %s
"""  # noqa: S608 - words of ours

# As text, so that records are decoded by our own decoder and not by the driver's.
_HELD = """
SELECT call_id, raw::text, observed_at, content_hash, detail::text, detail_observed_at, detail_due_at, detail_failures
FROM public.calls
WHERE connection = %s AND call_id = ANY(%s::text[])
"""


class Glimpse(NamedTuple):
    """The hashes of the calls held in a range of time, by call id, which of them are open, and whose detail says otherwise."""

    hashes: Mapping[str, bytes]
    open_ids: frozenset[str] = frozenset()
    disputed: frozenset[str] = frozenset()


def held_among(driver: psycopg.Connection[Any], connection: str, *, stream: str, call_ids: Collection[str]) -> frozenset[str]:
    """Return which of the ids are held in the stream."""
    return frozenset(row[0] for row in driver.execute(_ANY_HELD, (array(call_ids), connection, stream)).fetchall())


def held_in(driver: psycopg.Connection[Any], connection: str, *, stream: str, spans: Spans, volatile: Collection[str]) -> Glimpse:
    """Return a glimpse of a stream's calls whose cursors lie in `spans`."""
    keys = array(volatile)
    rows = [
        row for span in spans for row in driver.execute(_HELD_IN, (keys, connection, stream, span.start, span.end)).fetchall()
    ]
    return Glimpse(
        dict(map(itemgetter(0, 1), rows)),
        open_ids=frozenset([row[0] for row in rows if row[2]]),
        disputed=frozenset([row[0] for row in rows if row[3]]),
    )


def compare(
    driver: psycopg.Connection[Any],
    connection: str,
    records: Sequence[Record],
    glimpsed: Glimpse,
    *,
    stream: str,
    observed_at: datetime,
    volatile: Collection[str],
) -> Compared:
    """
    Compare records as `PageTransaction.compare` says. For most, a glimpse in this transaction shows that nothing changed.

    The database is asked about the rest, and returns rows only for those that are new, differ or are open.
    """
    held_as = map(glimpsed.hashes.get, map(attrgetter("call_id"), records))
    repeated = list(map(eq, held_as, map(attrgetter("digest"), records)))
    if glimpsed.disputed:
        repeated = [same and record.call_id not in glimpsed.disputed for same, record in zip(repeated, records, strict=True)]
    doubtful = list(compress(records, map(not_, repeated)))
    open_ids = set(glimpsed.open_ids.intersection(map(attrgetter("call_id"), compress(records, repeated))))
    new: list[Record] = []
    elsewhere: dict[str, tuple[Record, str, datetime]] = {}
    differing: dict[str, Record] = {}
    for place, held_stream, is_open, differs, cursor in _looked_up(
        driver, connection, doubtful, stream=stream, observed_at=observed_at, volatile=volatile
    ):
        record = doubtful[place - 1]
        if held_stream is None or record.call_id is None:
            new.append(record)
            continue
        if is_open:
            open_ids.add(record.call_id)
        if held_stream != stream:
            elsewhere[record.call_id] = (record, held_stream, cursor)
        elif differs:
            differing[record.call_id] = record
    stored = held(driver, connection, [*differing, *elsewhere])
    return Compared(
        new=new,
        elsewhere=[Elsewhere(*one, stored[call_id]) for call_id, one in elsewhere.items()],
        differing=[(record, stored[call_id]) for call_id, record in differing.items()],
        open_ids=frozenset(open_ids),
    )


def held(driver: psycopg.Connection[Any], connection: str, call_ids: Collection[str]) -> dict[str, Stored]:
    """Return the held records of these calls, by call id."""
    if not call_ids:
        return {}
    rows = driver.execute(_HELD, (connection, array(call_ids))).fetchall()
    return {call_id: Stored(*stored) for call_id, *stored in rows}


def _looked_up(
    driver: psycopg.Connection[Any],
    connection: str,
    records: Sequence[Record],
    *,
    stream: str,
    observed_at: datetime,
    volatile: Collection[str],
) -> Sequence[tuple[Any, ...]]:
    if not records:
        return ()
    ids = array([record.call_id or "" for record in records])
    hashes = array(["\\x" + record.digest.hex() for record in records])
    return driver.execute(_LOOK_UP, (observed_at, ids, hashes, array(volatile), connection, stream)).fetchall()
