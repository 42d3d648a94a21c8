{# One row for each connection that was never read as a whole, or lies further behind than it may. The log names them. #}
{% test no_connection_is_stale(model) %}
  {% set query %}
    SELECT freshness.connection, freshness.fresh_until, freshness.lag_seconds / 60 AS minutes_behind, allowed.minutes AS minutes_allowed
    FROM {{ model }} AS freshness
    CROSS JOIN LATERAL (SELECT {{ call_warehouse.minutes_allowed('freshness.connection') }} AS minutes) AS allowed
    WHERE freshness.fresh_until IS NULL OR freshness.lag_seconds > 60 * allowed.minutes
  {% endset %}
  {% if execute and flags.WHICH in ['build', 'test'] %}
    {% for row in run_query(query ~ ' ORDER BY connection').rows %}
      {% if row['fresh_until'] is none %}
        {% do log("STALE " ~ row['connection'] ~ ": some of its streams were never read", info=true) %}
      {% else %}
        {% do log("STALE " ~ row['connection'] ~ ": read up to " ~ row['minutes_behind'] ~ " minutes ago, "
                  ~ row['minutes_allowed'] ~ " are allowed", info=true) %}
      {% endif %}
    {% endfor %}
  {% endif %}
  {{ query }}
{% endtest %}


{# How many minutes a connection may lie behind, by the variables of the project. #}
{% macro minutes_allowed(connection) %}
  CASE
    {% for name, minutes in var('stale_after_minutes_of', {}).items() %}
      WHEN {{ connection }} = '{{ name | replace("'", "''") }}' THEN {{ minutes | int }}
    {% endfor %}
    WHEN true THEN {{ var('stale_after_minutes', 60) | int }}
  END
{% endmacro %}
