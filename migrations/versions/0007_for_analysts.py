"""
For analysts and dashboards: facts and metrics defined once, and roll-ups that are made again from the days that a write touched.

The definitions stand in the views; `sync` holds the stored rows of days that nothing has touched since they were made.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)

LONG = "greatest(ended_at, started_at, answered_at) - occurred_at > '22:00:00'::interval OR duration_seconds > 79200"

METRICS = {
    "calls": "Calls; legs (parent_call_id is not null) are not counted",
    "open_calls": "Calls that had not ended: queued, ringing, in_progress, and unknown words",
    "answered": "Calls with an answered_at, or whose status is in_progress or completed",
    "completed": "Calls whose status is completed",
    "missed": "Inbound calls that ended and were not answered",
    "abandoned": "Inbound calls whose status is canceled: the caller gave up",
    "busy": "Calls whose status is busy",
    "no_answer": "Calls whose status is no_answer",
    "failed": "Calls whose status is failed",
    "canceled": "Calls whose status is canceled, in either direction",
    "rejected": "Calls whose status is rejected",
    "voicemail": "Calls whose status is voicemail",
    "unknown": "Calls whose status is a word that this program does not know",
    "short_calls": "Answered calls with less than 10 seconds of talk",
    "talk_seconds": "Seconds of talk: from answered_at to ended_at, else duration_seconds, of answered calls",
    "duration_seconds": "The provider's durations of answered calls, in seconds",
    "answer_wait_seconds": "Seconds from ringing_at, else created_at, to answered_at; divide by answer_wait_calls",
    "answer_wait_calls": "Calls of which these seconds are known",
    "answered_within_20s": (
        "Calls of which they are known to be 20 at most: the service level 80/20 divides by answer_wait_calls"
    ),
    "peak_concurrent": "The largest number of calls going on at one instant of the hour",
    "in_call_seconds": "Seconds in calls; what overlaps counts once",
    "paired_seconds": "Seconds in a call together with another participant; what overlaps counts once",
    "solo_seconds": "Seconds alone in a call: in_call_seconds without paired_seconds",
    "seconds_together": "Seconds that both were in a call together; what overlaps counts once",
}

RECOMMENTED = {
    "COLUMN calls.from_address": (
        ("Who called: a phone number in E.164 form (+14155550123) where it is a valid one, else as the provider gives it"),
        "Personal: who called, a phone number in E.164 form (+14155550123) where it is valid, else as given",
    ),
    "COLUMN calls.to_address": (
        ("Who was called: a phone number in E.164 form (+14155550123) where it is a valid one, else as the provider gives it"),
        ("Personal: who was called, a phone number in E.164 form (+14155550123) where it is valid, else as given"),
    ),
    "COLUMN calls.end_reason": (
        "Why the call ended, in the provider's own words",
        "Personal: why the call ended, in the provider's own words",
    ),
    "COLUMN calls.error_reason": (
        "What went wrong with the call, in the provider's own words",
        "Personal: what went wrong with the call, in the provider's own words",
    ),
    "COLUMN calls.recording_url": (
        "Where the recording was last offered for download; such an address may have expired",
        "Personal: where the recording was last offered for download; such an address may have expired",
    ),
    "COLUMN calls.transcript": (
        "What was said, as one text, where the provider gives it so",
        "Personal: what was said, as one text, where the provider gives it so",
    ),
    "COLUMN calls.attributes": (
        "What only this provider knows about the call, by the provider's own names",
        "Personal: what only this provider knows about the call, by the provider's own names",
    ),
    "COLUMN calls.raw": (
        "The call exactly as the provider last listed it",
        "Personal: the call exactly as the provider last listed it",
    ),
    "COLUMN calls.detail": (
        ("The call exactly as the provider last gave it when asked for this call alone; null where it was not asked"),
        ("Personal: the call exactly as the provider last gave it when asked for this call alone; null where it was not asked"),
    ),
    "COLUMN calls.last_changed_at": (
        "When this warehouse first saw the call as it stands here; select by it to follow changes",
        "When this warehouse first saw the call as it stands here. To copy calls on, see call_changes",
    ),
    "COLUMN call_participants.email": (
        "The e-mail address of the participant; null for a guest without a user",
        "Personal: the e-mail address of the participant; null for a guest without a user",
    ),
    "COLUMN call_messages.text": (
        "What was said; null where the provider gives no text, such as for an attachment alone",
        "Personal: what was said; null where the provider gives no text, such as for an attachment alone",
    ),
    "COLUMN call_events.data": (
        "The event as the provider gave it, whole",
        "Personal: the event as the provider gave it, whole",
    ),
    "COLUMN call_history.raw": (
        "The call as the provider listed it",
        "Personal: the call as the provider listed it",
    ),
    "COLUMN call_history.detail": (
        "The call as the provider gave it when asked for this call alone; null where it was not asked",
        ("Personal: the call as the provider gave it when asked for this call alone; null where it was not asked"),
    ),
    "TABLE agents": (
        "One row per voice agent, where a provider keeps the calls of each agent apart",
        "One row per voice agent or endpoint: those that a provider lists, and all that calls name",
    ),
    "COLUMN agents.name": (
        "The name of the agent, as the provider last gave it",
        "Personal: the name of the agent, as the provider last gave it",
    ),
    "COLUMN sync.runs.kind": (
        "What the run did: sync, repair (etl audit --repair) or replay (etl replay)",
        ("What the run did: sync, repair (etl audit --repair), replay (etl replay) or rebuild (etl rollups rebuild)"),
    ),
    "COLUMN sync.rejected_records.raw_text": (
        "The record as the provider sent it; may hold personal data",
        "Personal: the record as the provider sent it",
    ),
}

REPORTING = """
CREATE FUNCTION public.reporting_timezone() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN sync.reporting_timezone();
CREATE FUNCTION public.reporting_today() RETURNS date LANGUAGE sql STABLE PARALLEL SAFE
RETURN (now() AT TIME ZONE sync.reporting_timezone())::date;
CREATE FUNCTION sync.compatible_from() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '0.2.0'::text
"""

CALL_FACTS = """
CREATE VIEW call_facts AS
SELECT
    answers.connection,
    answers.call_id,
    answers.connection || ':' || answers.call_id AS call_key,
    answers.provider,
    answers.parent_call_id IS NOT NULL AS is_leg,
    answers.occurred_at,
    answers.day,
    extract(hour FROM answers.occurred_at AT TIME ZONE sync.reporting_timezone())::integer AS local_hour,
    extract(isodow FROM answers.day)::integer AS iso_weekday,
    answers.direction,
    answers.status,
    answers.is_test,
    answers.status IN ('queued', 'ringing', 'in_progress', 'unknown') AS is_open,
    answers.is_answered,
    coalesce(answers.direction = 'inbound' AND NOT answers.is_answered, false) AS is_missed,
    coalesce(answers.direction = 'inbound' AND answers.status = 'canceled', false) AS is_abandoned,
    coalesce(answers.talk_seconds < 10, false) AS is_short_call,
    answers.talk_seconds,
    CASE
        WHEN isfinite(answers.answered_at) AND isfinite(coalesce(answers.ringing_at, answers.created_at))
            AND answers.answered_at >= coalesce(answers.ringing_at, answers.created_at)
        THEN floor(extract(epoch FROM answers.answered_at - coalesce(answers.ringing_at, answers.created_at)))::bigint
    END AS speed_of_answer_seconds,
    answers.duration_seconds,
    CASE answers.direction WHEN 'inbound' THEN answers.to_address WHEN 'outbound' THEN answers.from_address END AS our_number,
    CASE answers.direction WHEN 'inbound' THEN answers.from_address WHEN 'outbound' THEN answers.to_address END
        AS customer_number,
    answers.agent_id,
    coalesce(agents.display_name, agents.name) AS agent_name,
    CASE WHEN abs(answers.cost) <= 100000000000 THEN round(answers.cost, 6) END::numeric(18, 6) AS cost,
    answers.currency,
    answers.end_reason,
    answers.error_reason,
    answers.latency_ms,
    coalesce(answers.recording_url <> '', false) AS has_recording,
    coalesce(answers.transcript <> '', false) OR EXISTS (
        SELECT FROM call_messages AS message
        WHERE message.connection = answers.connection AND message.call_id = answers.call_id
    ) AS has_transcript
FROM (
    SELECT
        judged.*,
        CASE
            WHEN NOT coalesce(judged.is_answered, false) THEN NULL
            WHEN judged.answered_at IS NOT NULL AND judged.ended_at IS NOT NULL THEN
                CASE
                    WHEN isfinite(judged.answered_at) AND isfinite(judged.ended_at) AND judged.ended_at >= judged.answered_at
                    THEN floor(extract(epoch FROM judged.ended_at - judged.answered_at))::bigint
                END
            WHEN judged.duration_seconds >= 0 THEN judged.duration_seconds::bigint
        END AS talk_seconds
    FROM (
        SELECT
            calls.*,
            CASE
                WHEN answered_at IS NOT NULL OR status IN ('in_progress', 'completed') THEN true
                WHEN status IN ('queued', 'ringing', 'unknown') THEN NULL
                ELSE false
            END AS is_answered
        FROM calls
    ) AS judged
) AS answers
LEFT JOIN agents ON agents.connection = answers.connection AND agents.agent_id = answers.agent_id
"""

COUNTS = """
    max(facts.provider) AS provider,
    count(*) FILTER (WHERE NOT facts.is_leg) AS calls,
    count(*) FILTER (WHERE NOT facts.is_leg AND facts.is_open) AS open_calls,
    count(*) FILTER (WHERE NOT facts.is_leg AND facts.is_answered) AS answered,
    count(*) FILTER (WHERE NOT facts.is_leg AND facts.status = 'completed') AS completed,
    count(*) FILTER (WHERE NOT facts.is_leg AND facts.is_missed) AS missed,
    count(*) FILTER (WHERE NOT facts.is_leg AND facts.is_abandoned) AS abandoned,
    count(*) FILTER (WHERE NOT facts.is_leg AND facts.status = 'busy') AS busy,
    count(*) FILTER (WHERE NOT facts.is_leg AND facts.status = 'no_answer') AS no_answer,
    count(*) FILTER (WHERE NOT facts.is_leg AND facts.status = 'failed') AS failed,
    count(*) FILTER (WHERE NOT facts.is_leg AND facts.status = 'canceled') AS canceled,
    count(*) FILTER (WHERE NOT facts.is_leg AND facts.status = 'rejected') AS rejected,
    count(*) FILTER (WHERE NOT facts.is_leg AND facts.status = 'voicemail') AS voicemail,
    count(*) FILTER (WHERE NOT facts.is_leg AND facts.status = 'unknown') AS unknown,
    count(*) FILTER (WHERE NOT facts.is_leg AND facts.talk_seconds < 10) AS short_calls,
    coalesce(sum(facts.talk_seconds) FILTER (WHERE NOT facts.is_leg), 0)::bigint AS talk_seconds,
    coalesce(sum(facts.duration_seconds) FILTER (WHERE NOT facts.is_leg AND facts.is_answered), 0)::bigint AS duration_seconds,
    coalesce(sum(facts.speed_of_answer_seconds) FILTER (WHERE NOT facts.is_leg), 0)::bigint AS answer_wait_seconds,
    count(facts.speed_of_answer_seconds) FILTER (WHERE NOT facts.is_leg) AS answer_wait_calls,
    count(*) FILTER (WHERE NOT facts.is_leg AND facts.speed_of_answer_seconds <= 20) AS answered_within_20s,
    sum(facts.cost)::numeric(38, 6) AS cost
"""

COUNTED = (
    "calls, open_calls, answered, completed, missed, abandoned, busy, no_answer, failed, canceled, rejected, voicemail, unknown, "
    "short_calls, talk_seconds, duration_seconds, answer_wait_seconds, answer_wait_calls, answered_within_20s, cost"
)

# The untouched days as they are stored, the touched ones computed. With keys that are never null the planner hashes the touched
# days; NOT EXISTS and LEFT JOIN became merge joins that took twice as long.
UNTOUCHED = "(connection, day) NOT IN (SELECT connection, day FROM sync.touched_days WHERE NOT people_only)"
TOUCHED = "(SELECT connection, day FROM sync.touched_days WHERE NOT people_only) AS touched"

CALLS_DAILY = f"""
CREATE VIEW calls_daily AS
SELECT connection, day, nullif(direction, '') AS direction, is_test, nullif(currency, '') AS currency, provider, {COUNTED}
FROM sync.calls_daily
WHERE {UNTOUCHED}
UNION ALL
SELECT touched.connection, touched.day, facts.direction, facts.is_test, facts.currency, {COUNTS}
FROM {TOUCHED}
JOIN call_facts AS facts ON facts.connection = touched.connection AND facts.day = touched.day
GROUP BY touched.connection, touched.day, facts.direction, facts.is_test, facts.currency
"""

AGENT_DAILY = f"""
CREATE VIEW agent_daily AS
SELECT
    counted.connection, counted.day, counted.direction, counted.is_test, counted.currency, counted.agent_id,
    coalesce(agents.display_name, agents.name) AS agent_name, counted.provider, {COUNTED}
FROM (
    SELECT
        connection, day, nullif(direction, '') AS direction, is_test, nullif(currency, '') AS currency,
        nullif(agent_id, '') AS agent_id, provider, {COUNTED}
    FROM sync.agent_daily
    WHERE {UNTOUCHED}
    UNION ALL
    SELECT touched.connection, touched.day, facts.direction, facts.is_test, facts.currency, facts.agent_id, {COUNTS}
    FROM {TOUCHED}
    JOIN call_facts AS facts ON facts.connection = touched.connection AND facts.day = touched.day
    GROUP BY touched.connection, touched.day, facts.direction, facts.is_test, facts.currency, facts.agent_id
) AS counted
LEFT JOIN agents ON agents.connection = counted.connection AND agents.agent_id = counted.agent_id
"""

OCCUPIED = """
CREATE VIEW sync.occupied AS
SELECT
    connection,
    day,
    direction,
    is_test,
    is_long,
    began,
    CASE
        WHEN ended_at IS NULL AND status IN ('queued', 'ringing', 'in_progress', 'unknown')
        THEN date_trunc('hour', began, sync.reporting_timezone()) + interval '1 hour'
        ELSE least(
            coalesce(ended_at, occurred_at + duration_seconds * interval '1 second', occurred_at),
            occurred_at + interval '7 days'
        )
    END AS ended
FROM (
    SELECT
        connection, day, direction, is_test, status, occurred_at, ended_at, duration_seconds,
        -- Kept within the days that a write of the call marks as touched.
        CASE
            WHEN coalesce(started_at, answered_at) < occurred_at
            THEN greatest(coalesce(started_at, answered_at), day::timestamp AT TIME ZONE sync.reporting_timezone())
            ELSE least(coalesce(started_at, answered_at, occurred_at), occurred_at + interval '7 days')
        END AS began,
        (
            greatest(ended_at, started_at, answered_at) - occurred_at > interval '22 hours' OR duration_seconds > 79200
        ) AS is_long
    FROM calls
    WHERE parent_call_id IS NULL
) AS calls
"""

# The touched days with their first and last instant, worked out once for each and not for every call.
TOUCHED_BOUNDS = """(
    SELECT connection, day, day::timestamp AT TIME ZONE sync.reporting_timezone() AS first_instant,
        (day + 1)::timestamp AT TIME ZONE sync.reporting_timezone() AS last_instant
    FROM sync.touched_days
    WHERE NOT people_only
    OFFSET 0
) AS touched"""


def _swept(condition: str, kind: str) -> str:
    """
    Return for each hour of touched days, and each `kind` of calls (0 to 7), the most that went on at once, and the traffic.

    What is sorted are two numbers, several times faster than texts and instants: the hour with the kind, and the microsecond in
    the hour with a bit, by which an end comes before a beginning at the same instant. A call has two edges in each hour that it
    occupies: at even places of `edge_number` it begins, or goes on from the hour before. A day is met by its own calls, those of
    the day before, and the few that last longer.
    """
    return f"""
        SELECT
            connection, day, slot, max(level) AS peak_concurrent,
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
                            FROM {TOUCHED_BOUNDS}
                            JOIN sync.occupied
                                ON occupied.connection = touched.connection
                                AND occupied.day >= touched.day - 1 AND occupied.day <= touched.day
                            WHERE {condition}
                            UNION ALL
                            SELECT touched.connection, touched.day, touched.first_instant, {kind},
                                greatest(occupied.began, touched.first_instant), least(occupied.ended, touched.last_instant)
                            FROM {TOUCHED_BOUNDS}
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

# With the traffic of each kind, from which that of all lines can be told where calls are of one kind.
HOURLY = f"""
CREATE VIEW sync.hourly AS
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
        touched.connection, touched.day, date_bin('1 hour', facts.occurred_at, touched.first_instant) AS hour,
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
    FROM {TOUCHED_BOUNDS}
    JOIN call_facts AS facts ON facts.connection = touched.connection AND facts.day = touched.day AND NOT facts.is_leg
    GROUP BY
        touched.connection, touched.day, date_bin('1 hour', facts.occurred_at, touched.first_instant), facts.direction,
        facts.is_test
    UNION ALL
    SELECT
        connection, day, to_timestamp(slot >> 3), CASE slot & 6 WHEN 2 THEN 'inbound' WHEN 4 THEN 'outbound' END, slot & 1 = 1,
        0, 0, 0, 0, 0, 0, 0, 0, peak_concurrent, erlangs
    FROM ({_swept("true", KIND)}) AS swept
) AS parts
GROUP BY connection, day, hour, direction, is_test
"""

CALLS_HOURLY = """
CREATE VIEW calls_hourly AS
SELECT
    connection, hour, direction, is_test, day,
    extract(hour FROM hour AT TIME ZONE sync.reporting_timezone())::integer AS local_hour,
    extract(isodow FROM day)::integer AS iso_weekday,
    calls, answered, missed, abandoned, talk_seconds, answer_wait_seconds, answer_wait_calls, answered_within_20s,
    peak_concurrent
FROM sync.hourly
"""

LINES_HOURLY = f"""
CREATE VIEW lines_hourly AS
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
    SELECT connection, to_timestamp(slot >> 3), day, peak_concurrent, erlangs
    FROM ({_swept("NOT occupied.is_test", "0")}) AS swept
) AS hourly
"""

BOUNDS = """
    CASE WHEN bucket < 60 THEN bucket ELSE ceil(60 * power(1.04::float8, bucket - 60))::bigint END AS from_seconds,
    CASE WHEN bucket < 60 THEN bucket ELSE ceil(60 * power(1.04::float8, bucket - 59))::bigint - 1 END AS to_seconds
"""

TALK_TIME_DAILY = f"""
CREATE VIEW talk_time_daily AS
SELECT connection, day, direction, is_test, bucket, {BOUNDS}, calls
FROM (
    SELECT connection, day, nullif(direction, '') AS direction, is_test, bucket, calls
    FROM sync.talk_time_daily
    WHERE {UNTOUCHED}
    UNION ALL
    SELECT connection, day, direction, is_test, bucket, count(*)
    FROM (
        SELECT
            touched.connection, touched.day, facts.direction, facts.is_test,
            CASE
                WHEN facts.talk_seconds < 60 THEN facts.talk_seconds::integer
                ELSE 60 + floor(ln(facts.talk_seconds / 60::float8) / ln(1.04::float8))::integer
            END AS bucket
        FROM {TOUCHED}
        JOIN call_facts AS facts ON facts.connection = touched.connection AND facts.day = touched.day
        WHERE facts.talk_seconds IS NOT NULL AND NOT facts.is_leg
    ) AS talks
    GROUP BY connection, day, direction, is_test, bucket
) AS buckets
"""

TALK_TIME_MONTHLY = f"""
CREATE VIEW talk_time_monthly AS
SELECT connection, month, direction, is_test, bucket, {BOUNDS}, calls
FROM (
    SELECT connection, month, nullif(direction, '') AS direction, is_test, bucket, calls
    FROM sync.talk_time_monthly
    WHERE (connection, month) NOT IN (
        SELECT connection, date_trunc('month', day::timestamp)::date FROM sync.touched_days WHERE NOT people_only
    )
    UNION ALL
    SELECT touched.connection, touched.month, daily.direction, daily.is_test, daily.bucket, sum(daily.calls)::bigint
    FROM (
        SELECT DISTINCT connection, date_trunc('month', day::timestamp)::date AS month
        FROM sync.touched_days
        WHERE NOT people_only
    ) AS touched
    JOIN talk_time_daily AS daily
        ON daily.connection = touched.connection AND daily.day >= touched.month
        AND daily.day < (touched.month + interval '1 month')::date
    GROUP BY touched.connection, touched.month, daily.direction, daily.is_test, daily.bucket
) AS buckets
"""

# Who is in which call, and when: no tests, no legs. `person` is null for a guest; `who` tells guests apart.
PRESENT = """
    SELECT
        calls.connection, calls.day, calls.call_id, part.joined_at, part.left_at,
        nullif(lower(btrim(part.email)), '') AS person,
        coalesce('p:' || nullif(lower(btrim(part.email)), ''), 'g:' || part.participant_id) AS who,
        CASE WHEN part.left_at > part.joined_at AND isfinite(part.left_at) AND isfinite(part.joined_at)
            THEN tstzrange(part.joined_at, part.left_at) END AS stay
    FROM calls
    JOIN call_participants AS part ON part.connection = calls.connection AND part.call_id = calls.call_id
    WHERE NOT calls.is_test AND calls.parent_call_id IS NULL
"""

PERSON_DAILY = f"""
CREATE VIEW person_daily AS
SELECT connection, day, person, calls, in_call_seconds, paired_seconds, solo_seconds, first_joined_at, last_left_at
FROM sync.person_daily
WHERE (connection, day) NOT IN (SELECT connection, day FROM sync.touched_days)
UNION ALL
SELECT
    connection, day, person, calls, in_call_seconds, paired_seconds, in_call_seconds - paired_seconds, first_joined_at,
    last_left_at
FROM (
    SELECT
        connection, day, person, calls, first_joined_at, last_left_at,
        (
            SELECT coalesce(floor(sum(extract(epoch FROM upper(one) - lower(one)))), 0)::bigint FROM unnest(present) AS one
        ) AS in_call_seconds,
        (
            SELECT coalesce(floor(sum(extract(epoch FROM upper(one) - lower(one)))), 0)::bigint FROM unnest(paired) AS one
        ) AS paired_seconds
    FROM (
        SELECT
            stays.connection, stays.day, stays.person,
            count(DISTINCT stays.call_id) AS calls,
            min(stays.joined_at) AS first_joined_at,
            max(stays.left_at) AS last_left_at,
            range_agg(stays.stay) AS present,
            range_agg(shared.part) AS paired
        FROM (
            SELECT
                present.*,
                range_agg(present.stay) OVER (
                    PARTITION BY present.connection, present.day, present.call_id
                    ORDER BY present.who
                    RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE GROUP
                ) AS others
            FROM (
                SELECT present.* FROM sync.touched_days AS touched JOIN ({PRESENT}) AS present
                ON present.connection = touched.connection AND present.day = touched.day
            ) AS present
        ) AS stays
        LEFT JOIN LATERAL unnest(tstzmultirange(stays.stay) * stays.others) AS shared (part) ON true
        WHERE stays.person IS NOT NULL
        GROUP BY stays.connection, stays.day, stays.person
    ) AS persons
) AS timed
"""

PAIR_WEEKLY = f"""
CREATE VIEW pair_weekly AS
SELECT connection, week, person_a, person_b, calls, seconds_together
FROM sync.pair_weekly
WHERE (connection, week) NOT IN (SELECT connection, date_trunc('week', day::timestamp)::date FROM sync.touched_days)
UNION ALL
SELECT
    connection, week, person_a, person_b, calls,
    (SELECT coalesce(floor(sum(extract(epoch FROM upper(one) - lower(one)))), 0)::bigint FROM unnest(together) AS one)
FROM (
    SELECT
        shared.connection, shared.week, shared.person_a, shared.person_b,
        count(DISTINCT shared.call_id) AS calls,
        range_agg(meeting.part) AS together
    FROM (
        SELECT
            listed.connection, listed.week, listed.call_id, listed.persons[a] AS person_a, listed.persons[b] AS person_b,
            listed.stays[a] * listed.stays[b] AS both_there
        FROM (
            SELECT
                connection, week, call_id,
                array_agg(person ORDER BY person COLLATE "C") AS persons,
                array_agg(stays ORDER BY person COLLATE "C") AS stays
            FROM (
                SELECT touched.connection, touched.week, present.call_id, present.person, range_agg(present.stay) AS stays
                FROM (
                    SELECT DISTINCT connection, date_trunc('week', day::timestamp)::date AS week FROM sync.touched_days
                ) AS touched
                JOIN ({PRESENT}) AS present
                    ON present.connection = touched.connection AND present.day >= touched.week
                    AND present.day < touched.week + 7 AND present.person IS NOT NULL
                GROUP BY touched.connection, touched.week, present.call_id, present.person
            ) AS persons
            GROUP BY connection, week, call_id
            HAVING count(*) > 1
        ) AS listed
        CROSS JOIN LATERAL generate_series(1, cardinality(listed.persons)) AS a
        CROSS JOIN LATERAL generate_series(a + 1, cardinality(listed.persons)) AS b
    ) AS shared
    LEFT JOIN LATERAL unnest(shared.both_there) AS meeting (part) ON true
    GROUP BY shared.connection, shared.week, shared.person_a, shared.person_b
) AS pairs
"""

CALL_CHANGES = """
CREATE VIEW call_changes AS
SELECT connection, call_id, changed_at, false AS is_deleted FROM calls
UNION ALL
SELECT gone.connection, gone.call_id, gone.changed_at, true
FROM call_history AS gone
WHERE
    gone.deleted
    AND NOT EXISTS (
        SELECT FROM call_history AS later
        WHERE later.connection = gone.connection AND later.call_id = gone.call_id AND later.version > gone.version
    )
    AND NOT EXISTS (SELECT FROM calls WHERE calls.connection = gone.connection AND calls.call_id = gone.call_id)
"""

CALL_VERSIONS = """
CREATE OR REPLACE VIEW call_versions AS
SELECT
    connection, call_id, version, status, provider_status, raw, detail, valid_from, valid_to, deleted, occurred_at, direction,
    agent_id, duration_seconds, cost, currency
FROM call_history
UNION ALL
SELECT
    calls.connection,
    calls.call_id,
    coalesce(
        (
            SELECT max(earlier.version)
            FROM call_history AS earlier
            WHERE earlier.connection = calls.connection AND earlier.call_id = calls.call_id
        ),
        0
    ) + 1,
    calls.status,
    calls.provider_status,
    calls.raw,
    calls.detail,
    calls.last_changed_at,
    NULL,
    false,
    calls.occurred_at,
    calls.direction,
    calls.agent_id,
    calls.duration_seconds,
    calls.cost,
    calls.currency
FROM calls
"""

DELETED_CALLS = """
CREATE OR REPLACE VIEW deleted_calls AS
SELECT
    gone.connection,
    gone.call_id,
    connections.provider,
    gone.status,
    gone.raw,
    gone.detail,
    gone.first_seen_at,
    gone.valid_to AS deleted_at,
    gone.occurred_at,
    gone.direction,
    gone.agent_id,
    gone.duration_seconds,
    gone.cost,
    gone.currency
FROM call_history AS gone
LEFT JOIN sync.connections ON connections.connection = gone.connection
WHERE
    gone.deleted
    AND NOT EXISTS (
        SELECT FROM call_history AS later
        WHERE later.connection = gone.connection AND later.call_id = gone.call_id AND later.version > gone.version
    )
    AND NOT EXISTS (SELECT FROM calls WHERE calls.connection = gone.connection AND calls.call_id = gone.call_id)
"""

DATA_FRESHNESS_BEFORE = """
CREATE VIEW data_freshness AS
WITH reach AS (
    SELECT
        connection,
        stream,
        high_water_mark,
        coverage,
        horizon,
        closed_at,
        -- Where holes begin to count. Below the horizon only what lies above the oldest range ever read is a hole: there was
        -- something, and it can be had no more. Without a horizon the past was not read to its end: all of it is a hole.
        CASE WHEN horizon IS NULL THEN domain_start ELSE greatest(domain_start, least(lower(coverage), horizon)) END AS beginning
    FROM sync.state
),
streams AS (
    SELECT
        reach.connection,
        high_water_mark,
        upper(coverage) AS fresh_until,
        closed_at,
        horizon,
        CASE
            WHEN isempty(coverage) OR beginning >= upper(coverage) THEN '{}'::tstzmultirange
            ELSE tstzmultirange(tstzrange(beginning, upper(coverage))) - coverage
        END AS holes
    FROM reach
),
judged AS (
    -- A range without a lower bound, up to the horizon; without a horizon nothing is lost.
    SELECT *, CASE WHEN horizon IS NULL THEN '{}' ELSE holes * tstzmultirange(tstzrange(NULL, horizon)) END AS lost FROM streams
),
-- An agent that is gone is read no further, so its stream says nothing about freshness; its holes stay holes.
summary AS (
    SELECT
        connection,
        min(fresh_until) FILTER (WHERE closed_at IS NULL) AS fresh_until,
        count(*) FILTER (WHERE closed_at IS NULL AND fresh_until IS NULL) AS unread,
        min(high_water_mark) FILTER (WHERE closed_at IS NULL) AS complete_until,
        count(*) FILTER (WHERE closed_at IS NULL AND high_water_mark IS NULL) AS incomplete,
        sum((SELECT count(*) FROM unnest(holes))) AS gaps,
        sum((SELECT count(*) FROM unnest(lost))) AS unclosable_gaps
    FROM judged
    GROUP BY connection
)
SELECT
    connections.connection,
    connections.provider,
    (
        SELECT runs.finished_at
        FROM sync.runs
        WHERE runs.connection = connections.connection AND runs.status = 'succeeded' AND runs.kind = 'sync'
        ORDER BY runs.id DESC
        LIMIT 1
    ) AS last_success,
    CASE WHEN unread = 0 THEN fresh_until END AS fresh_until,
    CASE WHEN incomplete = 0 THEN complete_until END AS complete_until,
    CASE WHEN unread = 0 THEN now() - fresh_until END AS lag,
    coalesce(gaps, 0)::bigint AS gaps,
    coalesce(unclosable_gaps, 0)::bigint AS unclosable_gaps,
    (SELECT count(*) FROM calls c WHERE c.connection = connections.connection AND c.status
        IN ('queued', 'ringing', 'in_progress', 'unknown')) AS open_calls,
    (SELECT count(*) FROM calls c WHERE c.connection = connections.connection AND c.detail_due_at IS NOT NULL) AS details_due,
    (SELECT count(*) FROM calls c WHERE c.connection = connections.connection AND c.detail_failures > 0) AS details_failing
FROM sync.connections
LEFT JOIN summary ON summary.connection = connections.connection
"""

DATA_FRESHNESS = """
CREATE VIEW data_freshness AS
WITH reach AS (
    SELECT
        connection,
        stream,
        high_water_mark,
        coverage,
        horizon,
        closed_at,
        -- Where holes begin to count. Below the horizon only what lies above the oldest range ever read is a hole: there was
        -- something, and it can be had no more. Without a horizon the past was not read to its end: all of it is a hole.
        CASE WHEN horizon IS NULL THEN domain_start ELSE greatest(domain_start, least(lower(coverage), horizon)) END AS beginning
    FROM sync.state
),
streams AS (
    SELECT
        reach.connection,
        high_water_mark,
        upper(coverage) AS fresh_until,
        closed_at,
        horizon,
        CASE
            WHEN isempty(coverage) OR beginning >= upper(coverage) THEN '{}'::tstzmultirange
            ELSE tstzmultirange(tstzrange(beginning, upper(coverage))) - coverage
        END AS holes
    FROM reach
),
judged AS (
    -- A range without a lower bound, up to the horizon; without a horizon nothing is lost.
    SELECT *, CASE WHEN horizon IS NULL THEN '{}' ELSE holes * tstzmultirange(tstzrange(NULL, horizon)) END AS lost FROM streams
),
-- An agent that is gone is read no further, so its stream says nothing about freshness; its holes stay holes.
summary AS (
    SELECT
        connection,
        min(fresh_until) FILTER (WHERE closed_at IS NULL) AS fresh_until,
        count(*) FILTER (WHERE closed_at IS NULL AND fresh_until IS NULL) AS unread,
        min(high_water_mark) FILTER (WHERE closed_at IS NULL) AS complete_until,
        count(*) FILTER (WHERE closed_at IS NULL AND high_water_mark IS NULL) AS incomplete,
        sum((SELECT count(*) FROM unnest(holes))) AS gaps,
        sum((SELECT count(*) FROM unnest(lost))) AS unclosable_gaps
    FROM judged
    GROUP BY connection
)
SELECT
    connections.connection,
    connections.provider,
    (
        SELECT runs.finished_at
        FROM sync.runs
        WHERE runs.connection = connections.connection AND runs.status = 'succeeded' AND runs.kind = 'sync'
        ORDER BY runs.id DESC
        LIMIT 1
    ) AS last_success,
    CASE WHEN unread = 0 THEN fresh_until END AS fresh_until,
    CASE WHEN incomplete = 0 THEN complete_until END AS complete_until,
    CASE WHEN unread = 0 THEN floor(extract(epoch FROM now() - fresh_until))::bigint END AS lag_seconds,
    coalesce(gaps, 0)::bigint AS gaps,
    coalesce(unclosable_gaps, 0)::bigint AS unclosable_gaps,
    (SELECT count(*) FROM calls c WHERE c.connection = connections.connection AND c.status
        IN ('queued', 'ringing', 'in_progress', 'unknown')) AS open_calls,
    (SELECT count(*) FROM calls c WHERE c.connection = connections.connection AND c.detail_due_at IS NOT NULL) AS details_due,
    (SELECT count(*) FROM calls c WHERE c.connection = connections.connection AND c.detail_failures > 0) AS details_failing,
    failed.error_code AS last_error_code,
    failed.finished_at AS last_error_at,
    proven.proved_at,
    proven.proof,
    proven.proved_calls,
    CASE WHEN jsonb_typeof(connections.capabilities -> 'day_offset') = 'number'
        THEN (connections.capabilities ->> 'day_offset')::numeric::integer END AS provider_day_offset_minutes
FROM sync.connections
LEFT JOIN summary ON summary.connection = connections.connection
LEFT JOIN LATERAL (
    SELECT runs.error_code, coalesce(runs.finished_at, runs.started_at) AS finished_at
    FROM sync.runs
    WHERE runs.connection = connections.connection AND runs.error_code IS NOT NULL
    ORDER BY runs.id DESC
    LIMIT 1
) AS failed ON true
LEFT JOIN LATERAL (
    SELECT
        max(audits.checked_at) AS proved_at,
        -- The worst over the streams; what was repaired is complete now.
        CASE
            WHEN bool_or(audits.verdict = 'mismatch') THEN 'mismatch'
            WHEN bool_or(audits.verdict = 'unverifiable') THEN 'unverifiable'
            WHEN count(*) > 0 THEN 'complete'
        END AS proof,
        sum(audits.warehouse_count) FILTER (WHERE audits.verdict IN ('complete', 'repaired'))::bigint AS proved_calls
    FROM sync.audits
    WHERE audits.connection = connections.connection
        AND audits.checked_at = (SELECT max(newest.checked_at) FROM sync.audits AS newest
            WHERE newest.connection = connections.connection)
) AS proven ON true
"""

CONNECTION = "The configured account, by the name the configuration gives it"
CALL = "The id of the call at its provider, unique within a connection"
PROVIDER = "The provider of the account, by its short name"
DAY = "The calendar day in the reporting time zone"
DIRECTION = "inbound or outbound; null where the provider has no such notion"
TEST = "Whether these are test calls; leave them out where you count business"
CURRENCY = "The currency of cost; null for calls without a cost"
COST = "What the calls cost, legs included, in whole units of currency; null where currency is"
AGENT = "The id of the voice agent or endpoint, at the provider; null for calls without one"
AGENT_NAME = "Personal: the agent's name: agents.display_name, else the provider's"
BUCKET = "The number of the bucket: talk time in seconds up to 59, from 60 on geometric with factor 1.04"
FROM_SECONDS = "The shortest talk time in the bucket, in whole seconds"
TO_SECONDS = (
    "The longest talk time in the bucket, in whole seconds; read a bucket at sqrt(from_seconds * to_seconds), right within 2 %"
)
HOUR = "The beginning of the local hour; the hour that autumn repeats is there twice"
LOCAL_HOUR = "The hour of the day in the reporting time zone, 0 to 23"
WEEKDAY = "The day of the week: 1 is Monday, 7 Sunday"
LATER = {
    "occurred_at": "Where the call stood on the time line; null for versions held before 0.2.0 until etl replay has filled it in",
    "direction": DIRECTION,
    "agent_id": AGENT,
    "duration_seconds": "The length of the call in seconds, as the provider gave it",
    "cost": "What the call cost, exact, in whole units of currency",
    "currency": "The currency of cost",
}

AWAITED = {
    "open_calls": "How many calls have not ended (or have a status that this program does not know)",
    "details_due": "How many calls have a detail that is still to be asked for, now or later",
    "details_failing": (
        "How many calls have a detail that could not be had: the last request for it brought nothing usable. It is asked for "
        "less and less often"
    ),
}

VIEWS: dict[str, tuple[str, dict[str, str]]] = {
    "call_facts": (
        "One row per call with what the metrics are made of, in plain columns without texts and records: begin here",
        {
            "connection": CONNECTION,
            "call_id": CALL,
            "call_key": "Connection and id in one, as connection:call_id, for tools that join by one column",
            "provider": PROVIDER,
            "is_leg": "Whether it is a leg of another call (parent_call_id is not null): legs count in cost only",
            "occurred_at": "Where the call stands on the time line: when it was created, else started, else ended",
            "day": "The calendar day of occurred_at in the reporting time zone",
            "local_hour": LOCAL_HOUR,
            "iso_weekday": WEEKDAY,
            "direction": DIRECTION,
            "status": "How the call stands, in the same words for every provider, see calls.status",
            "is_test": "Whether the provider marks the call as a test",
            "is_open": "Whether the call has not ended: queued, ringing, in_progress, or a word that is not known",
            "is_answered": (
                "Whether answered_at is set or the status is in_progress or completed; false for every other status of an "
                "ended call, null while it is open"
            ),
            "is_missed": "Whether it was inbound, ended and was not answered",
            "is_abandoned": "Whether it was inbound and its status is canceled: the caller gave up",
            "is_short_call": "Whether it was answered and talk was under 10 seconds",
            "talk_seconds": (
                "Seconds from answered_at to ended_at where both are known, else duration_seconds; null unless answered, and "
                "where negative"
            ),
            "speed_of_answer_seconds": "Seconds from ringing_at, else created_at, to answered_at; null where unknown or negative",
            "duration_seconds": "As the provider gives it; of unanswered calls it is null, 0 or the ringing, by provider",
            "our_number": "Personal: the number of ours: where the call went to if inbound, came from if outbound",
            "customer_number": "Personal: the other side's number: where the call came from if inbound, went to if outbound",
            "agent_id": AGENT,
            "agent_name": AGENT_NAME,
            "cost": "What the call cost, rounded to six places; null where unknown or beyond 10^11. Exact in calls.cost",
            "currency": "The currency of cost",
            "end_reason": "Personal: why the call ended, in the provider's own words",
            "error_reason": "Personal: what went wrong with the call, in the provider's own words",
            "latency_ms": "The delay that the provider measured, in milliseconds",
            "has_recording": "Whether a recording was ever offered",
            "has_transcript": "Whether there is a transcript or any message",
        },
    ),
    "calls_daily": (
        (
            "One row per connection, day, direction, kind (test or not) and currency: what the calls of the day were. Exact at "
            "every instant; ratios are made of sums (answered / calls)"
        ),
        {
            "connection": CONNECTION,
            "day": DAY,
            "direction": DIRECTION,
            "is_test": TEST,
            "currency": CURRENCY,
            "provider": PROVIDER,
            "cost": COST,
        },
    ),
    "agent_daily": (
        "One row per connection, day, direction, kind (test or not), currency and agent: what the agent's calls of the day were",
        {
            "connection": CONNECTION,
            "day": DAY,
            "direction": DIRECTION,
            "is_test": TEST,
            "currency": CURRENCY,
            "agent_id": AGENT,
            "agent_name": AGENT_NAME,
            "provider": PROVIDER,
            "cost": COST,
        },
    ),
    "calls_hourly": (
        "One row per connection, local hour, direction and kind (test or not): counts and sums stand at the hour of occurred_at",
        {
            "connection": CONNECTION,
            "hour": HOUR,
            "direction": DIRECTION,
            "is_test": TEST,
            "day": DAY,
            "local_hour": LOCAL_HOUR,
            "iso_weekday": WEEKDAY,
            "peak_concurrent": (
                "The largest number of calls of this direction going on at one instant of the hour. It cannot be added, nor "
                "taken together with another direction's: see lines_hourly"
            ),
        },
    ),
    "lines_hourly": (
        "One row per connection and local hour in which calls were going on, all directions together, without tests",
        {
            "connection": CONNECTION,
            "hour": HOUR,
            "day": DAY,
            "local_hour": LOCAL_HOUR,
            "iso_weekday": WEEKDAY,
            "peak_concurrent": (
                "The largest number of calls going on at one instant of the hour: the lines that were needed. Of several "
                "connections it cannot be added: compute it from calls"
            ),
            "erlangs": "The traffic of the hour: the hours of calls that went on in it. It can be added over connections",
        },
    ),
    "talk_time_daily": (
        "One row per connection, day, direction, kind (test or not) and bucket of talk time: for percentiles over any range",
        {
            "connection": CONNECTION,
            "day": DAY,
            "direction": DIRECTION,
            "is_test": TEST,
            "bucket": BUCKET,
            "from_seconds": FROM_SECONDS,
            "to_seconds": TO_SECONDS,
            "calls": "Calls with a talk time in the bucket",
        },
    ),
    "talk_time_monthly": (
        "The same as talk_time_daily by month, for long ranges",
        {
            "connection": CONNECTION,
            "month": "The first day of the month, in the reporting time zone",
            "direction": DIRECTION,
            "is_test": TEST,
            "bucket": BUCKET,
            "from_seconds": FROM_SECONDS,
            "to_seconds": TO_SECONDS,
            "calls": "Calls with a talk time in the bucket",
        },
    ),
    "person_daily": (
        "One row per connection, day and person in calls of that day; all of a call stands on its day. Without tests",
        {
            "connection": CONNECTION,
            "day": DAY,
            "person": "Personal: the e-mail address, in small letters without blanks around it",
            "calls": "Calls that the person took part in",
            "first_joined_at": "When the person first joined a call of this day",
            "last_left_at": "When the person last left a call of this day",
        },
    ),
    "pair_weekly": (
        "One row per connection, week and two people who were in a call together. Without tests",
        {
            "connection": CONNECTION,
            "week": "The Monday of the week of the call's day",
            "person_a": "Personal: the one's e-mail address, in small letters; the lesser of the two",
            "person_b": "Personal: the other's e-mail address, in small letters",
            "calls": "Calls that both took part in",
        },
    ),
    "call_changes": (
        (
            "One row per call ever held: the current one, else its last deleted version. To copy calls on, read what has a "
            "changed_at from the last one seen less five minutes"
        ),
        {
            "connection": CONNECTION,
            "call_id": CALL,
            "changed_at": "When the call was last written so that a reader sees a difference, or was removed",
            "is_deleted": "Whether the call is gone: it is in deleted_calls and not in calls",
        },
    ),
    "call_versions": ("", LATER),
    "deleted_calls": ("", LATER),
    "sync.hourly": (
        "The view calls_hourly with the traffic of each direction and kind, of which lines_hourly is made",
        {
            "connection": CONNECTION,
            "hour": HOUR,
            "direction": DIRECTION,
            "is_test": TEST,
            "day": DAY,
            "erlangs": "The traffic of these calls in this hour in erlangs",
        },
    ),
    "sync.occupied": (
        "How long each call occupies a line: from started_at, else answered_at, else occurred_at, to its end; for the roll-ups",
        {
            "connection": CONNECTION,
            "day": DAY,
            "direction": DIRECTION,
            "is_test": TEST,
            "is_long": "Whether the call may last beyond the day after its own",
            "began": "When the line was occupied, not before the call's day",
            "ended": "When it was free again, at most 7 days after occurred_at; of an open call the end of its first hour",
        },
    ),
    "data_freshness": (
        "One row per connection: how far its calls can be trusted to be there",
        {
            "connection": CONNECTION,
            "provider": "The provider that this account is at, by its short name",
            "last_success": "When the last successful sync ended; null before the first",
            "fresh_until": "Calls were read up to this instant in every stream; null while one was never read",
            "complete_until": "Everything before this instant was read without a gap; null until there is one",
            "lag_seconds": "How far fresh_until lies behind now, in seconds",
            "gaps": "Stretches of time before fresh_until that were not read, in all streams together",
            "unclosable_gaps": "Those of the gaps that the provider no longer serves: no later run can close them",
            **AWAITED,
            "last_error_code": "What the last run that ended with an error ended with, as a stable word; null where none did",
            "last_error_at": "When that run ended; compare it with last_success",
            "proved_at": "When the newest audit was made; null before the first",
            "proof": (
                "What it found, the worst over its streams: mismatch, unverifiable (the provider has no count to compare with) "
                "or complete"
            ),
            "proved_calls": "How many calls it counted in the streams that were complete; null where none was",
            "provider_day_offset_minutes": (
                "By how many minutes the days of provider_daily_totals begin before UTC's; null until an audit has found out"
            ),
        },
    ),
}

FUNCTIONS = {
    "FUNCTION public.reporting_timezone()": "The time zone whose midnight ends a day",
    "FUNCTION public.reporting_today()": "The day that it is now in the reporting time zone",
    "FUNCTION sync.compatible_from()": "The oldest version of the program that may write into this schema",
}


VERSIONS_BEFORE = (
    """
CREATE VIEW call_versions AS
SELECT connection, call_id, version, status, provider_status, raw, detail, valid_from, valid_to, deleted
FROM call_history
UNION ALL
SELECT
    calls.connection,
    calls.call_id,
    coalesce(
        (
            SELECT max(earlier.version)
            FROM call_history AS earlier
            WHERE earlier.connection = calls.connection AND earlier.call_id = calls.call_id
        ),
        0
    ) + 1,
    calls.status,
    calls.provider_status,
    calls.raw,
    calls.detail,
    calls.last_changed_at,
    NULL,
    false
FROM calls
""",
    """
CREATE VIEW deleted_calls AS
SELECT
    gone.connection,
    gone.call_id,
    connections.provider,
    gone.status,
    gone.raw,
    gone.detail,
    gone.first_seen_at,
    gone.valid_to AS deleted_at
FROM call_history AS gone
LEFT JOIN sync.connections ON connections.connection = gone.connection
WHERE
    gone.deleted
    AND NOT EXISTS (
        SELECT FROM call_history AS later
        WHERE later.connection = gone.connection AND later.call_id = gone.call_id AND later.version > gone.version
    )
    AND NOT EXISTS (SELECT FROM calls WHERE calls.connection = gone.connection AND calls.call_id = gone.call_id)
""",
)

COMMENTS_BEFORE = {
    "VIEW call_versions": (
        "One row per version of a call, superseded and current: what held at an instant t is where valid_from <= t and "
        "(valid_to > t or valid_to is null)"
    ),
    "COLUMN call_versions.connection": "The configured account that the call was read from",
    "COLUMN call_versions.call_id": "The id of the call at its provider, unique within a connection",
    "COLUMN call_versions.version": "The number of this version of the call, from 1 without a gap",
    "COLUMN call_versions.status": "How the call stood, in the same words as calls.status",
    "COLUMN call_versions.provider_status": "The status in the provider's own word; null where the provider gave none",
    "COLUMN call_versions.raw": "The call as the provider listed it",
    "COLUMN call_versions.detail": "The call as the provider gave it when asked for this call alone; null where it was not asked",
    "COLUMN call_versions.valid_from": "When this warehouse first saw the call as it stands here",
    "COLUMN call_versions.valid_to": (
        "When the next version, or the absence of the call, was seen: true before it, no longer at it; null: holds now"
    ),
    "COLUMN call_versions.deleted": "Whether this version ended because the call was found gone at its provider",
    "VIEW deleted_calls": "One row per call that was found gone at its provider and was not listed again, as it last stood",
    "COLUMN deleted_calls.connection": "The configured account that the call was read from",
    "COLUMN deleted_calls.call_id": "The id of the call at its provider, unique within a connection",
    "COLUMN deleted_calls.provider": "The provider that the call was read from, by its short name",
    "COLUMN deleted_calls.status": "How the call stood last, in the same words as calls.status",
    "COLUMN deleted_calls.raw": "The call as the provider last listed it",
    "COLUMN deleted_calls.detail": (
        "The call as the provider last gave it when asked for this call alone; null where it was not asked"
    ),
    "COLUMN deleted_calls.first_seen_at": "When this warehouse first saw the call",
    "COLUMN deleted_calls.deleted_at": "When the call was found gone",
    "VIEW data_freshness": "One row per connection: how far its calls can be trusted to be there",
    "COLUMN data_freshness.connection": "The configured account, by the name the configuration gives it",
    "COLUMN data_freshness.provider": "The provider that this account is at, by its short name",
    "COLUMN data_freshness.last_success": "When the last successful sync ended; null before the first",
    "COLUMN data_freshness.fresh_until": "Calls were read up to this instant in every stream; null while one was never read",
    "COLUMN data_freshness.complete_until": "Everything before this instant was read without a gap; null until there is one",
    "COLUMN data_freshness.lag": "How far fresh_until lies behind now, as an interval",
    "COLUMN data_freshness.gaps": "Stretches of time before fresh_until that were not read, in all streams together",
    "COLUMN data_freshness.unclosable_gaps": "Those of the gaps that the provider no longer serves: no later run can close them",
}

# What the roles may do with the view, as statements that give it to them again.
GRANTED = """
SELECT format(
    'GRANT %s ON data_freshness TO %s', privilege_type,
    CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
)
FROM pg_class CROSS JOIN LATERAL aclexplode(relacl)
WHERE pg_class.oid = 'data_freshness'::regclass AND grantee <> relowner
"""

PARENT = "The call that this one is a leg of; null for a call of its own, as nearly all are"
CHANGED_AT = (
    "Machine's: when this row was last written so that a reader sees a difference, by the clock of the database; select by it "
    "to copy calls on"
)
HISTORY: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ("occurred_at", INSTANT),
    ("direction", sa.Text()),
    ("agent_id", sa.Text()),
    ("duration_seconds", sa.Integer()),
    ("cost", sa.Numeric()),
    ("currency", sa.Text()),
)
HISTORY_COMMENTS = {"occurred_at": "As in calls; null for versions held before 0.2.0 until etl replay has filled it in"}


ORDER = (
    CALL_FACTS,
    CALLS_DAILY,
    AGENT_DAILY,
    OCCUPIED,
    HOURLY,
    CALLS_HOURLY,
    LINES_HOURLY,
    TALK_TIME_DAILY,
    TALK_TIME_MONTHLY,
    PERSON_DAILY,
    PAIR_WEEKLY,
    CALL_CHANGES,
    CALL_VERSIONS,
    DELETED_CALLS,
)

NEW_VIEWS = (
    "call_changes", "pair_weekly", "person_daily", "talk_time_monthly", "talk_time_daily", "lines_hourly", "calls_hourly",
    "sync.hourly", "sync.occupied", "agent_daily", "calls_daily", "call_facts",
)  # fmt: skip

FILL_AGENTS = """
INSERT INTO agents (connection, agent_id, first_seen_at, last_seen_at)
SELECT connection, agent_id, min(first_seen_at), max(observed_at) FROM calls WHERE agent_id IS NOT NULL GROUP BY 1, 2
ON CONFLICT DO NOTHING
"""

# All that is held has no roll-ups yet: it is computed when read until the first run has made them.
TOUCH_ALL = """
INSERT INTO sync.touched_days (connection, day)
SELECT DISTINCT connection, touched::date
FROM calls
CROSS JOIN LATERAL generate_series(
    sync.reporting_day(occurred_at)::timestamp,
    sync.reporting_day(
        least(
            greatest(
                occurred_at, started_at, answered_at,
                coalesce(ended_at, occurred_at + duration_seconds * interval '1 second')
            ),
            occurred_at + interval '7 days'
        )
    )::timestamp,
    interval '1 day'
) AS touched
ON CONFLICT DO NOTHING
"""


def upgrade() -> None:
    """Add the columns, make tables, indexes and views, and mark all days that are held as touched."""
    _columns()
    _tables()
    for statement in REPORTING.split(";"):
        op.execute(statement)
    _replace_freshness(DATA_FRESHNESS)
    for view in ORDER:
        op.execute(view)
    for thing, (_, comment) in RECOMMENTED.items():
        _comment(thing, comment)
    for name, (told, columns) in VIEWS.items():
        if told:
            _comment(f"VIEW {name}", told)
        counted = {column: METRICS[column] for column in _columns_of(name) if column in METRICS}
        for column, comment in (counted | columns).items():
            _comment(f"COLUMN {name}.{column}", comment)
    for thing, comment in FUNCTIONS.items():
        _comment(thing, comment)
    op.execute(FILL_AGENTS)
    op.execute(TOUCH_ALL)


def downgrade() -> None:
    """Drop what the upgrade made; calls and all else stay."""
    for view in (*NEW_VIEWS, "call_versions", "deleted_calls"):
        op.execute(f"DROP VIEW {view}")
    _replace_freshness(DATA_FRESHNESS_BEFORE)
    for statement in VERSIONS_BEFORE:
        op.execute(statement)
    for thing, comment in COMMENTS_BEFORE.items():
        _comment(thing, comment)
    for column, comment in AWAITED.items():
        _comment(f"COLUMN data_freshness.{column}", comment)
    for thing, (comment, _) in RECOMMENTED.items():
        _comment(thing, comment)
    for function in ("sync.compatible_from()", "public.reporting_today()", "public.reporting_timezone()"):
        op.execute(f"DROP FUNCTION {function}")
    _drop()


def _drop() -> None:
    for table in ("people", "numbers"):
        op.drop_table(table)
    for table in (
        "pair_weekly",
        "person_daily",
        "talk_time_monthly",
        "talk_time_daily",
        "lines_hourly",
        "calls_hourly",
        "agent_daily",
        "calls_daily",
        "touched_days",
    ):
        op.drop_table(table, schema="sync")
    op.drop_index("runs_with_errors", "runs", schema="sync")
    op.drop_constraint(op.f("runs_kind_check"), "runs", schema="sync")
    op.execute("DELETE FROM sync.runs WHERE kind = 'rebuild'")
    op.create_check_constraint(op.f("runs_kind_check"), "runs", "kind IN ('sync', 'repair', 'replay')", schema="sync")
    op.drop_column("connections", "agents_are_people", schema="sync")
    op.drop_column("agents", "display_name")
    for index in ("call_history_changed_at", "call_history_unfilled"):
        op.drop_index(index, "call_history")
    for column in ("changed_at", "currency", "cost", "duration_seconds", "agent_id", "direction", "occurred_at"):
        op.drop_column("call_history", column)
    for index in ("calls_changed_at", "calls_long", "calls_day"):
        op.drop_index(index, "calls")
    for column in ("changed_at", "parent_call_id"):
        op.drop_column("calls", column)


def _columns() -> None:
    op.add_column("calls", sa.Column("parent_call_id", sa.Text(), comment=PARENT))
    # now() is the instant of this migration for every row that is held, and rewrites none of them.
    op.add_column("calls", sa.Column("changed_at", INSTANT, nullable=False, server_default=sa.text("now()"), comment=CHANGED_AT))
    op.create_index("calls_day", "calls", ["connection", "day"])
    op.create_index("calls_long", "calls", ["connection", "day"], postgresql_where=sa.text(LONG))
    op.create_index("calls_changed_at", "calls", ["changed_at"], postgresql_using="brin")
    for column, kind in HISTORY:
        op.add_column("call_history", sa.Column(column, kind, comment=HISTORY_COMMENTS.get(column, "As in calls")))
    op.add_column(
        "call_history",
        sa.Column(
            "changed_at",
            INSTANT,
            nullable=False,
            server_default=sa.text("now()"),
            comment="Machine's: when this row was last written, by the clock of the database",
        ),
    )
    op.create_index(
        "call_history_unfilled", "call_history", ["connection", "call_id"], postgresql_where=sa.text("occurred_at IS NULL")
    )
    op.create_index("call_history_changed_at", "call_history", ["changed_at"], postgresql_using="brin")
    op.add_column(
        "agents",
        sa.Column(
            "display_name",
            sa.Text(),
            comment="Personal: the name that you give the agent; it wins over name, and no sync writes it",
        ),
    )
    op.add_column(
        "connections",
        sa.Column(
            "agents_are_people",
            sa.Boolean(),
            nullable=False,
            server_default="false",
            comment="Whether the provider says that its agents are people, whose ids and names are then personal",
        ),
        schema="sync",
    )
    op.create_index(
        "runs_with_errors",
        "runs",
        ["connection", sa.text("id DESC")],
        schema="sync",
        postgresql_where=sa.text("error_code IS NOT NULL"),
    )
    op.drop_constraint(op.f("runs_kind_check"), "runs", schema="sync")
    op.create_check_constraint(op.f("runs_kind_check"), "runs", "kind IN ('sync', 'repair', 'replay', 'rebuild')", schema="sync")


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False, comment=METRICS[name]) for name in names]


def _replace_freshness(definition: str) -> None:
    """Make the view anew, since a column cannot be taken out of one, and give it the rights that it had."""
    granted = op.get_bind().execute(sa.text(GRANTED)).scalars().all()
    op.execute("DROP VIEW data_freshness")
    op.execute(definition)
    for grant in granted:
        op.execute(grant)


def _columns_of(view: str) -> list[str]:
    found = op.get_bind().execute(
        sa.text("SELECT attname FROM pg_attribute WHERE attrelid = CAST(:view AS regclass) AND attnum > 0"), {"view": view}
    )
    return list(found.scalars())


def _comment(thing: str, comment: str) -> None:
    quoted = comment.replace("'", "''").replace("%", "%%")
    op.get_bind().exec_driver_sql(f"COMMENT ON {thing} IS '{quoted}'")


def _tables() -> None:
    """Make the tables: what is touched, the stored rows of the roll-ups, the analyst's own dimensions."""
    op.create_table(
        "touched_days",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account"),
        sa.Column("day", sa.Date(), nullable=False, comment="The day whose roll-ups are to be made again"),
        sa.Column(
            "people_only",
            sa.Boolean(),
            nullable=False,
            server_default="false",
            comment="Whether those of calls are made again already, and only those of people and pairs are not",
        ),
        sa.PrimaryKeyConstraint("connection", "day", name="touched_days_pkey"),
        schema="sync",
        comment=(
            "One row per day that a write has touched and whose roll-ups were not made again since: it is computed when read"
        ),
    )
    op.create_table(
        "calls_daily",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account"),
        sa.Column("day", sa.Date(), nullable=False, comment="The day in the reporting time zone"),
        sa.Column(
            "direction", sa.Text(), nullable=False, comment="inbound or outbound; empty where the provider has no such notion"
        ),
        sa.Column("is_test", sa.Boolean(), nullable=False, comment="Whether these are test calls"),
        sa.Column("currency", sa.Text(), nullable=False, comment="The currency of cost; empty for calls without a cost"),
        sa.Column("provider", sa.Text(), nullable=False, comment="The provider of the account"),
        *_numbers(
            "calls",
            "open_calls",
            "answered",
            "completed",
            "missed",
            "abandoned",
            "busy",
            "no_answer",
            "failed",
            "canceled",
            "rejected",
            "voicemail",
            "unknown",
            "short_calls",
            "talk_seconds",
            "duration_seconds",
            "answer_wait_seconds",
            "answer_wait_calls",
            "answered_within_20s",
        ),
        sa.Column("cost", sa.Numeric(38, 6), comment="What these calls cost"),
        sa.PrimaryKeyConstraint("connection", "day", "direction", "is_test", "currency", name="calls_daily_pkey"),
        schema="sync",
        comment="The stored rows of the view calls_daily",
    )
    op.create_table(
        "agent_daily",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account"),
        sa.Column("day", sa.Date(), nullable=False, comment="The day in the reporting time zone"),
        sa.Column("agent_id", sa.Text(), nullable=False, comment="The agent; empty for calls without one"),
        sa.Column(
            "direction", sa.Text(), nullable=False, comment="inbound or outbound; empty where the provider has no such notion"
        ),
        sa.Column("is_test", sa.Boolean(), nullable=False, comment="Whether these are test calls"),
        sa.Column("currency", sa.Text(), nullable=False, comment="The currency of cost; empty for calls without a cost"),
        sa.Column("provider", sa.Text(), nullable=False, comment="The provider of the account"),
        *_numbers(
            "calls",
            "open_calls",
            "answered",
            "completed",
            "missed",
            "abandoned",
            "busy",
            "no_answer",
            "failed",
            "canceled",
            "rejected",
            "voicemail",
            "unknown",
            "short_calls",
            "talk_seconds",
            "duration_seconds",
            "answer_wait_seconds",
            "answer_wait_calls",
            "answered_within_20s",
        ),
        sa.Column("cost", sa.Numeric(38, 6), comment="What these calls cost"),
        sa.PrimaryKeyConstraint("connection", "day", "agent_id", "direction", "is_test", "currency", name="agent_daily_pkey"),
        schema="sync",
        comment="The stored rows of the view agent_daily",
    )
    op.create_table(
        "calls_hourly",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account"),
        sa.Column("day", sa.Date(), nullable=False, comment="The day in the reporting time zone"),
        sa.Column("hour", INSTANT, nullable=False, comment="The beginning of the local hour"),
        sa.Column(
            "direction", sa.Text(), nullable=False, comment="inbound or outbound; empty where the provider has no such notion"
        ),
        sa.Column("is_test", sa.Boolean(), nullable=False, comment="Whether these are test calls"),
        *_numbers(
            "calls",
            "answered",
            "missed",
            "abandoned",
            "talk_seconds",
            "answer_wait_seconds",
            "answer_wait_calls",
            "answered_within_20s",
            "peak_concurrent",
        ),
        sa.Column("erlangs", sa.Numeric(18, 6), nullable=False, comment="The traffic of these calls in this hour in erlangs"),
        sa.PrimaryKeyConstraint("connection", "day", "hour", "direction", "is_test", name="calls_hourly_pkey"),
        schema="sync",
        comment="The stored rows of the view calls_hourly",
    )
    op.create_table(
        "lines_hourly",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account"),
        sa.Column("day", sa.Date(), nullable=False, comment="The day in the reporting time zone"),
        sa.Column("hour", INSTANT, nullable=False, comment="The beginning of the local hour"),
        *_numbers("peak_concurrent"),
        sa.Column("erlangs", sa.Numeric(18, 6), nullable=False, comment="The traffic of this hour in erlangs"),
        sa.PrimaryKeyConstraint("connection", "day", "hour", name="lines_hourly_pkey"),
        schema="sync",
        comment="The stored rows of the view lines_hourly",
    )
    op.create_table(
        "talk_time_daily",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account"),
        sa.Column("day", sa.Date(), nullable=False, comment="The day in the reporting time zone"),
        sa.Column(
            "direction", sa.Text(), nullable=False, comment="inbound or outbound; empty where the provider has no such notion"
        ),
        sa.Column("is_test", sa.Boolean(), nullable=False, comment="Whether these are test calls"),
        sa.Column(
            "bucket",
            sa.Integer(),
            nullable=False,
            autoincrement=False,
            comment="Talk time in seconds up to 59; from 60 on geometric with factor 1.04",
        ),
        *_numbers("calls"),
        sa.PrimaryKeyConstraint("connection", "day", "direction", "is_test", "bucket", name="talk_time_daily_pkey"),
        schema="sync",
        comment="The stored rows of the view talk_time_daily",
    )
    op.create_table(
        "talk_time_monthly",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account"),
        sa.Column("month", sa.Date(), nullable=False, comment="The first day of the month"),
        sa.Column(
            "direction", sa.Text(), nullable=False, comment="inbound or outbound; empty where the provider has no such notion"
        ),
        sa.Column("is_test", sa.Boolean(), nullable=False, comment="Whether these are test calls"),
        sa.Column(
            "bucket",
            sa.Integer(),
            nullable=False,
            autoincrement=False,
            comment="Talk time in seconds up to 59; from 60 on geometric with factor 1.04",
        ),
        *_numbers("calls"),
        sa.PrimaryKeyConstraint("connection", "month", "direction", "is_test", "bucket", name="talk_time_monthly_pkey"),
        schema="sync",
        comment="The stored rows of the view talk_time_monthly",
    )
    op.create_table(
        "person_daily",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account"),
        sa.Column("day", sa.Date(), nullable=False, comment="The day in the reporting time zone"),
        sa.Column("person", sa.Text(), nullable=False, comment="Personal: the e-mail address, in small letters"),
        *_numbers("calls", "in_call_seconds", "paired_seconds", "solo_seconds"),
        sa.Column("first_joined_at", INSTANT, comment="When the person first joined a call of this day"),
        sa.Column("last_left_at", INSTANT, comment="When the person last left a call of this day"),
        sa.PrimaryKeyConstraint("connection", "day", "person", name="person_daily_pkey"),
        schema="sync",
        comment="The stored rows of the view person_daily",
    )
    op.create_table(
        "pair_weekly",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account"),
        sa.Column("week", sa.Date(), nullable=False, comment="The Monday of the week"),
        sa.Column("person_a", sa.Text(), nullable=False, comment="Personal: the one's e-mail address, in small letters"),
        sa.Column("person_b", sa.Text(), nullable=False, comment="Personal: the other's e-mail address, in small letters"),
        *_numbers("calls", "seconds_together"),
        sa.PrimaryKeyConstraint("connection", "week", "person_a", "person_b", name="pair_weekly_pkey"),
        schema="sync",
        comment="The stored rows of the view pair_weekly",
    )
    op.create_table(
        "people",
        sa.Column(
            "email", sa.Text(), nullable=False, comment="Personal: the e-mail address, in small letters without blanks around it"
        ),
        sa.Column("name", sa.Text(), comment="Personal: the name of the person"),
        sa.Column("team", sa.Text(), comment="The team of the person"),
        sa.PrimaryKeyConstraint("email", name="people_pkey"),
        comment=("The people of your company, for joining with person_daily and pair_weekly: yours to fill, no sync writes it"),
    )
    op.create_table(
        "numbers",
        sa.Column("number", sa.Text(), nullable=False, comment="Personal: the number, as calls hold it: in E.164 form"),
        sa.Column("name", sa.Text(), comment="Personal: what the number is called"),
        sa.Column("team", sa.Text(), comment="The team that the number belongs to"),
        sa.Column("time_zone", sa.Text(), comment="The time zone of who calls from there, such as Europe/Berlin"),
        sa.PrimaryKeyConstraint("number", name="numbers_pkey"),
        comment="Your numbers, for joining with call_facts: yours to fill, no sync writes it",
    )
