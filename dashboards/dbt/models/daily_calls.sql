{{ config(materialized='view') }}

SELECT
    concat_ws(':', connection, day, coalesce(direction, '-'), is_test, coalesce(currency, '-')) AS daily_key,
    calls_daily.*
FROM {{ source('warehouse', 'calls_daily') }} AS calls_daily
