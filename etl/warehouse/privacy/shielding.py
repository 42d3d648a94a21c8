"""
Lets the masked views be read on a Citus cluster, where a shard is asked as the reader, who may not read it.

There each masked view shows what a function returns that runs with the owner's rights; the function holds what was the view's
query. A condition does not reach into it: all of the relation is computed before a row is left out.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

_SEEN_FROM_NOWHERE = text("SET LOCAL search_path TO pg_catalog, pg_temp")  # so that every name is written with its schema
_SEEN_AS_ALWAYS = text("SET LOCAL search_path TO public")
_BARE = text(
    """
    SELECT relname, pg_get_viewdef(pg_class.oid) AS definition,
        string_agg(format('%I %s', attname, format_type(atttypid, NULL)), ', ' ORDER BY attnum) AS columns,
        string_agg(format('CAST(%I AS %s)', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum) AS shown
    FROM pg_class
    JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
    WHERE relkind = 'v' AND relnamespace = to_regnamespace('masked')
        AND position('sync.masked_' || relname || '()' IN pg_get_viewdef(pg_class.oid)) = 0
    GROUP BY pg_class.oid, relname
    ORDER BY relname
    """
)


def shield(connection: Connection) -> None:
    """Put every masked view that a migration made, or made anew, on a function with the owner's rights."""
    connection.execute(_SEEN_FROM_NOWHERE)
    for row in connection.execute(_BARE).all():
        function = f"sync.masked_{row.relname}"
        # As a text, so that the relations behind it can still be altered; a `$` names no column of ours.
        connection.exec_driver_sql(
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS TABLE ({row.columns}) LANGUAGE sql STABLE SECURITY DEFINER "
            f"SET search_path TO pg_catalog, pg_temp AS $masked$ {row.definition} $masked$".replace("%", "%%")
        )
        connection.exec_driver_sql(f"COMMENT ON FUNCTION {function}() IS 'What the view masked.{row.relname} shows'")
        connection.exec_driver_sql(
            f"CREATE OR REPLACE VIEW masked.{row.relname} WITH (security_barrier = true) AS SELECT {row.shown} FROM {function}()"  # noqa: S608
        )
    connection.execute(_SEEN_AS_ALWAYS)
