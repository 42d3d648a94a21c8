{# What tells one agent of a connection from another; where agents are people, the schema masked has a key in the place of their id. #}
{% macro agent(relation) %}
  {%- if var('calls_schema', 'public') == 'masked' -%}
    coalesce({{ relation }}.agent_id, {{ relation }}.agent_key)
  {%- else -%}
    {{ relation }}.agent_id
  {%- endif -%}
{% endmacro %}
