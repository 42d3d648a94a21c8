{{ config(materialized='view') }}

SELECT pair_weekly.*
FROM {{ source('warehouse', 'pair_weekly') }} AS pair_weekly
