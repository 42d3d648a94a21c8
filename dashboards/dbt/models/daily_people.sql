{{ config(materialized='view') }}

SELECT person_daily.*
FROM {{ source('warehouse', 'person_daily') }} AS person_daily
