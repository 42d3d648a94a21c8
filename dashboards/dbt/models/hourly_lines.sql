{{ config(materialized='view') }}

SELECT lines_hourly.*
FROM {{ source('warehouse', 'lines_hourly') }} AS lines_hourly
