"""
The stored rows of the roll-ups, and which days of them are to be made again.

People read the views of the same names in `public`, which show the stored rows of untouched days and compute touched days from
`calls`. Where a key is null there, it is the empty text here, since a key may hold no null.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from etl.warehouse.tables.metadata import MACHINE, METADATA, instant, key, optional, required

CONNECTION = "The configured account"
DAY = "The day in the reporting time zone"
DIRECTION = "inbound or outbound; empty where the provider has no such notion"
CURRENCY = "The currency of cost; empty for calls without a cost"
TEST = "Whether these are test calls"

METRICS = {
    "calls": "Calls; legs (parent_call_id is not null) are not counted",
    "open_calls": "Calls that had not ended: queued, ringing, in_progress, and unknown words",
    "answered": "Calls with an answered_at, or whose status is in_progress or completed",
    "completed": "Calls whose status is completed",
    "missed": "Inbound calls that ended and were not answered",
    "abandoned": "Inbound calls whose status is canceled: the caller gave up",
    "busy": "Calls whose status is busy",
    "no_answer": "Calls whose status is no_answer",
    "failed": "Calls whose status is failed",
    "canceled": "Calls whose status is canceled, in either direction",
    "rejected": "Calls whose status is rejected",
    "voicemail": "Calls whose status is voicemail",
    "unknown": "Calls whose status is a word that this program does not know",
    "short_calls": "Answered calls with less than 10 seconds of talk",
    "talk_seconds": "Seconds of talk: from answered_at to ended_at, else duration_seconds, of answered calls",
    "duration_seconds": "The provider's durations of answered calls, in seconds",
    "answer_wait_seconds": "Seconds from ringing_at, else created_at, to answered_at; divide by answer_wait_calls",
    "answer_wait_calls": "Calls of which these seconds are known",
    "answered_within_20s": "Calls of which they are known to be 20 at most: the service level 80/20 divides by answer_wait_calls",
    "peak_concurrent": "The largest number of calls going on at one instant of the hour",
    "in_call_seconds": "Seconds in calls; what overlaps counts once",
    "paired_seconds": "Seconds in a call together with another participant; what overlaps counts once",
    "solo_seconds": "Seconds alone in a call: in_call_seconds without paired_seconds",
    "seconds_together": "Seconds that both were in a call together; what overlaps counts once",
}
"""What is counted and summed, in whole seconds, never null."""

touched_days = Table(
    "touched_days",
    METADATA,
    key("connection", CONNECTION),
    Column("day", Date, primary_key=True, comment="The day whose roll-ups are to be made again"),
    required(
        "people_only",
        Boolean,
        "Whether those of calls are made again already, and only those of people and pairs are not",
        default="false",
    ),
    required(
        "being_made",
        Boolean,
        "Whether its roll-ups are being made beside the pages of a run: they are stored only if it still says so then, "
        "since a write that touches the day takes it back",
        default="false",
    ),
    schema=MACHINE,
    comment="One row per day that a write has touched and whose roll-ups were not made again since: it is computed when read",
)


def _date(name: str, comment: str) -> Column[object]:
    return Column(name, Date, primary_key=True, comment=comment)


def _flag(name: str, comment: str) -> Column[bool]:
    return Column(name, Boolean, primary_key=True, comment=comment)


def _bucket() -> Column[int]:
    return Column(
        "bucket",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="Talk time in seconds up to 59; from 60 on geometric with factor 1.04",
    )


def _numbers(*names: str) -> list[Column[int]]:
    return [required(name, BigInteger, METRICS[name]) for name in names]


COUNTED = (
    "calls", "open_calls", "answered", "completed", "missed", "abandoned", "busy", "no_answer", "failed", "canceled", "rejected",
    "voicemail", "unknown", "short_calls", "talk_seconds", "duration_seconds", "answer_wait_seconds", "answer_wait_calls",
    "answered_within_20s",
)  # fmt: skip
"""What the daily roll-ups count and sum."""

calls_daily = Table(
    "calls_daily",
    METADATA,
    key("connection", CONNECTION),
    _date("day", DAY),
    key("direction", DIRECTION),
    _flag("is_test", TEST),
    key("currency", CURRENCY),
    required("provider", Text, "The provider of the account"),
    *_numbers(*COUNTED),
    optional("cost", Numeric(38, 6), "What these calls cost"),
    schema=MACHINE,
    comment="The stored rows of the view calls_daily",
)

agent_daily = Table(
    "agent_daily",
    METADATA,
    key("connection", CONNECTION),
    _date("day", DAY),
    key("agent_id", "The agent; empty for calls without one"),
    key("direction", DIRECTION),
    _flag("is_test", TEST),
    key("currency", CURRENCY),
    required("provider", Text, "The provider of the account"),
    *_numbers(*COUNTED),
    optional("cost", Numeric(38, 6), "What these calls cost"),
    required("agent_key", Text, "Stands for the agent; null for calls without one"),
    schema=MACHINE,
    comment="The stored rows of the view agent_daily",
)

calls_hourly = Table(
    "calls_hourly",
    METADATA,
    key("connection", CONNECTION),
    _date("day", DAY),
    Column("hour", instant(), primary_key=True, comment="The beginning of the local hour"),
    key("direction", DIRECTION),
    _flag("is_test", TEST),
    *_numbers(
        "calls",
        "answered",
        "missed",
        "abandoned",
        "talk_seconds",
        "answer_wait_seconds",
        "answer_wait_calls",
        "answered_within_20s",
        "peak_concurrent",
    ),
    required("erlangs", Numeric(18, 6), "The traffic of these calls in this hour in erlangs"),
    schema=MACHINE,
    comment="The stored rows of the view calls_hourly",
)

lines_hourly = Table(
    "lines_hourly",
    METADATA,
    key("connection", CONNECTION),
    _date("day", DAY),
    Column("hour", instant(), primary_key=True, comment="The beginning of the local hour"),
    *_numbers("peak_concurrent"),
    required("erlangs", Numeric(18, 6), "The traffic of this hour in erlangs"),
    schema=MACHINE,
    comment="The stored rows of the view lines_hourly",
)

talk_time_daily = Table(
    "talk_time_daily",
    METADATA,
    key("connection", CONNECTION),
    _date("day", DAY),
    key("direction", DIRECTION),
    _flag("is_test", TEST),
    _bucket(),
    *_numbers("calls"),
    # With the count, so that a range of days is read from the index alone: half of what the table's rows cost.
    PrimaryKeyConstraint(postgresql_include=["calls"]),
    schema=MACHINE,
    comment="The stored rows of the view talk_time_daily",
)

talk_time_monthly = Table(
    "talk_time_monthly",
    METADATA,
    key("connection", CONNECTION),
    _date("month", "The first day of the month"),
    key("direction", DIRECTION),
    _flag("is_test", TEST),
    _bucket(),
    *_numbers("calls"),
    schema=MACHINE,
    comment="The stored rows of the view talk_time_monthly",
)

person_daily = Table(
    "person_daily",
    METADATA,
    key("connection", CONNECTION),
    _date("day", DAY),
    key("person", "Personal: the e-mail address, in small letters"),
    *_numbers("calls", "in_call_seconds", "paired_seconds", "solo_seconds"),
    optional("first_joined_at", instant(), "When the person first joined a call of this day"),
    optional("last_left_at", instant(), "When the person last left a call of this day"),
    required("person_key", Text, "Stands for the person's e-mail address: the same one has the same key everywhere"),
    schema=MACHINE,
    comment="The stored rows of the view person_daily",
)

pair_weekly = Table(
    "pair_weekly",
    METADATA,
    key("connection", CONNECTION),
    _date("week", "The Monday of the week"),
    key("person_a", "Personal: the one's e-mail address, in small letters"),
    key("person_b", "Personal: the other's e-mail address, in small letters"),
    *_numbers("calls", "seconds_together"),
    required("person_a_key", Text, "Stands for the one's e-mail address"),
    required("person_b_key", Text, "Stands for the other's e-mail address"),
    schema=MACHINE,
    comment="The stored rows of the view pair_weekly",
)

salt = Table(
    "salt",
    METADATA,
    Column("one", Boolean, primary_key=True, server_default="true", comment="There is one row"),
    required("salt", LargeBinary, "32 random bytes that stand in nothing else"),
    CheckConstraint("one", name="one"),
    schema=MACHINE,
    comment="What the keys of the schema masked are hashed with; whoever may read it can find out whose they are",
)

KEYED = {
    "agent_key": "connection || ':' || agent_id",
    "person_key": "person",
    "person_a_key": "person_a",
    "person_b_key": "person_b",
}
"""The keys that stored roll-ups keep, and what each is the salted hash of, in the columns of the reading view."""


def keyed(name: str) -> str:
    """Return the SQL that makes a key that stored roll-ups keep."""
    salted = f"(SELECT salt FROM sync.salt) || convert_to({KEYED[name]}, 'UTF8')"  # noqa: S608 - names of ours
    return f"coalesce(substr(encode(sha256({salted}), 'hex'), 1, 32), '')"


OF_CALLS = (calls_daily, agent_daily, calls_hourly, lines_hourly, talk_time_daily)
"""The roll-ups of calls by day, in the order in which they are made."""
