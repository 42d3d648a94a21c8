"""The columns of the views, for queries on them; the views' SQL is in the migrations."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, Interval, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

_VIEWS = MetaData()
"""Separate from the tables' metadata, so that nothing tries to create a view as a table."""

data_freshness = Table(
    "data_freshness",
    _VIEWS,
    Column("connection", Text),
    Column("provider", Text),
    Column("last_success", DateTime(timezone=True)),
    Column("fresh_until", DateTime(timezone=True)),
    Column("complete_until", DateTime(timezone=True)),
    Column("lag", Interval),
    Column("gaps", BigInteger),
    Column("unclosable_gaps", BigInteger),
    Column("open_calls", BigInteger),
    Column("details_due", BigInteger),
    Column("details_failing", BigInteger),
)

call_versions = Table(
    "call_versions",
    _VIEWS,
    Column("connection", Text),
    Column("call_id", Text),
    Column("version", Integer),
    Column("status", Text),
    Column("provider_status", Text),
    Column("raw", JSONB),
    Column("detail", JSONB),
    Column("valid_from", DateTime(timezone=True)),
    Column("valid_to", DateTime(timezone=True)),
    Column("deleted", Boolean),
)

deleted_calls = Table(
    "deleted_calls",
    _VIEWS,
    Column("connection", Text),
    Column("call_id", Text),
    Column("provider", Text),
    Column("status", Text),
    Column("raw", JSONB),
    Column("detail", JSONB),
    Column("first_seen_at", DateTime(timezone=True)),
    Column("deleted_at", DateTime(timezone=True)),
)

VIEWS = (data_freshness, call_versions, deleted_calls)
"""Every view of the warehouse."""
