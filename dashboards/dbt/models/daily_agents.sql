{{ config(materialized='view') }}

SELECT
    concat_ws(':', connection, day, coalesce(direction, '-'), is_test, coalesce(currency, '-'), coalesce({{ call_warehouse.agent('agent_daily') }}, '-')) AS daily_key,
    agent_daily.*
FROM {{ source('warehouse', 'agent_daily') }} AS agent_daily
