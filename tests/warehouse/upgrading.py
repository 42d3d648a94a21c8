"""What tests of upgrades need: newer programs with migrations of their own, and what a migration takes from older writers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from etl.warehouse import schema
from etl.warehouse.database import Database

ROOT = Path(__file__).parents[2]

MIGRATION = """
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in {statements!r}:
        op.get_bind().exec_driver_sql(statement)
"""

COLUMNS = """
SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull,
       atthasdef OR attidentity <> '' OR attgenerated <> ''
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace::regnamespace::text IN ('public', 'sync', 'masked') AND relkind IN ('r', 'v')
  AND attnum > 0 AND NOT attisdropped
"""
RULES = """
SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace::regnamespace::text IN ('public', 'sync') AND conrelid <> 0 AND contype <> 'n'
UNION
SELECT indrelid::regclass::text, regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', 'UNIQUE ') FROM pg_index
JOIN pg_class ON pg_class.oid = indrelid
WHERE relnamespace::regnamespace::text IN ('public', 'sync') AND indisunique
"""
FUNCTIONS = "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace::regnamespace::text IN ('public', 'sync', 'masked')"


def oldest_writer(revision: str) -> str:
    """Return the statement that says from which program on one may write into the schema."""
    return (
        "CREATE OR REPLACE FUNCTION sync.compatible_from() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE "
        f"RETURN '{revision}'::text"
    )


@contextmanager
def newer_program(folder: Path, *steps: tuple[str, tuple[str, ...]], version: str = "9.0.0") -> Iterator[None]:
    """Let this process be a newer program, with these migrations (their versions and statements) after our own."""
    migrations = folder / "migrations"
    shutil.copytree(ROOT / "migrations", migrations, ignore=shutil.ignore_patterns("__pycache__"))
    before = schema.head()
    for revision, statements in steps:
        text = MIGRATION.format(revision=revision, before=before, statements=statements)
        (migrations / "versions" / f"{revision}.py").write_text(text.lstrip(), encoding="utf-8")
        before = revision
    with patch.object(schema, "_location", lambda: migrations), patch.object(schema, "__version__", version):
        yield


@contextmanager
def program_of(version: str) -> Iterator[None]:
    """Let this process be the program of a version, with the migrations that we have."""
    with patch.object(schema, "__version__", version):
        yield


def catalog(database: Database) -> dict[str, Any]:
    """Return what writers and readers of a warehouse rely on."""
    with database.begin() as session:
        columns = {(row[0], row[1]): tuple(row[2:]) for row in session.exec_driver_sql(COLUMNS)}
        rules = {tuple(row) for row in session.exec_driver_sql(RULES)}
        functions = {row[0] for row in session.exec_driver_sql(FUNCTIONS)}
        said = session.exec_driver_sql("SELECT sync.compatible_from()").scalar_one()
    return {"columns": columns, "rules": rules, "functions": functions, "compatible_from": said}


def taken_away(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what a program that works on the schema before would miss in the one after, or could not write any more."""
    found = []
    tables = {table for table, _ in before["columns"]}
    for (table, column), (kind, required, _) in before["columns"].items():
        now = after["columns"].get((table, column))
        if now is None:
            found.append(f"{table}.{column} is gone")
        elif now[0] != kind:
            found.append(f"{table}.{column} was {kind} and is {now[0]}")
        elif now[1] and not required:
            found.append(f"{table}.{column} must not be null any more")
    for (table, column), (_, required, has_default) in after["columns"].items():
        if table in tables and (table, column) not in before["columns"] and required and not has_default:
            found.append(f"{table}.{column} is new, never null, and has no default")
    stricter = {rule for rule in after["rules"] - before["rules"] if rule[0] in tables}
    found += [f"{table} has a new rule: {rule}" for table, rule in sorted(stricter)]
    keys = {rule for rule in before["rules"] - after["rules"] if re.match("UNIQUE|PRIMARY", rule[1])}
    found += [f"{table} lost what ON CONFLICT names: {rule}" for table, rule in sorted(keys)]
    found += [f"{function} is gone" for function in sorted(before["functions"] - after["functions"])]
    return sorted(found)


def unannounced(releases: dict[str, dict[str, Any]], now: dict[str, Any]) -> dict[str, list[str]]:
    """Return what was taken from the writers of each release that may, by what the schema says now, still write into it."""
    oldest = _numbered(now["compatible_from"])
    found = {release: taken_away(before, now) for release, before in releases.items() if _numbered(release) >= oldest}
    return {release: taken for release, taken in found.items() if taken}


def _numbered(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
