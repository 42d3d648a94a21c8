"""The tables that people query: calls and their children, agents, providers' counts. Columns for people come first."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from etl.model import OPEN_STATUSES, Status
from etl.warehouse.tables.metadata import METADATA, instant, key, one_of, optional, required, words

OPEN = words(OPEN_STATUSES)
"""The statuses of open calls, for `status IN (…)` in SQL."""

CHANGED_AT = (
    "Machine's: when this row was last written so that a reader sees a difference, by the clock of the database; select by it "
    "to copy calls on"
)

LONG = "greatest(ended_at, started_at, answered_at) - occurred_at > '22:00:00'::interval OR duration_seconds > 79200"
"""Whether a call may last beyond the day after its own: there are few, so that others need not be looked for so far back."""

calls = Table(
    "calls",
    METADATA,
    key("connection", "The configured account that the call was read from, by the name the configuration gives it"),
    key("call_id", "The id of the call at its provider, unique within a connection"),
    required("provider", Text, "The provider that the call was read from, by its short name"),
    Column(
        "day",
        Date,
        Computed("sync.reporting_day(occurred_at)", persisted=True),
        nullable=False,
        comment="The calendar day of occurred_at in the reporting time zone of this warehouse",
    ),
    required("occurred_at", instant(), "Where the call stands on the time line: when it was created, else started, else ended"),
    required(
        "status",
        Text,
        "How the call stands, in the same words for every provider. Open: queued, ringing, in_progress. "
        "Ended: completed, busy, no_answer, failed, canceled, rejected, voicemail. "
        "unknown: a word that this program does not know, see provider_status",
    ),
    optional("provider_status", Text, "The status in the provider's own word; null where the provider gives none"),
    optional("direction", Text, "inbound or outbound; null where the provider has no such notion or gave another word"),
    optional(
        "from_address",
        Text,
        "Personal: who called, a phone number in E.164 form (+14155550123) where it is valid, else as given",
    ),
    optional(
        "to_address",
        Text,
        "Personal: who was called, a phone number in E.164 form (+14155550123) where it is valid, else as given",
    ),
    optional("agent_id", Text, "The id of the voice agent or endpoint that handled the call, at the provider"),
    optional("created_at", instant(), "When the provider created the call; null where the provider does not say"),
    optional("ringing_at", instant(), "When the call began to ring; null where the provider does not say"),
    optional("started_at", instant(), "When the call started; null where the provider does not say"),
    optional("answered_at", instant(), "When the call was answered; null while it was not, or where the provider does not say"),
    optional("ended_at", instant(), "When the call ended; null while it has not, or where the provider does not say"),
    optional("duration_seconds", Integer, "The length of the call in seconds, as the provider gives it; never computed here"),
    required("is_test", Boolean, "Whether the provider marks the call as a test; false where the provider has no such notion"),
    optional("end_reason", Text, "Personal: why the call ended, in the provider's own words"),
    optional("error_reason", Text, "Personal: what went wrong with the call, in the provider's own words"),
    optional("latency_ms", Integer, "The delay that the provider measured, in milliseconds"),
    optional("cost", Numeric, "What the call cost, exact, in whole units of currency (dollars, not cents)"),
    optional("currency", Text, "The currency of cost, such as USD; null exactly where cost is null"),
    optional(
        "recording_url", Text, "Personal: where the recording was last offered for download; such an address may have expired"
    ),
    optional("transcript", Text, "Personal: what was said, as one text, where the provider gives it so"),
    optional("attributes", JSONB(), "Personal: what only this provider knows about the call, by the provider's own names"),
    required("raw", JSONB(), "Personal: the call exactly as the provider last listed it"),
    optional(
        "detail",
        JSONB(),
        "Personal: the call exactly as the provider last gave it when asked for this call alone; null where it was not asked",
    ),
    required("first_seen_at", instant(), "When this warehouse first saw the call"),
    required(
        "last_changed_at",
        instant(),
        "When this warehouse first saw the call as it stands here. To copy calls on, see call_changes",
    ),
    required("stream", Text, "Machine's: the stream that the call was read in (calls, or the id of an agent)"),
    required("cursor_at", instant(), "Machine's: the instant that places the call in its stream"),
    required("observed_at", instant(), "Machine's: when raw was observed; an older observation never overwrites a newer one"),
    optional("detail_observed_at", instant(), "Machine's: when detail was observed"),
    optional("detail_due_at", instant(), "Machine's: when the detail has to be asked for next; null: not any more"),
    required("content_hash", LargeBinary, "Machine's: what tells quickly whether a record that was read again has changed"),
    required("last_run_id", BigInteger, "Machine's: the run that last wrote this row (sync.runs.id, until that is pruned)"),
    required(
        "detail_failures",
        Integer,
        "Machine's: how many requests for the detail in a row brought nothing usable; 0: the last one did, or none was made",
        default="0",
    ),
    optional("parent_call_id", Text, "The call that this one is a leg of; null for a call of its own, as nearly all are"),
    required("changed_at", instant(), CHANGED_AT, default=text("now()")),
    one_of("status", Status),
    one_of("direction", ("inbound", "outbound")),
    CheckConstraint("(cost IS NULL) = (currency IS NULL)", name="cost_and_currency"),
    comment="One row per call that exists at its provider, the same columns for every provider. Times are "
    "instants; sum duration_seconds and cost freely",
)

Index("calls_cursor", calls.c.connection, calls.c.stream, calls.c.cursor_at)
Index("calls_open", calls.c.connection, calls.c.stream, postgresql_where=text(f"status IN ({OPEN})"))
Index(
    "calls_detail_due",
    calls.c.connection,
    calls.c.stream,
    calls.c.cursor_at,
    postgresql_where=text("detail_due_at IS NOT NULL"),
)
Index("calls_detail_failing", calls.c.connection, calls.c.stream, postgresql_where=text("detail_failures > 0"))
Index("calls_occurred_at", calls.c.occurred_at)
Index("calls_day", calls.c.connection, calls.c.day)
Index("calls_long", calls.c.connection, calls.c.day, postgresql_where=text(LONG))
Index("calls_changed_at", calls.c.changed_at, postgresql_using="brin")

call_participants = Table(
    "call_participants",
    METADATA,
    key("connection", "The configured account that the call was read from; join to calls by connection and call_id"),
    key("call_id", "The id of the call at its provider; join to calls by connection and call_id"),
    key("participant_id", "The id of this participation at the provider; the position in the list where the provider gives none"),
    optional("email", Text, "Personal: the e-mail address of the participant; null for a guest without a user"),
    optional("joined_at", instant(), "When the participant joined the call"),
    optional("left_at", instant(), "When the participant left the call"),
    optional("duration_seconds", Integer, "How long the participant was in the call, in seconds: left_at minus joined_at"),
    comment="One row per participation in a call: somebody who left and came back has two",
)

call_messages = Table(
    "call_messages",
    METADATA,
    key("connection", "The configured account that the call was read from; join to calls by connection and call_id"),
    key("call_id", "The id of the call at its provider; join to calls by connection and call_id"),
    key("message_id", "The id of the message at the provider; its position where the provider gives none"),
    required("position", Integer, "The place of the message in the conversation, from 1; order by it"),
    optional("role", Text, "Who spoke, in the provider's own word, such as assistant or user"),
    optional("text", Text, "Personal: what was said; null where the provider gives no text, such as for an attachment alone"),
    optional("message_type", Text, "What kind of message it is, in the provider's own word, such as text"),
    optional("sent_at", instant(), "When the message was sent; null where the provider does not say"),
    comment="One row per message of a conversation, where a provider gives it message by message; else see calls.transcript",
)

call_events = Table(
    "call_events",
    METADATA,
    key("connection", "The configured account that the call was read from; join to calls by connection and call_id"),
    key("call_id", "The id of the call at its provider; join to calls by connection and call_id"),
    key("event_id", "The id of the event at the provider; its position where the provider gives none"),
    required("position", Integer, "The place of the event in the provider's list, from 1"),
    optional("type", Text, "What happened, in the provider's own word"),
    optional("occurred_at", instant(), "When it happened; null where the provider does not say"),
    required("data", JSONB(), "Personal: the event as the provider gave it, whole"),
    comment="One row per event in the life of a call, where a provider gives them",
)

call_history = Table(
    "call_history",
    METADATA,
    key("connection", "The configured account that the call was read from"),
    key("call_id", "The id of the call at its provider, unique within a connection"),
    Column(
        "version",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="The number of this version of the call, from 1 without a gap; the version in calls follows the highest",
    ),
    required("status", Text, "How the call stood, in the same words as calls.status"),
    optional("provider_status", Text, "The status in the provider's own word; null where the provider gave none"),
    required("raw", JSONB(), "Personal: the call as the provider listed it"),
    optional(
        "detail",
        JSONB(),
        "Personal: the call as the provider gave it when asked for this call alone; null where it was not asked",
    ),
    required("valid_from", instant(), "When this warehouse first saw the call as it stands here"),
    required(
        "valid_to", instant(), "When the next version, or the absence of the call, was seen: true before it, no longer at it"
    ),
    required("deleted", Boolean, "Whether this version ended because the call was found gone at its provider"),
    required("stream", Text, "Machine's: the stream that the call was read in (calls, or the id of an agent)"),
    required("cursor_at", instant(), "Machine's: the instant that placed the call in its stream"),
    required("observed_at", instant(), "Machine's: when raw was observed"),
    optional("detail_observed_at", instant(), "Machine's: when detail was observed"),
    required("content_hash", LargeBinary, "Machine's: what told quickly whether a record that was read again had changed"),
    required("first_seen_at", instant(), "Machine's: when this warehouse first saw the call; the same as in calls"),
    optional("occurred_at", instant(), "As in calls; null for versions held before 0.2.0 until etl replay has filled it in"),
    optional("direction", Text, "As in calls"),
    optional("agent_id", Text, "As in calls"),
    optional("duration_seconds", Integer, "As in calls"),
    optional("cost", Numeric, "As in calls"),
    optional("currency", Text, "As in calls"),
    required(
        "changed_at", instant(), "Machine's: when this row was last written, by the clock of the database", default=text("now()")
    ),
    one_of("status", Status),
    CheckConstraint("valid_from < valid_to", name="validity"),
    comment="One row per version of a call that no longer holds; see the view call_versions for all versions together",
)

Index(
    "call_history_deleted",
    call_history.c.connection,
    call_history.c.valid_to,
    postgresql_where=call_history.c.deleted,
)
Index(
    "call_history_unfilled",
    call_history.c.connection,
    call_history.c.call_id,
    postgresql_where=call_history.c.occurred_at.is_(None),
)
Index("call_history_changed_at", call_history.c.changed_at, postgresql_using="brin")

provider_daily_totals = Table(
    "provider_daily_totals",
    METADATA,
    key("connection", "The configured account that the provider counted"),
    Column(
        "day",
        Date,
        primary_key=True,
        comment="The day as the provider names it; it ends at the provider's midnight, which need not be that of calls.day",
    ),
    required("calls", BigInteger, "How many calls the provider says that day had"),
    required("observed_at", instant(), "When the provider said so"),
    comment="One row per day that a provider itself counts: its own number of calls, to be shown beside this warehouse's",
)

agents = Table(
    "agents",
    METADATA,
    key("connection", "The configured account that the agent belongs to"),
    key("agent_id", "The id of the agent at its provider; calls.agent_id holds it"),
    optional("name", Text, "Personal: the name of the agent, as the provider last gave it"),
    optional("status", Text, "The status of the agent in the provider's own word"),
    required("first_seen_at", instant(), "When this warehouse first saw the agent"),
    required("last_seen_at", instant(), "When this warehouse last saw the agent at the provider"),
    optional("closed_at", instant(), "When the agent was found gone at the provider; null while it is there. Its calls stay"),
    optional("display_name", Text, "Personal: the name that you give the agent; it wins over name, and no sync writes it"),
    comment="One row per voice agent or endpoint: those that a provider lists, and all that calls name",
)

people = Table(
    "people",
    METADATA,
    Column("email", Text, primary_key=True, comment="Personal: the e-mail address, in small letters without blanks around it"),
    optional("name", Text, "Personal: the name of the person"),
    optional("team", Text, "The team of the person"),
    comment="The people of your company, for joining with person_daily and pair_weekly: yours to fill, no sync writes it",
)

numbers = Table(
    "numbers",
    METADATA,
    Column("number", Text, primary_key=True, comment="Personal: the number, as calls hold it: in E.164 form"),
    optional("name", Text, "Personal: what the number is called"),
    optional("team", Text, "The team that the number belongs to"),
    optional("time_zone", Text, "The time zone of who calls from there, such as Europe/Berlin"),
    comment="Your numbers, for joining with call_facts: yours to fill, no sync writes it",
)
