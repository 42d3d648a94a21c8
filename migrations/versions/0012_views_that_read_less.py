"""
Reading views that read less, above all while days are touched; what they show is the same.

Which calls a touched day is met by was said as a range of days, `day - 1` to `day`. How many calls that is cannot be told from
statistics, and the planner could read all calls of the warehouse. Said as two days, each is found by the index on connection and
day. The key of `talk_time_daily` takes the count along: a range of days is then read from the index alone.
"""

from __future__ import annotations

from typing import NamedTuple

from alembic import op

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None

UNTOUCHED = "(connection, day) NOT IN (SELECT connection, day FROM sync.touched_days WHERE NOT people_only)"

BOUNDS = """(
    SELECT connection, day, day::timestamp AT TIME ZONE sync.reporting_timezone() AS first_instant,
        (day + 1)::timestamp AT TIME ZONE sync.reporting_timezone() AS last_instant
    FROM sync.touched_days
    WHERE NOT people_only
    OFFSET 0
) AS touched"""


class Form(NamedTuple):
    """How the views say which calls a touched day is met by, and the hour of what was counted."""

    met_by: str
    swept_hour: str
    counted_hour: str


_HOUR = "date_bin('1 hour', facts.occurred_at, touched.first_instant)"

BEFORE = Form(
    met_by=f"""
                            FROM {BOUNDS}
                            JOIN sync.occupied
                                ON occupied.connection = touched.connection
                                AND occupied.day >= touched.day - 1 AND occupied.day <= touched.day
    """,
    swept_hour="to_timestamp(slot >> 3)",
    counted_hour=_HOUR,
)
# The aggregates are there so that a condition on the hour is tried on the rows that come out and not on each call: Superset
# writes its instants as TO_TIMESTAMP('…', '…'), which is worked out anew every time.
AFTER = Form(
    met_by=f"""
                            FROM {BOUNDS}
                            CROSS JOIN (VALUES (0), (1)) AS earlier (days)
                            JOIN sync.occupied
                                ON occupied.connection = touched.connection AND occupied.day = touched.day - earlier.days
    """,
    swept_hour="to_timestamp(min(slot) >> 3)",
    counted_hour=f"min({_HOUR})",
)


def _swept(form: Form, condition: str, kind: str) -> str:
    """Return for each hour of touched days, and each `kind` of calls, the most that went on at once and the traffic (0007)."""
    return f"""
        SELECT
            connection, day, {form.swept_hour} AS hour, slot & 7 AS kind, max(level) AS peak_concurrent,
            (sum(CASE WHEN edge & 1 = 1 THEN 1 - edge ELSE edge END) / 7200000000.0)::numeric(18, 6) AS erlangs
        FROM (
            SELECT
                connection, day, slot, edge,
                sum(((edge & 1) * 2 - 1)::integer) OVER (
                    PARTITION BY slot, connection, day ORDER BY edge ROWS UNBOUNDED PRECEDING
                ) AS level
            FROM (
                SELECT
                    connection, day, first_slot + (edge_number >> 1) * 28800 AS slot,
                    CASE
                        WHEN edge_number = 0 THEN round(begins_after * 1000000)::bigint * 2 + 1
                        WHEN edge_number & 1 = 0 THEN 1
                        ELSE round(least(ends_after - (edge_number >> 1) * 3600, 3600) * 1000000)::bigint * 2
                    END AS edge
                FROM (
                    SELECT
                        connection, day, first_slot, begins_after, ends_after,
                        generate_series(0, 2 * floor((ends_after - 0.000001) / 3600)::integer + 1) AS edge_number
                    FROM (
                        SELECT
                            connection, day,
                            date_part('epoch', date_bin('1 hour', began, first_instant))::bigint * 8 + kind AS first_slot,
                            date_part('epoch', began - date_bin('1 hour', began, first_instant)) AS begins_after,
                            date_part('epoch', ended - date_bin('1 hour', began, first_instant)) AS ends_after
                        FROM (
                            SELECT touched.connection, touched.day, touched.first_instant, {kind} AS kind,
                                greatest(occupied.began, touched.first_instant) AS began,
                                least(occupied.ended, touched.last_instant) AS ended
                            {form.met_by}
                            WHERE {condition}
                            UNION ALL
                            SELECT touched.connection, touched.day, touched.first_instant, {kind},
                                greatest(occupied.began, touched.first_instant), least(occupied.ended, touched.last_instant)
                            FROM {BOUNDS}
                            JOIN sync.occupied
                                ON occupied.connection = touched.connection AND occupied.is_long
                                AND occupied.day >= touched.day - 8 AND occupied.day < touched.day - 1
                            WHERE {condition}
                        ) AS met
                        WHERE ended > began
                    ) AS placed
                ) AS numbered
            ) AS edges
        ) AS levels
        GROUP BY slot, connection, day
    """


KIND = "CASE occupied.direction WHEN 'inbound' THEN 2 WHEN 'outbound' THEN 4 ELSE 0 END + occupied.is_test::integer"


def _hourly(form: Form) -> str:
    return f"""
CREATE OR REPLACE VIEW sync.hourly AS
SELECT
    connection, hour, nullif(direction, '') AS direction, is_test, day, calls, answered, missed, abandoned, talk_seconds,
    answer_wait_seconds, answer_wait_calls, answered_within_20s, peak_concurrent, erlangs
FROM sync.calls_hourly
WHERE {UNTOUCHED}
UNION ALL
SELECT
    connection, hour, direction, is_test, day, sum(calls)::bigint, sum(answered)::bigint, sum(missed)::bigint,
    sum(abandoned)::bigint, sum(talk_seconds)::bigint, sum(answer_wait_seconds)::bigint, sum(answer_wait_calls)::bigint,
    sum(answered_within_20s)::bigint, max(peak_concurrent), sum(erlangs)::numeric(18, 6)
FROM (
    SELECT
        touched.connection, touched.day, {form.counted_hour} AS hour,
        facts.direction, facts.is_test,
        count(*) AS calls,
        count(*) FILTER (WHERE facts.is_answered) AS answered,
        count(*) FILTER (WHERE facts.is_missed) AS missed,
        count(*) FILTER (WHERE facts.is_abandoned) AS abandoned,
        coalesce(sum(facts.talk_seconds), 0) AS talk_seconds,
        coalesce(sum(facts.speed_of_answer_seconds), 0) AS answer_wait_seconds,
        count(facts.speed_of_answer_seconds) AS answer_wait_calls,
        count(*) FILTER (WHERE facts.speed_of_answer_seconds <= 20) AS answered_within_20s,
        0::bigint AS peak_concurrent,
        0::numeric AS erlangs
    FROM {BOUNDS}
    JOIN call_facts AS facts ON facts.connection = touched.connection AND facts.day = touched.day AND NOT facts.is_leg
    GROUP BY
        touched.connection, touched.day, date_bin('1 hour', facts.occurred_at, touched.first_instant), facts.direction,
        facts.is_test
    UNION ALL
    SELECT
        connection, day, hour, CASE kind & 6 WHEN 2 THEN 'inbound' WHEN 4 THEN 'outbound' END, kind & 1 = 1,
        0, 0, 0, 0, 0, 0, 0, 0, peak_concurrent, erlangs
    FROM ({_swept(form, "true", KIND)}) AS swept
) AS parts
GROUP BY connection, day, hour, direction, is_test
"""


def _lines(form: Form) -> str:
    return f"""
CREATE OR REPLACE VIEW public.lines_hourly AS
SELECT
    connection, hour, day,
    extract(hour FROM hour AT TIME ZONE sync.reporting_timezone())::integer AS local_hour,
    extract(isodow FROM day)::integer AS iso_weekday,
    peak_concurrent, erlangs
FROM (
    SELECT connection, hour, day, peak_concurrent, erlangs
    FROM sync.lines_hourly
    WHERE {UNTOUCHED}
    UNION ALL
    SELECT connection, hour, day, peak_concurrent, erlangs
    FROM ({_swept(form, "NOT occupied.is_test", "0")}) AS swept
) AS hourly
"""


KEY = "connection, day, direction, is_test, bucket"


def upgrade() -> None:
    """Say it as days, and take the count into the key."""
    op.execute(_hourly(AFTER))
    op.execute(_lines(AFTER))
    _replace_key("INCLUDE (calls)")


def downgrade() -> None:
    """Say it as a range again."""
    op.execute(_hourly(BEFORE))
    op.execute(_lines(BEFORE))
    _replace_key("")


def _replace_key(more: str) -> None:
    op.execute(
        "ALTER TABLE sync.talk_time_daily DROP CONSTRAINT talk_time_daily_pkey, "
        f"ADD CONSTRAINT talk_time_daily_pkey PRIMARY KEY ({KEY}) {more}"
    )
