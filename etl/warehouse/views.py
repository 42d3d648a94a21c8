"""The columns of the views, for queries on them; the views' SQL is in the migrations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Integer, MetaData, Numeric, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from etl.warehouse.tables import MACHINE
from etl.warehouse.tables.rollups import COUNTED

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
    Column("lag_seconds", BigInteger),
    Column("gaps", BigInteger),
    Column("unclosable_gaps", BigInteger),
    Column("open_calls", BigInteger),
    Column("details_due", BigInteger),
    Column("details_failing", BigInteger),
    Column("last_error_code", Text),
    Column("last_error_at", DateTime(timezone=True)),
    Column("proved_at", DateTime(timezone=True)),
    Column("proof", Text),
    Column("proved_calls", BigInteger),
    Column("provider_day_offset_minutes", Integer),
)

call_facts = Table(
    "call_facts",
    _VIEWS,
    Column("connection", Text),
    Column("call_id", Text),
    Column("call_key", Text),
    Column("provider", Text),
    Column("is_leg", Boolean),
    Column("occurred_at", DateTime(timezone=True)),
    Column("day", Date),
    Column("local_hour", Integer),
    Column("iso_weekday", Integer),
    Column("direction", Text),
    Column("status", Text),
    Column("is_test", Boolean),
    Column("is_open", Boolean),
    Column("is_answered", Boolean),
    Column("is_missed", Boolean),
    Column("is_abandoned", Boolean),
    Column("is_short_call", Boolean),
    Column("talk_seconds", BigInteger),
    Column("speed_of_answer_seconds", BigInteger),
    Column("duration_seconds", Integer),
    Column("our_number", Text),
    Column("customer_number", Text),
    Column("agent_id", Text),
    Column("agent_name", Text),
    Column("cost", Numeric(18, 6)),
    Column("currency", Text),
    Column("end_reason", Text),
    Column("error_reason", Text),
    Column("latency_ms", Integer),
    Column("has_recording", Boolean),
    Column("has_transcript", Boolean),
)


def _counts() -> list[Column[Any]]:
    """Return what a day's calls are counted by, for every relation of its own."""
    return [*(Column(name, BigInteger) for name in COUNTED), Column("cost", Numeric(38, 6))]


calls_daily = Table(
    "calls_daily",
    _VIEWS,
    Column("connection", Text),
    Column("day", Date),
    Column("direction", Text),
    Column("is_test", Boolean),
    Column("currency", Text),
    Column("provider", Text),
    *_counts(),
)

agent_daily = Table(
    "agent_daily",
    _VIEWS,
    Column("connection", Text),
    Column("day", Date),
    Column("direction", Text),
    Column("is_test", Boolean),
    Column("currency", Text),
    Column("agent_id", Text),
    Column("agent_name", Text),
    Column("provider", Text),
    *_counts(),
)

calls_hourly = Table(
    "calls_hourly",
    _VIEWS,
    Column("connection", Text),
    Column("hour", DateTime(timezone=True)),
    Column("direction", Text),
    Column("is_test", Boolean),
    Column("day", Date),
    Column("local_hour", Integer),
    Column("iso_weekday", Integer),
    Column("calls", BigInteger),
    Column("answered", BigInteger),
    Column("missed", BigInteger),
    Column("abandoned", BigInteger),
    Column("talk_seconds", BigInteger),
    Column("answer_wait_seconds", BigInteger),
    Column("answer_wait_calls", BigInteger),
    Column("answered_within_20s", BigInteger),
    Column("peak_concurrent", BigInteger),
)

hourly = Table(
    "hourly",
    _VIEWS,
    Column("connection", Text),
    Column("hour", DateTime(timezone=True)),
    Column("direction", Text),
    Column("is_test", Boolean),
    Column("day", Date),
    Column("calls", BigInteger),
    Column("answered", BigInteger),
    Column("missed", BigInteger),
    Column("abandoned", BigInteger),
    Column("talk_seconds", BigInteger),
    Column("answer_wait_seconds", BigInteger),
    Column("answer_wait_calls", BigInteger),
    Column("answered_within_20s", BigInteger),
    Column("peak_concurrent", BigInteger),
    Column("erlangs", Numeric(18, 6)),
    schema=MACHINE,
)

lines_hourly = Table(
    "lines_hourly",
    _VIEWS,
    Column("connection", Text),
    Column("hour", DateTime(timezone=True)),
    Column("day", Date),
    Column("local_hour", Integer),
    Column("iso_weekday", Integer),
    Column("peak_concurrent", BigInteger),
    Column("erlangs", Numeric(18, 6)),
)

talk_time_daily = Table(
    "talk_time_daily",
    _VIEWS,
    Column("connection", Text),
    Column("day", Date),
    Column("direction", Text),
    Column("is_test", Boolean),
    Column("bucket", Integer),
    Column("from_seconds", BigInteger),
    Column("to_seconds", BigInteger),
    Column("calls", BigInteger),
)

talk_time_monthly = Table(
    "talk_time_monthly",
    _VIEWS,
    Column("connection", Text),
    Column("month", Date),
    Column("direction", Text),
    Column("is_test", Boolean),
    Column("bucket", Integer),
    Column("from_seconds", BigInteger),
    Column("to_seconds", BigInteger),
    Column("calls", BigInteger),
)

person_daily = Table(
    "person_daily",
    _VIEWS,
    Column("connection", Text),
    Column("day", Date),
    Column("person", Text),
    Column("calls", BigInteger),
    Column("in_call_seconds", BigInteger),
    Column("paired_seconds", BigInteger),
    Column("solo_seconds", BigInteger),
    Column("first_joined_at", DateTime(timezone=True)),
    Column("last_left_at", DateTime(timezone=True)),
)

pair_weekly = Table(
    "pair_weekly",
    _VIEWS,
    Column("connection", Text),
    Column("week", Date),
    Column("person_a", Text),
    Column("person_b", Text),
    Column("calls", BigInteger),
    Column("seconds_together", BigInteger),
)

call_changes = Table(
    "call_changes",
    _VIEWS,
    Column("connection", Text),
    Column("call_id", Text),
    Column("changed_at", DateTime(timezone=True)),
    Column("is_deleted", Boolean),
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
    Column("occurred_at", DateTime(timezone=True)),
    Column("direction", Text),
    Column("agent_id", Text),
    Column("duration_seconds", Integer),
    Column("cost", Numeric),
    Column("currency", Text),
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
    Column("occurred_at", DateTime(timezone=True)),
    Column("direction", Text),
    Column("agent_id", Text),
    Column("duration_seconds", Integer),
    Column("cost", Numeric),
    Column("currency", Text),
)

occupied = Table(
    "occupied",
    _VIEWS,
    Column("connection", Text),
    Column("day", Date),
    Column("direction", Text),
    Column("is_test", Boolean),
    Column("is_long", Boolean),
    Column("began", DateTime(timezone=True)),
    Column("ended", DateTime(timezone=True)),
    schema=MACHINE,
)

occupying_calls = Table(
    "occupying_calls",
    _VIEWS,
    Column("connection", Text),
    Column("day", Date),
    Column("direction", Text),
    Column("is_test", Boolean),
    Column("is_long", Boolean),
    Column("began", DateTime(timezone=True)),
    Column("ended", DateTime(timezone=True)),
    Column("occurred_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    schema=MACHINE,
)

agents_by_day = Table(
    "agents_by_day",
    _VIEWS,
    Column("connection", Text),
    Column("day", Date),
    Column("direction", Text),
    Column("is_test", Boolean),
    Column("currency", Text),
    Column("agent_id", Text),
    Column("agent_key", Text),
    Column("provider", Text),
    *(Column(name, BigInteger) for name in COUNTED),
    Column("cost", Numeric(38, 6)),
    schema=MACHINE,
)

people_by_day = Table(
    "people_by_day",
    _VIEWS,
    Column("connection", Text),
    Column("day", Date),
    Column("person", Text),
    Column("person_key", Text),
    Column("calls", BigInteger),
    Column("in_call_seconds", BigInteger),
    Column("paired_seconds", BigInteger),
    Column("solo_seconds", BigInteger),
    Column("first_joined_at", DateTime(timezone=True)),
    Column("last_left_at", DateTime(timezone=True)),
    schema=MACHINE,
)

pairs_by_week = Table(
    "pairs_by_week",
    _VIEWS,
    Column("connection", Text),
    Column("week", Date),
    Column("person_a", Text),
    Column("person_b", Text),
    Column("person_a_key", Text),
    Column("person_b_key", Text),
    Column("calls", BigInteger),
    Column("seconds_together", BigInteger),
    schema=MACHINE,
)

VIEWS = (
    data_freshness,
    call_facts,
    calls_daily,
    agent_daily,
    calls_hourly,
    lines_hourly,
    talk_time_daily,
    talk_time_monthly,
    person_daily,
    pair_weekly,
    call_changes,
    call_versions,
    deleted_calls,
    occupied,
    occupying_calls,
    hourly,
    agents_by_day,
    people_by_day,
    pairs_by_week,
)
"""Every view of the warehouse."""
