{{ config(materialized='view') }}

SELECT agents.connection || ':' || {{ call_warehouse.agent('agents') }} AS connection_agent, agents.*
FROM {{ source('warehouse', 'agents') }} AS agents
