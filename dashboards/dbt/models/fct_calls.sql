{# Where calls are followed: what was written since the last build, and five minutes before (a page that is being written has not
   appeared yet). A call that is gone comes as a row of nulls, replaces what is held, and is removed in the same transaction. The
   facts depend on the reporting time zone too, whose change alters rows that it does not write: then all is read again. #}
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='call_key',
    on_schema_change='fail',
    indexes=[
      {'columns': ['call_key'], 'unique': true},
      {'columns': ['connection', 'day']},
      {'columns': ['occurred_at']},
      {'columns': ['changed_at']},
    ],
    post_hook='DELETE FROM {{ this }} WHERE occurred_at IS NULL',
) }}

{% set only_here = {
    'public': ['our_number', 'customer_number', 'end_reason', 'error_reason'],
    'masked': ['customer_key', 'agent_key'],
}[var('calls_schema', 'public')] %}

SELECT
    changes.connection || ':' || changes.call_id AS call_key,
    changes.connection,
    changes.call_id,
    facts.provider,
    facts.is_leg,
    facts.occurred_at,
    facts.day,
    facts.local_hour,
    facts.iso_weekday,
    facts.direction,
    facts.status,
    facts.is_test,
    facts.is_open,
    facts.is_answered,
    facts.is_missed,
    facts.is_abandoned,
    facts.is_short_call,
    facts.talk_seconds,
    facts.speed_of_answer_seconds,
    facts.duration_seconds,
    facts.agent_id,
    facts.connection || ':' || {{ call_warehouse.agent('facts') }} AS connection_agent,
    facts.cost,
    facts.currency,
    facts.latency_ms,
    facts.has_recording,
    facts.has_transcript,
    {% for column in only_here %}
    facts.{{ column }},
    {% endfor %}
    public.reporting_timezone()::text AS reporting_timezone,
    changes.changed_at
FROM {{ source('warehouse', 'call_changes') }} AS changes
LEFT JOIN {{ source('warehouse', 'call_facts') }} AS facts
    ON facts.connection = changes.connection AND facts.call_id = changes.call_id
{% if is_incremental() %}
WHERE changes.changed_at >= (
    SELECT coalesce(max(held.changed_at) - interval '5 minutes', '-infinity') FROM {{ this }} AS held
    WHERE NOT EXISTS (SELECT FROM (SELECT reporting_timezone FROM {{ this }} LIMIT 1) AS one
                      WHERE one.reporting_timezone <> public.reporting_timezone())
)
{% else %}
WHERE NOT changes.is_deleted
{% endif %}
