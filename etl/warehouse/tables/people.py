"""Knows the tables that people query: calls, their participants, agents. The columns that people use come first."""

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
from etl.warehouse.tables.metadata import METADATA, instant, key, one_of, optional, required

_OPEN = ", ".join(f"'{status}'" for status in OPEN_STATUSES)

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
        "Who called: a phone number in E.164 form (+14155550123) where it is a valid one, else as the provider gives it",
    ),
    optional(
        "to_address",
        Text,
        "Who was called: a phone number in E.164 form (+14155550123) where it is a valid one, else as the provider gives it",
    ),
    optional("agent_id", Text, "The id of the voice agent or endpoint that handled the call, at the provider"),
    optional("created_at", instant(), "When the provider created the call; null where the provider does not say"),
    optional("ringing_at", instant(), "When the call began to ring; null where the provider does not say"),
    optional("started_at", instant(), "When the call started; null where the provider does not say"),
    optional("answered_at", instant(), "When the call was answered; null while it was not, or where the provider does not say"),
    optional("ended_at", instant(), "When the call ended; null while it has not, or where the provider does not say"),
    optional("duration_seconds", Integer, "The length of the call in seconds, as the provider gives it; never computed here"),
    required("is_test", Boolean, "Whether the provider marks the call as a test; false where the provider has no such notion"),
    optional("end_reason", Text, "Why the call ended, in the provider's own words"),
    optional("error_reason", Text, "What went wrong with the call, in the provider's own words"),
    optional("latency_ms", Integer, "The delay that the provider measured, in milliseconds"),
    optional("cost", Numeric, "What the call cost, exact, in whole units of currency (dollars, not cents)"),
    optional("currency", Text, "The currency of cost, such as USD; null exactly where cost is null"),
    optional("recording_url", Text, "Where the recording was last offered for download; such an address may have expired"),
    optional("transcript", Text, "What was said, as one text, where the provider gives it so"),
    optional("attributes", JSONB(), "What only this provider knows about the call, by the provider's own names"),
    required("raw", JSONB(), "The call exactly as the provider last listed it"),
    optional(
        "detail",
        JSONB(),
        "The call exactly as the provider last gave it when asked for this call alone; null where it was not asked",
    ),
    required("first_seen_at", instant(), "When this warehouse first saw the call"),
    required(
        "last_changed_at",
        instant(),
        "When this warehouse first saw the call as it stands here; select by it to follow changes",
    ),
    required("stream", Text, "Machine's: the stream that the call was read in (calls, or the id of an agent)"),
    required("cursor_at", instant(), "Machine's: the instant that places the call in its stream"),
    required("observed_at", instant(), "Machine's: when raw was observed; an older observation never overwrites a newer one"),
    optional("detail_observed_at", instant(), "Machine's: when detail was observed"),
    optional("detail_due_at", instant(), "Machine's: when the detail has to be asked for next; null: not any more"),
    required("content_hash", LargeBinary, "Machine's: what tells quickly whether a record that was read again has changed"),
    required("last_run_id", BigInteger, "Machine's: the run that last wrote this row (sync.runs.id)"),
    one_of("status", Status),
    one_of("direction", ("inbound", "outbound")),
    CheckConstraint("(cost IS NULL) = (currency IS NULL)", name="cost_and_currency"),
    comment="One row per call that exists at its provider, the same columns for every provider. Times are "
    "instants; sum duration_seconds and cost freely",
)

Index("calls_cursor", calls.c.connection, calls.c.stream, calls.c.cursor_at)
Index("calls_open", calls.c.connection, calls.c.stream, postgresql_where=text(f"status IN ({_OPEN})"))
Index(
    "calls_detail_due",
    calls.c.connection,
    calls.c.stream,
    calls.c.cursor_at,
    postgresql_where=text("detail_due_at IS NOT NULL"),
)
Index("calls_occurred_at", calls.c.occurred_at)

call_participants = Table(
    "call_participants",
    METADATA,
    key("connection", "The configured account that the call was read from; join to calls by connection and call_id"),
    key("call_id", "The id of the call at its provider; join to calls by connection and call_id"),
    key("participant_id", "The id of this participation at the provider; the position in the list where the provider gives none"),
    optional("email", Text, "The e-mail address of the participant; null for a guest without a user"),
    optional("joined_at", instant(), "When the participant joined the call"),
    optional("left_at", instant(), "When the participant left the call"),
    optional("duration_seconds", Integer, "How long the participant was in the call, in seconds: left_at minus joined_at"),
    comment="One row per participation in a call: somebody who left and came back has two",
)

agents = Table(
    "agents",
    METADATA,
    key("connection", "The configured account that the agent belongs to"),
    key("agent_id", "The id of the agent at its provider; calls.agent_id holds it"),
    optional("name", Text, "The name of the agent, as the provider last gave it"),
    optional("status", Text, "The status of the agent in the provider's own word"),
    required("first_seen_at", instant(), "When this warehouse first saw the agent"),
    required("last_seen_at", instant(), "When this warehouse last saw the agent at the provider"),
    optional("closed_at", instant(), "When the agent was found gone at the provider; null while it is there. Its calls stay"),
    comment="One row per voice agent, where a provider keeps the calls of each agent apart",
)
