"""
Knows what the tables share: the registry, the machine's schema, how a column and a closed list are written; no table.

People's tables carry no schema name: every session of `Database` has `public` alone on its search path, which is what lets
`alembic check` compare them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from sqlalchemy import BindParameter, CheckConstraint, Column, DateTime, MetaData, Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

T = TypeVar("T")

MACHINE = "sync"
"""The schema of the machine's own tables."""

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


def required(name: str, kind: type[TypeEngine[T]] | TypeEngine[T], comment: str, *, default: str | None = None) -> Column[T]:
    """Return a column that is never null; `default` is what the server fills in, as SQL."""
    return Column(name, kind, nullable=False, comment=comment, server_default=default)


def optional(name: str, kind: type[TypeEngine[T]] | TypeEngine[T], comment: str) -> Column[T]:
    """Return a column that may be null."""
    return Column(name, kind, comment=comment)


def instant() -> DateTime:
    """Return the type of every instant: `timestamptz`."""
    return DateTime(timezone=True)


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """
    Return the rule that `column` holds one of `values`.

    A rule and not an enum type: a migration can widen it inside its transaction, and BI tools see plain text.
    """
    return CheckConstraint(f"{column} IN ({words(values)})", name=column)


def words(values: Iterable[str]) -> str:
    """Return words of ours as a list in SQL."""
    return ", ".join(f"'{value}'" for value in values)


def texts(values: Collection[str]) -> BindParameter[Any]:
    """Return an array of texts as the parameter of a statement."""
    return bindparam(None, list(values), ARRAY(Text))
