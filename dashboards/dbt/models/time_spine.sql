{{ config(materialized='view') }}

SELECT days.day::date AS day
FROM generate_series(
    (SELECT coalesce(min(day), public.reporting_today()) FROM {{ source('warehouse', 'calls_daily') }})::timestamp,
    public.reporting_today()::timestamp,
    '1 day'
) AS days (day)
