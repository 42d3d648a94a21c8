"""Knows the columns of the views, for whoever selects from them; their SQL stands in the migrations."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Interval, MetaData, Table, Text

_VIEWS = MetaData()
"""Apart from the tables' registry, so that nothing tries to create a view as a table."""

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
)
