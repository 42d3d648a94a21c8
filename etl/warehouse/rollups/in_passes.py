"""
Makes the roll-ups of calls of many days in two passes over the calls, where their reading views would take five.

The first pass counts calls by all that any roll-up tells apart, so that each of them is a sum over few rows; what a word such as
`is_missed` means stands in `call_facts` alone. The second finds the most calls that went on at once. An audit compares what is
stored with what the views compute, and the tests do after every batch of writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import Connection, Date, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from etl.warehouse.tables.rollups import OF_CALLS, calls_daily, keyed

LONGEST = 8
"""How many days before a day the calls may have begun that still go on in it."""

SPAN = 36_500
"""How many days the first and the last day may be apart: further apart, an edge does not fit into the number that is sorted."""

_BEFORE = 20 * 86_400_000_000
"""Microseconds that are added to the distance from the first day, so that what lies before it has a positive number too."""

_KIND = "CASE direction WHEN 'inbound' THEN 2 WHEN 'outbound' THEN 4 ELSE 0 END + is_test::integer"
_LINES = 6
"""The kind of all calls but tests; it is swept where there are several kinds of them."""

_COUNT = """
    CREATE TEMPORARY TABLE counted_calls ON COMMIT DROP AS
    SELECT
        touched.day, date_bin('1 hour', facts.occurred_at, touched.first_instant) AS hour,
        facts.direction, facts.is_test, facts.currency, facts.agent_id, facts.provider, facts.status, facts.is_leg, facts.is_open,
        facts.is_answered, facts.is_missed, facts.is_abandoned,
        CASE
            WHEN facts.talk_seconds < 60 THEN facts.talk_seconds::integer
            ELSE 60 + floor(ln(facts.talk_seconds / 60::float8) / ln(1.04::float8))::integer
        END AS bucket,
        count(*) AS calls,
        coalesce(sum(facts.talk_seconds), 0)::bigint AS talk_seconds,
        coalesce(sum(facts.duration_seconds), 0)::bigint AS duration_seconds,
        coalesce(sum(facts.speed_of_answer_seconds), 0)::bigint AS waited_seconds,
        count(facts.speed_of_answer_seconds) AS waited,
        count(*) FILTER (WHERE facts.speed_of_answer_seconds <= 20) AS waited_little,
        sum(facts.cost) AS cost
    FROM (
        SELECT day, day::timestamp AT TIME ZONE sync.reporting_timezone() AS first_instant
        FROM unnest(CAST(:days AS date[])) AS day
        OFFSET 0
    ) AS touched
    JOIN public.call_facts AS facts ON facts.connection = :connection AND facts.day = touched.day
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14
"""


def _sum(name: str, condition: str = "true") -> str:
    return f"coalesce(sum({name}) FILTER (WHERE NOT is_leg AND {condition}), 0)::bigint"


_SUMS = {
    "calls": _sum("calls"),
    "open_calls": _sum("calls", "is_open"),
    "answered": _sum("calls", "is_answered"),
    **{
        status: _sum("calls", f"status = '{status}'")
        for status in ("completed", "busy", "no_answer", "failed", "canceled", "rejected", "voicemail", "unknown")
    },
    "missed": _sum("calls", "is_missed"),
    "abandoned": _sum("calls", "is_abandoned"),
    "short_calls": _sum("calls", "bucket < 10"),
    "talk_seconds": _sum("talk_seconds"),
    "duration_seconds": _sum("duration_seconds", "is_answered"),
    "answer_wait_seconds": _sum("waited_seconds"),
    "answer_wait_calls": _sum("waited"),
    "answered_within_20s": _sum("waited_little"),
    "provider": "max(provider)",
    "cost": "sum(cost)::numeric(38, 6)",
}
"""How the columns of a roll-up are made of the counted calls."""

_OF_HOURS = (
    "calls", "answered", "missed", "abandoned", "talk_seconds", "answer_wait_seconds", "answer_wait_calls", "answered_within_20s",
)  # fmt: skip

# What is sorted is one number for each edge of a call: its kind in the highest bits, the microsecond, and in the lowest two bits
# the order at one instant: an end, a marker at the beginning of each hour, a beginning. Calls are not cut at hours or at
# midnight: over all edges in this order the running sum is the number of calls going on, and zero again after each kind.
# At a marker it is what went on from the hour before. The last marker stands where the last day has ended, and takes what is
# beyond it (and what comes before the first marker of the next kind), which belongs to no touched hour.
_SWEEP = f"""
    CREATE TEMPORARY TABLE swept_hours ON COMMIT DROP AS
    WITH hours AS MATERIALIZED (
        SELECT
            days.day, began AS hour, began < days.ends AS is_hour,
            round(date_part('epoch', began - CAST(:base AS timestamptz)) * 1000000)::bigint + {_BEFORE} AS at,
            round(date_part('epoch', least(began + interval '1 hour', days.ends) - began) * 1000000)::bigint AS lasts
        FROM (
            SELECT
                day, day::timestamp AT TIME ZONE sync.reporting_timezone() AS begins,
                (day + 1)::timestamp AT TIME ZONE sync.reporting_timezone() AS ends
            FROM unnest(CAST(:days AS date[])) AS day
        ) AS days
        CROSS JOIN LATERAL (
            SELECT generate_series(days.begins, days.ends, interval '1 hour') UNION SELECT days.ends
        ) AS began (began)
    ),
    occupied AS MATERIALIZED (
        SELECT
            {_KIND} AS kind,
            round(date_part('epoch', began - CAST(:base AS timestamptz)) * 1000000)::bigint + {_BEFORE} AS began,
            round(date_part('epoch', ended - CAST(:base AS timestamptz)) * 1000000)::bigint + {_BEFORE} AS ended
        FROM (
            SELECT direction, is_test, began, ended
            FROM sync.occupied
            WHERE connection = :connection AND day = ANY(CAST(:near AS date[]))
            UNION ALL
            SELECT direction, is_test, began, ended
            FROM sync.occupied
            WHERE connection = :connection AND day = ANY(CAST(:far AS date[])) AND is_long
        ) AS met
        WHERE ended > began
    ),
    kinds AS MATERIALIZED (
        SELECT kind FROM occupied GROUP BY kind
    ),
    swept AS MATERIALIZED (
        SELECT kind FROM kinds
        UNION ALL
        SELECT {_LINES} WHERE (SELECT count(*) > 1 FROM kinds WHERE kind & 1 = 0)
    ),
    edges AS (
        SELECT (kind::bigint << 56) + began * 4 + 2 AS key, 1 AS change FROM occupied
        UNION ALL
        SELECT (kind::bigint << 56) + ended * 4, -1 FROM occupied
        UNION ALL
        SELECT ({_LINES}::bigint << 56) + edge, change
        FROM occupied
        CROSS JOIN LATERAL (VALUES (began * 4 + 2, 1), (ended * 4, -1)) AS both_ends (edge, change)
        WHERE kind & 1 = 0 AND (SELECT count(*) > 1 FROM kinds WHERE kind & 1 = 0)
        UNION ALL
        SELECT DISTINCT (swept.kind::bigint << 56) + hours.at * 4 + 1, 0
        FROM swept
        CROSS JOIN hours
    )
    SELECT
        hours.day, hours.hour, (marker >> 56)::integer AS kind, peak,
        ((carried * hours.lasts + (changed * hours.lasts - moved)) / 3600000000.0)::numeric(18, 6) AS erlangs
    FROM (
        SELECT
            marker, max(level) AS peak, max(level) FILTER (WHERE change = 0) AS carried, sum(change) AS changed,
            sum(change * ((key >> 2) - (marker >> 2))) AS moved
        FROM (
            SELECT
                key, change, sum(change) OVER ordered AS level, max(CASE WHEN change = 0 THEN key END) OVER ordered AS marker
            FROM edges
            WINDOW ordered AS (ORDER BY key ROWS UNBOUNDED PRECEDING)
        ) AS levels
        GROUP BY marker
    ) AS found
    JOIN hours ON hours.is_hour AND hours.at = (found.marker & ((1::bigint << 56) - 1)) >> 2
    WHERE peak > 0
"""  # noqa: S608 - words of ours

_DAILY_KEYS = "day, coalesce(direction, '') AS direction, is_test, coalesce(currency, '') AS currency"
_DAILY = ", ".join(column.name for column in calls_daily.columns if column.name in _SUMS)

_REMOVE = tuple(f"DELETE FROM sync.{table.name} WHERE connection = :connection AND day = ANY(:days)" for table in OF_CALLS)  # noqa: S608
_STORE = (
    f"""
    INSERT INTO sync.calls_daily (connection, day, direction, is_test, currency, {_DAILY})
    SELECT CAST(:connection AS text), {_DAILY_KEYS}, {", ".join(_SUMS[name] for name in _DAILY.split(", "))}
    FROM pg_temp.counted_calls
    GROUP BY 2, 3, 4, 5
    """,  # noqa: S608 - words of ours
    f"""
    INSERT INTO sync.agent_daily (connection, day, direction, is_test, currency, agent_id, {_DAILY}, agent_key)
    SELECT connection, day, direction, is_test, currency, coalesce(agent_id, ''), {_DAILY}, {keyed("agent_key")}
    FROM (
        SELECT
            CAST(:connection AS text) AS connection, {_DAILY_KEYS}, agent_id,
            {", ".join(f"{_SUMS[name]} AS {name}" for name in _DAILY.split(", "))}
        FROM pg_temp.counted_calls
        GROUP BY 2, 3, 4, 5, 6
    ) AS counted
    """,  # noqa: S608 - words of ours
    f"""
    INSERT INTO sync.calls_hourly (connection, day, hour, direction, is_test, {", ".join(_OF_HOURS)}, peak_concurrent, erlangs)
    SELECT
        CAST(:connection AS text), day, hour, direction, is_test, {", ".join(f"sum({name})" for name in _OF_HOURS)}, sum(peak),
        sum(erlangs)
    FROM (
        SELECT
            day, hour, coalesce(direction, '') AS direction, is_test,
            {", ".join(f"{_SUMS[name]} AS {name}" for name in _OF_HOURS)},
            0 AS peak, 0 AS erlangs
        FROM pg_temp.counted_calls
        WHERE NOT is_leg
        GROUP BY 1, 2, 3, 4
        UNION ALL
        SELECT
            day, hour, CASE kind & 6 WHEN 2 THEN 'inbound' WHEN 4 THEN 'outbound' ELSE '' END, kind & 1 = 1,
            {", ".join("0" for _ in _OF_HOURS)}, peak, erlangs
        FROM pg_temp.swept_hours
        WHERE kind < {_LINES}
    ) AS parts
    GROUP BY 2, 3, 4, 5
    """,  # noqa: S608 - words of ours
    f"""
    INSERT INTO sync.lines_hourly (connection, day, hour, peak_concurrent, erlangs)
    SELECT CAST(:connection AS text), day, hour, peak, erlangs
    FROM pg_temp.swept_hours
    WHERE kind = {_LINES}
        OR kind & 1 = 0 AND NOT EXISTS (SELECT FROM pg_temp.swept_hours WHERE kind = {_LINES})
    """,  # noqa: S608 - words of ours
    """
    INSERT INTO sync.talk_time_daily (connection, day, direction, is_test, bucket, calls)
    SELECT CAST(:connection AS text), day, coalesce(direction, ''), is_test, bucket, sum(calls)
    FROM pg_temp.counted_calls
    WHERE NOT is_leg AND bucket IS NOT NULL
    GROUP BY 2, 3, 4, 5
    """,
)

_LEAVE = ("DROP TABLE pg_temp.counted_calls, pg_temp.swept_hours",)


def _prepared(statement: str) -> TextClause:
    names = [name for name in ("days", "near", "far") if f":{name}" in statement]
    return text(statement).bindparams(*(bindparam(name, type_=ARRAY(Date)) for name in names))


_FIND = tuple(map(_prepared, (_COUNT, _SWEEP)))
_FORGET = tuple(
    map(_prepared, (f"DELETE FROM pg_temp.{found} WHERE day <> ALL(:days)" for found in ("counted_calls", "swept_hours")))  # noqa: S608
)
_REPLACE = tuple(map(_prepared, (*_REMOVE, *_STORE, *_LEAVE)))


def find(session: Connection, name: str, days: Sequence[date]) -> None:
    """
    Work out the roll-ups of calls of these days of a connection, and keep them in the session's temporary tables.

    The days are at most `SPAN` apart. Nothing is written that others see.
    """
    near = {day - timedelta(days=back) for day in days for back in (0, 1) if day.toordinal() > back}
    far = {day - timedelta(days=back) for day in days for back in range(2, LONGEST + 1) if day.toordinal() > back} - near
    values = {
        "connection": name,
        "days": sorted(days),
        "near": sorted(near),
        "far": sorted(far),
        "base": datetime.combine(min(days), time(), UTC),
    }
    for statement in _FIND:
        session.execute(statement, values)


def store(session: Connection, name: str, days: Sequence[date], *, found: Sequence[date]) -> None:
    """Replace what is stored of these days by what was found, which was more days or the same."""
    forgotten = _FORGET if len(days) < len(found) else ()
    for statement in (*forgotten, *_REPLACE):
        session.execute(statement, {"connection": name, "days": list(days)})
