"""
Reading while today is touched, faster; what is shown is the same.

- Peaks are computed only where they are asked for: which hours there are is told without them. What is sorted for a peak are the
  edges of one hour, as numbers, where all edges of all connections were sorted by four columns.
- Of the calls of the day before only those are looked at further that end after midnight.
- A week of pairs is found day by day, each call by its key, and of connections where somebody took part; and the schemas `public`
  and `masked` show the same view in `sync`, where `masked` had joined what `public` computes with the touched days once more.
- The planner expects few touched days, whatever it knows of their table, and looks up their calls by the index.
- A call occupies a line for 168 hours at most, where it was said as 7 days, which are worked out in the reader's own time zone.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

UNTOUCHED = "(connection, day) NOT IN (SELECT connection, day FROM sync.touched_days WHERE NOT people_only)"

# Always true, and what the planner takes for true of one row in two hundred. It expects 185 rows of this table where it was empty
# at the last VACUUM, and 1,850 before the first, and would rather read all calls than look up those of so many days.
FEW = "day = day + 0"
TOUCHED = f"(SELECT connection, day FROM sync.touched_days WHERE NOT people_only AND {FEW}) AS touched"

# With their first and last instant, worked out once for each and not for every call.
BOUNDS = f"""(
    SELECT connection, day, day::timestamp AT TIME ZONE sync.reporting_timezone() AS first_instant,
        (day + 1)::timestamp AT TIME ZONE sync.reporting_timezone() AS last_instant
    FROM sync.touched_days
    WHERE NOT people_only AND {FEW}
    OFFSET 0
) AS touched"""

OCCUPYING = """
CREATE VIEW sync.occupying_calls AS
SELECT
    connection, day, direction, is_test, is_long, began,
    CASE
        WHEN ended_at IS NULL AND status IN ('queued', 'ringing', 'in_progress', 'unknown')
        THEN date_trunc('hour', began, sync.reporting_timezone()) + interval '1 hour'
        ELSE least(
            coalesce(ended_at, occurred_at + duration_seconds * interval '1 second', occurred_at),
            occurred_at + interval '168 hours'
        )
    END AS ended,
    occurred_at, ended_at
FROM (
    SELECT
        connection, day, direction, is_test, status, occurred_at, ended_at, duration_seconds,
        -- Kept within the days that a write of the call marks as touched.
        CASE
            WHEN coalesce(started_at, answered_at) < occurred_at
            THEN greatest(coalesce(started_at, answered_at), day::timestamp AT TIME ZONE sync.reporting_timezone())
            ELSE least(coalesce(started_at, answered_at, occurred_at), occurred_at + interval '168 hours')
        END AS began,
        (
            greatest(ended_at, started_at, answered_at) - occurred_at > interval '22 hours' OR duration_seconds > 79200
        ) AS is_long
    FROM calls
    WHERE parent_call_id IS NULL
) AS calls
"""

OCCUPIED = """
CREATE OR REPLACE VIEW sync.occupied AS
SELECT connection, day, direction, is_test, is_long, began, ended FROM sync.occupying_calls
"""

KIND = "CASE {0}.direction WHEN 'inbound' THEN 2 WHEN 'outbound' THEN 4 ELSE 0 END + {0}.is_test::integer"
WITHIN = "least(greatest({}, touched.first_instant), touched.last_instant)"
MICROSECOND = f"round(date_part('epoch', {WITHIN} - touched.first_instant) * 1000000)::bigint"

OF_THE_DAY = "occupying.day = touched.day"
# What has ended by midnight is passed over before anything is worked out of it; `ended` is never after `ended_at`.
OF_THE_DAY_BEFORE = (
    "occupying.day = touched.day - 1 AND (occupying.ended_at IS NULL OR occupying.ended_at > touched.first_instant)"
)
LONG_AGO = "occupying.is_long AND occupying.day >= touched.day - 8 AND occupying.day < touched.day - 1"
LEAVES_ITS_HOUR = (
    "(occupying.began < date_bin('1 hour', occupying.occurred_at, touched.first_instant)"
    " OR occupying.ended > date_bin('1 hour', occupying.occurred_at, touched.first_instant) + interval '1 hour')"
)


def _met(kind: str, condition: str, *, of_the_day: str = OF_THE_DAY) -> str:
    """Return the calls that touched days are met by, and from which to which microsecond of the day."""
    return " UNION ALL ".join(
        f"""
        SELECT
            touched.connection, touched.day, touched.first_instant, {kind} AS kind,
            {MICROSECOND.format("occupying.began")} AS begins, {MICROSECOND.format("occupying.ended")} AS ends
        FROM {BOUNDS}
        JOIN sync.occupying_calls AS occupying ON occupying.connection = touched.connection AND {when}
        WHERE {condition}
        """
        for when in (of_the_day, OF_THE_DAY_BEFORE, LONG_AGO)
    )


def _swept(kind: str, condition: str) -> str:
    """
    Return for each hour of touched days, and each `kind` of calls (0 to 7), the most that went on at once, and the traffic.

    A call has two edges in each hour that it occupies, each one number: twice the microsecond of the day, and one more where it
    begins, so that an end comes first at the same instant. An edge belongs to the hour that it ends or begins in.
    """
    return f"""
        SELECT
            connection, day, kind, hour_number, first_instant, erlangs,
            (
                SELECT max(level)
                FROM (
                    SELECT sum(((edge & 1) * 2 - 1)::integer) OVER (ORDER BY edge ROWS UNBOUNDED PRECEDING) AS level
                    FROM unnest(edges) AS edge
                ) AS levels
            ) AS peak_concurrent
        FROM (
            SELECT
                connection, day, kind, (edge - 1 >> 1) / 3600000000 AS hour_number, min(first_instant) AS first_instant,
                array_agg(edge) AS edges,
                (sum(CASE WHEN edge & 1 = 1 THEN 1 - edge ELSE edge END) / 7200000000.0)::numeric(18, 6) AS erlangs
            FROM (
                SELECT
                    connection, day, first_instant, kind,
                    unnest(
                        CASE
                            WHEN ends <= begins THEN CAST('{{}}' AS bigint[])
                            WHEN begins / 3600000000 = (ends - 1) / 3600000000 THEN ARRAY[begins * 2 + 1, ends * 2]
                            ELSE ARRAY[begins * 2 + 1, ends * 2] || ARRAY(
                                SELECT (number >> 1) * 7200000000 + (number & 1)
                                FROM generate_series(2 * (begins / 3600000000) + 2, 2 * ((ends - 1) / 3600000000) + 1) AS number
                            )
                        END
                    ) AS edge
                FROM ({_met(kind, condition)}) AS met
            ) AS edges
            GROUP BY connection, day, kind, (edge - 1 >> 1) / 3600000000
        ) AS slots
    """


OF_HOURS = (
    "calls", "answered", "missed", "abandoned", "talk_seconds", "answer_wait_seconds", "answer_wait_calls", "answered_within_20s",
)  # fmt: skip

# The hours of touched days: those in which calls came, and those into which calls reach that came in another hour. Peaks are
# joined to them by a key that is unique there, so that the planner leaves them away where nobody asks for them.
HOURLY = f"""
CREATE OR REPLACE VIEW sync.hourly AS
SELECT
    connection, hour, nullif(direction, '') AS direction, is_test, day, {", ".join(OF_HOURS)}, peak_concurrent, erlangs
FROM sync.calls_hourly
WHERE {UNTOUCHED}
UNION ALL
SELECT
    hours.connection, hours.first_instant + hours.hour_number * interval '1 hour',
    CASE hours.kind & 6 WHEN 2 THEN 'inbound' WHEN 4 THEN 'outbound' END, hours.kind & 1 = 1, hours.day,
    {", ".join(f"hours.{name}" for name in OF_HOURS)},
    coalesce(swept.peak_concurrent, 0), coalesce(swept.erlangs, 0)::numeric(18, 6)
FROM (
    SELECT
        connection, day, kind, hour_number, min(first_instant) AS first_instant,
        {", ".join(f"sum({name})::bigint AS {name}" for name in OF_HOURS)}
    FROM (
        SELECT
            touched.connection, touched.day, min(touched.first_instant) AS first_instant, {KIND.format("facts")} AS kind,
            floor(date_part('epoch', facts.occurred_at - touched.first_instant) / 3600)::bigint AS hour_number,
            count(*) AS calls,
            count(*) FILTER (WHERE facts.is_answered) AS answered,
            count(*) FILTER (WHERE facts.is_missed) AS missed,
            count(*) FILTER (WHERE facts.is_abandoned) AS abandoned,
            coalesce(sum(facts.talk_seconds), 0)::bigint AS talk_seconds,
            coalesce(sum(facts.speed_of_answer_seconds), 0)::bigint AS answer_wait_seconds,
            count(facts.speed_of_answer_seconds) AS answer_wait_calls,
            count(*) FILTER (WHERE facts.speed_of_answer_seconds <= 20) AS answered_within_20s
        FROM {BOUNDS}
        JOIN call_facts AS facts ON facts.connection = touched.connection AND facts.day = touched.day AND NOT facts.is_leg
        GROUP BY touched.connection, touched.day, 4, 5
        UNION ALL
        SELECT
            connection, day, first_instant, kind,
            -- As an array few rows are expected of each call, as a series a thousand.
            unnest(ARRAY(SELECT generate_series(begins / 3600000000, (ends - 1) / 3600000000))),
            -- Of the same types as above: else both sides are worked out whole, whatever is asked for.
            0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint
        FROM ({_met(KIND.format("occupying"), "true", of_the_day=f"{OF_THE_DAY} AND {LEAVES_ITS_HOUR}")}) AS met
        WHERE ends > begins
    ) AS parts
    GROUP BY connection, day, kind, hour_number
) AS hours
LEFT JOIN ({_swept(KIND.format("occupying"), "true")}) AS swept
    ON swept.connection = hours.connection AND swept.day = hours.day AND swept.kind = hours.kind
    AND swept.hour_number = hours.hour_number
"""

LINES = f"""
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
    SELECT connection, first_instant + hour_number * interval '1 hour', day, peak_concurrent, erlangs
    FROM ({_swept("0", "NOT occupying.is_test")}) AS swept
) AS hourly
"""


OF_DAYS = ("calls_daily", "talk_time_daily")


def _key(text: str) -> str:
    """Return the key of a text, null for none: 32 hex digits of its salted hash (0008)."""
    return f"substr(encode(sha256((SELECT salt FROM sync.salt) || convert_to({text}, 'UTF8')), 'hex'), 1, 32)"


def _of_days(before: Any) -> tuple[str, ...]:
    """Return the views of 0007 in which nothing but the touched days is said otherwise."""
    return tuple(
        getattr(before, name.upper()).replace("CREATE VIEW ", "CREATE OR REPLACE VIEW public.").replace(before.TOUCHED, TOUCHED)
        for name in OF_DAYS
    )


def _agents(before: Any) -> tuple[str, ...]:
    counted = before.COUNTED
    return (
        f"""
        CREATE VIEW sync.agents_by_day AS
        SELECT
            connection, day, nullif(direction, '') AS direction, is_test, nullif(currency, '') AS currency,
            nullif(agent_id, '') AS agent_id, nullif(agent_key, '') AS agent_key, provider, {counted}
        FROM sync.agent_daily
        WHERE {UNTOUCHED}
        UNION ALL
        SELECT
            connection, day, direction, is_test, currency, agent_id, {_key("connection || ':' || agent_id")}, provider, {counted}
        FROM (
            SELECT
                touched.connection, touched.day, facts.direction, facts.is_test, facts.currency, facts.agent_id, {before.COUNTS}
            FROM {TOUCHED}
            JOIN call_facts AS facts ON facts.connection = touched.connection AND facts.day = touched.day
            GROUP BY touched.connection, touched.day, facts.direction, facts.is_test, facts.currency, facts.agent_id
        ) AS live
        """,
        f"""
        CREATE OR REPLACE VIEW public.agent_daily AS
        SELECT
            counted.connection, counted.day, counted.direction, counted.is_test, counted.currency, counted.agent_id,
            coalesce(agents.display_name, agents.name) AS agent_name, counted.provider, {counted}
        FROM sync.agents_by_day AS counted
        LEFT JOIN agents ON agents.connection = counted.connection AND agents.agent_id = counted.agent_id
        """,
        f"""
        CREATE OR REPLACE VIEW masked.agent_daily WITH (security_barrier = true) AS
        SELECT
            daily.connection, daily.day, daily.direction, daily.is_test, daily.currency,
            CASE WHEN NOT coalesce(known.agents_are_people, true) THEN daily.agent_id END AS agent_id,
            CASE WHEN NOT coalesce(known.agents_are_people, true) THEN coalesce(agents.display_name, agents.name) END
                AS agent_name,
            daily.agent_key, daily.provider, {", ".join(f"daily.{name}" for name in counted.split(", "))}
        FROM sync.agents_by_day AS daily
        LEFT JOIN public.agents ON agents.connection = daily.connection AND agents.agent_id = daily.agent_id
        LEFT JOIN sync.connections AS known ON known.connection = daily.connection
        """,
    )


# Of a connection without a participant nothing is read.
SOMEBODY = "EXISTS (SELECT FROM call_participants AS anybody WHERE anybody.connection = touched_days.connection)"
IN_CALLS = "calls, in_call_seconds, paired_seconds, solo_seconds, first_joined_at, last_left_at"


def _people(before: Any) -> tuple[str, ...]:
    _, _, live = before.PERSON_DAILY.partition("UNION ALL\nSELECT\n    connection, day, person, calls,")
    found = live.replace("FROM sync.touched_days AS touched JOIN", f"FROM {_touched('day')} JOIN")
    return (
        f"""
        CREATE VIEW sync.people_by_day AS
        SELECT connection, day, person, person_key, {IN_CALLS}
        FROM sync.person_daily
        WHERE (connection, day) NOT IN (SELECT connection, day FROM sync.touched_days)
        UNION ALL
        SELECT connection, day, person, {_key("person")}, calls,{found}
        """,
        f"CREATE OR REPLACE VIEW public.person_daily AS SELECT connection, day, person, {IN_CALLS} FROM sync.people_by_day",
        f"""
        CREATE OR REPLACE VIEW masked.person_daily WITH (security_barrier = true) AS
        SELECT connection, day, person_key, {IN_CALLS} FROM sync.people_by_day
        """,
    )


def _touched(what: str) -> str:
    return f"(SELECT DISTINCT connection, {what} FROM sync.touched_days WHERE {FEW} AND {SOMEBODY}) AS touched"


WEEK = "date_trunc('week', day::timestamp)::date"
# The participants of each call are looked up by its key and paired with one another: as a join the planner would read all there
# are for a week of calls. Of somebody who left and came back each stay is paired; what overlaps counts once.
PAIRS = f"""
CREATE VIEW sync.pairs_by_week AS
SELECT connection, week, person_a, person_b, person_a_key, person_b_key, calls, seconds_together
FROM sync.pair_weekly
WHERE (connection, week) NOT IN (SELECT connection, {WEEK} FROM sync.touched_days)
UNION ALL
SELECT
    connection, week, person_a, person_b, {_key("person_a")}, {_key("person_b")}, calls,
    (SELECT coalesce(floor(extract(epoch FROM sum(upper(one) - lower(one)))), 0)::bigint FROM unnest(together) AS one)
FROM (
    SELECT
        connection, week, person AS person_a, other AS person_b, count(DISTINCT call_id) AS calls,
        range_agg(stay * other_stay) AS together
    FROM (
        SELECT connection, week, call_id, person, stay, unnest(persons) AS other, unnest(stays) AS other_stay
        FROM (
            SELECT
                touched.connection, touched.week, calls.call_id, present.persons, present.stays,
                unnest(present.persons) AS person, unnest(present.stays) AS stay
            FROM {_touched(f"{WEEK} AS week")}
            CROSS JOIN (VALUES (0), (1), (2), (3), (4), (5), (6)) AS later (days)
            JOIN calls
                ON calls.connection = touched.connection AND calls.day = touched.week + later.days
                AND NOT calls.is_test AND calls.parent_call_id IS NULL
            CROSS JOIN LATERAL (
                SELECT part.connection, array_agg(part.person) AS persons, array_agg(part.stay) AS stays
                FROM (
                    SELECT
                        connection, call_id, nullif(lower(btrim(email)), '') AS person,
                        CASE WHEN left_at > joined_at AND isfinite(left_at) AND isfinite(joined_at)
                            THEN tstzrange(joined_at, left_at) END AS stay
                    FROM call_participants
                ) AS part
                WHERE part.connection = calls.connection AND part.call_id = calls.call_id AND part.person IS NOT NULL
                GROUP BY part.connection
                HAVING count(*) > 1
            ) AS present
        ) AS persons
    ) AS couples
    WHERE person < other COLLATE "C"
    GROUP BY connection, week, person, other
) AS pairs
"""
OF_PAIRS = "calls, seconds_together FROM sync.pairs_by_week"
TOGETHER = (
    f"CREATE OR REPLACE VIEW public.pair_weekly AS SELECT connection, week, person_a, person_b, {OF_PAIRS}",
    f"""
    CREATE OR REPLACE VIEW masked.pair_weekly WITH (security_barrier = true) AS
    SELECT connection, week, person_a_key, person_b_key, {OF_PAIRS}
    """,
)

NEW = {
    "occupying_calls": ("sync.occupied", "The view occupied with what tells early which calls reach into another hour or day"),
    "agents_by_day": ("public.agent_daily", "The view agent_daily without names, with the keys that the schema masked shows"),
    "people_by_day": ("public.person_daily", "The view person_daily with the keys that the schema masked shows"),
    "pairs_by_week": ("public.pair_weekly", "The view pair_weekly with the keys that the schema masked shows"),
}
"""The new views in `sync`: which other view explains their columns, and what they are."""

EXPLAINED = {
    "occurred_at": "Where the call stands on the time line: when it was created, else started, else ended",
    "ended_at": "When the call ended",
}
COLUMNS = """
SELECT mine.attname, coalesce(
    col_description(like_it.attrelid, like_it.attnum), col_description(masked.attrelid, masked.attnum)
) AS comment
FROM pg_attribute AS mine
LEFT JOIN pg_attribute AS like_it ON like_it.attrelid = CAST(:other AS regclass) AND like_it.attname = mine.attname
LEFT JOIN pg_attribute AS masked ON masked.attrelid = to_regclass(:masked) AND masked.attname = mine.attname
WHERE mine.attrelid = CAST(:view AS regclass) AND mine.attnum > 0
"""


def upgrade() -> None:
    """Make the views anew, in place; rights and comments stay."""
    before = _module("0007")
    op.execute(OCCUPYING)
    for statement in (OCCUPIED, HOURLY, LINES, *_of_days(before), *_agents(before), *_people(before), PAIRS, *TOGETHER):
        op.execute(statement)
    for name, (other, told) in NEW.items():
        _comment(f"VIEW sync.{name}", told)
        given = {"view": f"sync.{name}", "other": other, "masked": f"masked.{other.partition('.')[2]}"}
        for column, comment in op.get_bind().execute(sa.text(COLUMNS), given).all():
            _comment(f"COLUMN sync.{name}.{column}", comment or EXPLAINED[column])


def downgrade() -> None:
    """Make them as they were."""
    first, masked, last = _module("0007"), _module("0008"), _module("0012")
    for name in (*OF_DAYS, "agent_daily", "person_daily", "pair_weekly"):
        op.execute(getattr(first, name.upper()).replace("CREATE VIEW ", "CREATE OR REPLACE VIEW public."))
    for name in ("agent_daily", "person_daily", "pair_weekly"):
        op.execute(f"CREATE OR REPLACE VIEW masked.{name} WITH (security_barrier = true) AS {masked.VIEWS[name]}")
    op.execute(last._hourly(last.AFTER))  # noqa: SLF001 - of a migration
    op.execute(last._lines(last.AFTER))  # noqa: SLF001 - of a migration
    op.execute(first.OCCUPIED.replace("CREATE VIEW", "CREATE OR REPLACE VIEW"))
    for name in NEW:
        op.execute(f"DROP VIEW sync.{name}")


def _module(name: str) -> Any:
    """Return the migration of a name, in which a definition stands that this one takes over or brings back."""
    environment: Any = op.get_context().environment_context
    return environment.script.get_revision(name).module


def _comment(thing: str, comment: str) -> None:
    quoted = comment.replace("'", "''").replace("%", "%%")
    op.get_bind().exec_driver_sql(f"COMMENT ON {thing} IS '{quoted}'")
