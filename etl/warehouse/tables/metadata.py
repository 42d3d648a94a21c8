"""
What the tables share: the metadata, the schema `sync`, and functions that define columns and closed lists of values.

Tables in `public` carry no schema name. Every session of `Database` has only `public` on its search path, so `alembic check` can
compare them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from sqlalchemy import BindParameter, CheckConstraint, Column, DateTime, MetaData, Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.types import TypeEngine

T = TypeVar("T")

MACHINE = "sync"
"""The schema of the program's own tables."""

METADATA = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s",
    }
)


def key(name: str, comment: str) -> Column[str]:
    """Return a text column of the primary key."""
    return Column(name, Text, primary_key=True, comment=comment)


def required(
    name: str, kind: type[TypeEngine[T]] | TypeEngine[T], comment: str, *, default: str | TextClause | None = None
) -> Column[T]:
    """Return a column that is never null; `default` is the server's default: a literal, or SQL."""
    return Column(name, kind, nullable=False, comment=comment, server_default=default)


def optional(name: str, kind: type[TypeEngine[T]] | TypeEngine[T], comment: str) -> Column[T]:
    """Return a column that may be null."""
    return Column(name, kind, comment=comment)


def instant() -> DateTime:
    """Return the type of every instant: `timestamptz`."""
    return DateTime(timezone=True)


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """
    Return the check constraint that `column` holds one of `values`.

    Not an enum type, because a migration can widen a constraint inside its transaction, and BI tools see plain text.
    """
    return CheckConstraint(f"{column} IN ({words(values)})", name=column)


def words(values: Iterable[str]) -> str:
    """Return our own words as a list of SQL literals."""
    return ", ".join(f"'{value}'" for value in values)


def texts(values: Collection[str]) -> BindParameter[Any]:
    """Return an array of texts as a statement's parameter."""
    return bindparam(None, list(values), ARRAY(Text))
