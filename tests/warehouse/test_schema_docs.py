"""Holds `docs/schema.md` to the warehouse: its reference is what the catalog says, its queries run."""

import os
import re
from pathlib import Path

from etl.warehouse.database import Database

PAGE = Path(__file__).parents[2] / "docs" / "schema.md"
MARK = "<!-- generated from the comments in the database -->\n"

RELATIONS = """
SELECT oid, relnamespace::regnamespace::text, relname, relkind = 'v', obj_description(oid, 'pg_class')
FROM pg_class WHERE relnamespace::regnamespace::text IN ('public', 'masked', 'sync') AND relkind IN ('r', 'v')
ORDER BY array_position(ARRAY['public', 'masked', 'sync'], relnamespace::regnamespace::text), 4, relname <> 'calls', relname
"""
COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), attnotnull, attnum = ANY(coalesce((indkey::int[])[0:indnkeyatts - 1], '{{}}')),
       col_description(attrelid, attnum)
FROM pg_attribute LEFT JOIN pg_index ON indrelid = attrelid AND indisprimary
WHERE attrelid = {relation} AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
SHORT = {"timestamp with time zone": "timestamptz"}


def reference(database: Database) -> str:
    """Write down every table and view of the three schemas."""
    lines = ["`key` marks the columns of the primary key; *never null* what every row has.", ""]
    with database.begin() as connection:
        for oid, schema, name, is_view, comment in connection.exec_driver_sql(RELATIONS).all():
            lines += [f"## {'View' if is_view else 'Table'} `{schema}.{name}`", "", f"{comment}.", ""]
            lines += ["| column | type | meaning |", "|---|---|---|"]
            for column, kind, required, key, meaning in connection.exec_driver_sql(COLUMNS.format(relation=oid)):
                mark = " `key`" if key else " *never null*" if required else ""
                lines.append(f"| `{column}` | {SHORT.get(kind, kind)}{mark} | {meaning} |")
            lines.append("")
    return "\n".join(lines)


def test_the_reference_is_what_the_catalog_says(database: Database) -> None:
    """Every table, view and column of a migrated warehouse stands in the page with its comment; nothing else does."""
    page = PAGE.read_text(encoding="utf-8")
    written, _, stored = page.partition(MARK)
    expected = reference(database)
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(written + MARK + "\n" + expected, encoding="utf-8")
        stored = "\n" + expected
    assert stored == "\n" + expected


def test_the_queries_of_the_page_run(database: Database) -> None:
    """An analyst can paste them."""
    queries = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(queries) == 5
    for query in queries:
        with database.begin() as connection:
            assert connection.exec_driver_sql(query).all() == []
