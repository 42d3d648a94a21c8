{# What dbt makes must not lie among what `etl migrate` makes: a later version of the warehouse would meet it. #}
{% macro refuse_the_warehouses_own_schemas() %}
  {% if target.schema in ['public', 'masked', 'sync', 'jobs'] %}
    {{ exceptions.raise_compiler_error(
      "The schema " ~ target.schema ~ " belongs to the call warehouse, so nothing was made in it. "
      ~ "Name another one as `schema` of your dbt profile, such as analytics."
    ) }}
  {% endif %}
{% endmacro %}
