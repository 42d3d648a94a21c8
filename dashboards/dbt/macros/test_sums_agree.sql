{# The sums of the calls of each day against the roll-up's row, which is exact at this instant: what was written since the build is
   not in the calls yet, so the days of these calls are left out. One row for each sum that differs, from either side. #}
{% test sums_agree(model, daily) %}
WITH newest AS (
    SELECT coalesce(max(changed_at) - interval '5 minutes', '-infinity') AS mark FROM {{ model }}
),

written_since AS (
    SELECT changes.connection, changes.call_id
    FROM {{ source('warehouse', 'call_changes') }} AS changes
    CROSS JOIN newest
    LEFT JOIN {{ model }} AS held ON held.connection = changes.connection AND held.call_id = changes.call_id
    WHERE changes.changed_at >= newest.mark
        AND (held.changed_at IS DISTINCT FROM changes.changed_at)
        AND NOT (changes.is_deleted AND held.call_id IS NULL)
),

days_since AS (
    SELECT connection, day FROM {{ model }} JOIN written_since USING (connection, call_id)
    UNION
    SELECT connection, day FROM {{ source('warehouse', 'call_facts') }} JOIN written_since USING (connection, call_id)
),

from_calls AS (
    SELECT
        connection, day, direction, is_test, currency,
        count(*) FILTER (WHERE NOT is_leg)::numeric AS calls,
        count(*) FILTER (WHERE NOT is_leg AND is_open)::numeric AS open_calls,
        count(*) FILTER (WHERE NOT is_leg AND is_answered)::numeric AS answered,
        count(*) FILTER (WHERE NOT is_leg AND is_missed)::numeric AS missed,
        count(*) FILTER (WHERE NOT is_leg AND is_abandoned)::numeric AS abandoned,
        count(*) FILTER (WHERE NOT is_leg AND is_short_call)::numeric AS short_calls,
        coalesce(sum(talk_seconds) FILTER (WHERE NOT is_leg), 0)::numeric AS talk_seconds,
        coalesce(sum(speed_of_answer_seconds) FILTER (WHERE NOT is_leg), 0)::numeric AS answer_wait_seconds,
        sum(cost) AS cost
    FROM {{ model }}
    GROUP BY connection, day, direction, is_test, currency
),

from_roll_up AS (
    SELECT
        connection, day, direction, is_test, currency,
        calls::numeric, open_calls::numeric, answered::numeric, missed::numeric, abandoned::numeric, short_calls::numeric,
        talk_seconds::numeric, answer_wait_seconds::numeric, cost
    FROM {{ daily }}
),

different AS (
    (SELECT 'fct_calls' AS side, * FROM (TABLE from_calls EXCEPT ALL TABLE from_roll_up) AS only_calls)
    UNION ALL
    (SELECT 'roll-up' AS side, * FROM (TABLE from_roll_up EXCEPT ALL TABLE from_calls) AS only_roll_up)
)

SELECT different.*
FROM different
WHERE NOT EXISTS (SELECT FROM days_since WHERE days_since.connection = different.connection AND days_since.day = different.day)
{% endtest %}


{# The agents of a day together are the day. #}
{% test sums_agree_over_agents(model, daily) %}
WITH agents AS (
    SELECT connection, day, direction, is_test, currency,
        sum(calls) AS calls, sum(answered) AS answered, sum(missed) AS missed, sum(talk_seconds) AS talk_seconds, sum(cost) AS cost
    FROM {{ model }}
    GROUP BY connection, day, direction, is_test, currency
),

days AS (
    SELECT connection, day, direction, is_test, currency, calls::numeric, answered::numeric, missed::numeric, talk_seconds::numeric, cost
    FROM {{ daily }}
)

(TABLE agents EXCEPT ALL TABLE days) UNION ALL (TABLE days EXCEPT ALL TABLE agents)
{% endtest %}
