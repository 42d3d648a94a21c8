"""The program's own tables: who owns a connection, what was read, runs, rejects, drift, audits."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSTZMULTIRANGE

from etl.alerts.changes import Kind, State
from etl.model import Drift, Rejection, Verdict
from etl.records.persons import Kind as PersonKind
from etl.runs.terms import RunKind, RunStatus, Trigger
from etl.warehouse.tables.metadata import MACHINE, METADATA, instant, key, one_of, optional, required

connections = Table(
    "connections",
    METADATA,
    key("connection", "The configured account, by the name the configuration gives it"),
    required("provider", Text, "The provider that this account is at"),
    optional(
        "owner_run",
        BigInteger,
        "The run that may write rows of this connection (sync.runs.id): the fence; null before the first run",
    ),
    optional("pinned_organization", Text, "The organisation whose calls this account may hold; a row of another one is refused"),
    required("capabilities", JSONB(), "What was found out about the provider's paging and order, and when", default="{}"),
    required(
        "request_log", JSONB(), "No longer used: what must be remembered of requests stands in sync.allowances", default="{}"
    ),
    required(
        "agents_are_people",
        Boolean,
        "Whether the provider says that its agents are people, whose ids and names are then personal",
        default="false",
    ),
    required(
        "erasures",
        BigInteger,
        "How often somebody was erased: it moves with every erasure, so that a page that is being read takes notice",
        default="0",
    ),
    required("erasures_done", BigInteger, "Up to which of these what is held has been gone through", default="0"),
    optional("erase_calls_before", instant(), "Calls before this instant are erased by their age, also when they are read again"),
    optional("calls_erased_before", instant(), "Up to which instant what is held of them has been gone through"),
    optional("erase_words_before", instant(), "The same for what was said in calls: transcripts, messages, recordings"),
    optional("words_erased_before", instant(), "Up to which instant what is held of that has been gone through"),
    schema=MACHINE,
    comment="One row per connection: its owner, and what was found out about its provider",
)

allowances = Table(
    "allowances",
    METADATA,
    key("account", "The account: a keyed hash (sync.account_key) of provider and token, from which neither can be found"),
    required("memory", JSONB(), "What its limits must remember: the limits, and when requests were answered", default="{}"),
    optional("paused_until", instant(), "Nothing is asked for before this instant, because the provider said so; else null"),
    optional("day", Date, "The day (UTC) that day_requests counts; null before the first request"),
    required("day_requests", BigInteger, "Requests that were sent on that day", default="0"),
    optional("owner", BigInteger, "The process that uses the account; null if none does, and what stands here is complete"),
    optional("written_at", instant(), "When its owner last wrote this row: at most once a second while requests go out"),
    optional("wanted_at", instant(), "When another process asked for the account in vain; null while nobody waits"),
    schema=MACHINE,
    comment="One row per account (a provider and a token): what is used of its request allowance, across runs and machines",
)

account_key = Table(
    "account_key",
    METADATA,
    Column("key", LargeBinary, primary_key=True, comment="32 random bytes of this warehouse alone"),
    schema=MACHINE,
    comment="One row: the key of the hashes in sync.allowances; it has no other use",
)

state = Table(
    "state",
    METADATA,
    key("connection", "The configured account"),
    key("stream", "What is read with its own cursor: calls, or the id of an agent"),
    optional("high_water_mark", instant(), "The instant up to which the stream was read without a gap; null until there is one"),
    required("coverage", TSTZMULTIRANGE(), "The ranges of the cursor that were read at least once", default="{}"),
    required(
        "settled",
        TSTZMULTIRANGE(),
        "The part of coverage that was read when it was already older than the lookback",
        default="{}",
    ),
    optional("horizon", instant(), "The oldest instant that the provider was seen to serve; a gap below it cannot be closed"),
    optional(
        "domain_start",
        instant(),
        "The start_date that the last run was configured with; null: everything that the provider has",
    ),
    optional(
        "closed_at",
        instant(),
        "Since when the stream is read no more: its agent is gone at the provider, or is not configured; null while it is read",
    ),
    required("updated_at", instant(), "When this row was last written"),
    schema=MACHINE,
    comment="One row per stream: which ranges of time were read. Gaps are what its domain holds beyond coverage",
)

runs = Table(
    "runs",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True, comment="The number of the run; a later run has a higher one"),
    required("connection", Text, "The configured account that the run synced"),
    required("trigger", Text, "Who started the run: cli, worker or library"),
    required(
        "status",
        Text,
        "running, succeeded, partial (the day's requests are spent; the next run goes on), failed or crashed",
    ),
    required("started_at", instant(), "When the run started"),
    optional("finished_at", instant(), "When the run ended; null while it runs"),
    required("requests", BigInteger, "Requests sent to the provider, repeated ones included", default="0"),
    required("retries", BigInteger, "Requests that had to be sent again", default="0"),
    required("pages", BigInteger, "Pages of records that were read", default="0"),
    required("records_seen", BigInteger, "Records that stood on those pages", default="0"),
    required("inserted", BigInteger, "Calls that were new", default="0"),
    required("updated", BigInteger, "Calls that had changed", default="0"),
    required("unchanged", BigInteger, "Calls that were read again and had not changed: not written", default="0"),
    required("deleted", BigInteger, "Calls that were found gone at the provider", default="0"),
    required("rejected", BigInteger, "Records that could not become a call (sync.rejected_records)", default="0"),
    required("late", BigInteger, "Calls that appeared in a stretch of time that had been read before", default="0"),
    optional("max_lateness", Interval, "The longest delay with which such a call appeared; null where none was late"),
    optional("error_code", Text, "What kind of failure ended the run, as a stable word; null where none did"),
    optional("error_message", Text, "What went wrong and what to do next; holds no secret and no personal data"),
    required(
        "kind",
        Text,
        "What the run did: sync, repair (etl audit --repair), replay (etl replay), rebuild (etl rollups rebuild) or erase "
        "(etl forget, and what erase_calls_after and erase_transcripts_after say)",
        default="sync",
    ),
    one_of("trigger", Trigger),
    one_of("status", RunStatus),
    one_of("kind", RunKind),
    schema=MACHINE,
    comment="One row per run: an attempt to sync one connection",
)

Index("runs_of_connection", runs.c.connection, runs.c.id.desc())
Index("runs_with_errors", runs.c.connection, runs.c.id.desc(), postgresql_where=runs.c.error_code.is_not(None))

# What a run looks up at its start, and `etl status`, may not depend on how many runs, audits and rejects there were.
Index("runs_running", runs.c.connection, postgresql_where=text("status = 'running'"))
Index(
    "runs_succeeded_syncs",
    runs.c.connection,
    runs.c.id.desc(),
    postgresql_where=text("status = 'succeeded' AND kind = 'sync'"),
)
Index("runs_with_late_calls", runs.c.connection, runs.c.started_at, postgresql_where=text("max_lateness IS NOT NULL"))

rejected_records = Table(
    "rejected_records",
    METADATA,
    key("connection", "The configured account that the record was read from"),
    key("stream", "The stream that the record was read in"),
    key("record_key", "What tells one bad record from another: derived from its text"),
    optional("call_id", Text, "The id of the call at its provider, where the record has one that can be read"),
    required(
        "reason",
        Text,
        "Why the record could not become a call: not_an_object, missing_id, bad_cursor (no usable time), id_too_long, "
        "id_in_two_streams or database_refused",
    ),
    required("raw_text", Text, "Personal: the record as the provider sent it"),
    required("first_seen_at", instant(), "When the record was first seen"),
    required("last_seen_at", instant(), "When the record was last seen"),
    required("sightings", Integer, "How often the record was seen", default="1"),
    optional("resolved_at", instant(), "When the record became a call after all; null while it has not"),
    one_of("reason", Rejection),
    schema=MACHINE,
    comment="One row per distinct record that could not become a call; nothing is dropped silently",
)

Index(
    "rejected_records_open",
    rejected_records.c.connection,
    rejected_records.c.stream,
    postgresql_where=text("resolved_at IS NULL"),
)
Index(
    "rejected_records_resolved",
    rejected_records.c.connection,
    rejected_records.c.resolved_at,
    postgresql_where=text("resolved_at IS NOT NULL"),
)

schema_drift = Table(
    "schema_drift",
    METADATA,
    key("connection", "The configured account whose records departed from what the provider documents"),
    key("path", "Where in the record: the keys, joined by dots"),
    Column(
        "kind",
        Text,
        primary_key=True,
        comment="How: new_field, wrong_type, out_of_range, new_status, end_before_start or cleaned_text (characters "
        "that cannot be stored)",
    ),
    optional("sample", Text, "An example of what was found; holds no personal data"),
    required("count", BigInteger, "How often it was found", default="1"),
    required("first_seen_at", instant(), "When it was first found"),
    required("last_seen_at", instant(), "When it was last found"),
    one_of("kind", Drift),
    schema=MACHINE,
    comment="One row per way in which a provider's records depart from its documentation",
)

audits = Table(
    "audits",
    METADATA,
    key("connection", "The configured account that was audited"),
    key("stream", "The stream that was audited: calls, or the id of an agent"),
    Column(
        "range_start",
        instant(),
        primary_key=True,
        comment="Calls whose cursor lies from this instant on were counted; -infinity: without a lower bound",
    ),
    Column("checked_at", instant(), primary_key=True, comment="When the audit was made"),
    required(
        "range_end", instant(), "Calls whose cursor lies before this instant were counted; infinity: without an upper bound"
    ),
    optional("provider_count", BigInteger, "How many calls the provider says there are; null where it does not say"),
    optional("warehouse_count", BigInteger, "How many calls the warehouse holds; null where they were not counted"),
    optional(
        "rejected_count", BigInteger, "How many unresolved rejects the warehouse holds besides; null where they were not counted"
    ),
    required(
        "verdict",
        Text,
        "complete (the provider's count is that of calls and rejects), mismatch, repaired (was one and is none any more) "
        "or unverifiable (the provider has no count to compare with)",
    ),
    optional("note", Text, "What the warehouse, compared with itself, was found to be, in words; holds no personal data"),
    one_of("verdict", Verdict),
    schema=MACHINE,
    comment="One row per stretch of time that was audited: what the provider counts beside what the warehouse holds",
)

Index("audits_latest", audits.c.connection, audits.c.checked_at.desc())
Index("audits_of_stream", audits.c.connection, audits.c.stream, audits.c.checked_at.desc())

alerts = Table(
    "alerts",
    METADATA,
    key("connection", "The configured account that the alert is about"),
    Column(
        "kind",
        Text,
        primary_key=True,
        comment="What it is about: behind (no sync got through for longer than notify.alert_after after one was due), "
        "proof_failed (the newest audit found what does not agree), gap_lost (a stretch of time can be read no more) or "
        "no_new_calls (for longer than the longest pause of the 28 days before)",
    ),
    required("state", Text, "open, or closed: it is over, and that was told as well"),
    required("since", instant(), "When this state began"),
    optional("notified_at", instant(), "When this state was told; null while it is still to be told"),
    required("number", BigInteger, "How many there are: gaps that cannot be closed; 1 for the other kinds"),
    required(
        "looked_at", instant(), "When a worker that has the connection configured last looked at it, give or take some minutes"
    ),
    one_of("kind", Kind),
    one_of("state", State),
    schema=MACHINE,
    comment="One row per connection and thing that somebody was told of, or is to be told of",
)

erasure_key = Table(
    "erasure_key",
    METADATA,
    Column(
        "proof",
        LargeBinary,
        primary_key=True,
        comment="A keyed hash of words that everybody knows: it tells another key from the right one, and nothing else",
    ),
    schema=MACHINE,
    comment="One row, once something was forgotten: how warehouse.erasure_key is known, which stands in no table",
)

erasures = Table(
    "erasures",
    METADATA,
    Column(
        "hash",
        LargeBinary,
        primary_key=True,
        comment="HMAC-SHA-256 of the number or address in its one form, with warehouse.erasure_key; says nothing without it",
    ),
    required("kind", Text, "phone or email"),
    required("erased_at", instant(), "When it was first asked for"),
    one_of("kind", PersonKind),
    schema=MACHINE,
    comment="One row per phone number or e-mail address that was forgotten: its keyed hash keeps it from coming back",
)

erased_calls = Table(
    "erased_calls",
    METADATA,
    key("connection", "The configured account that the call was read from"),
    key("call_id", "The id of the call at its provider"),
    required("erased_at", instant(), "When it was erased"),
    optional("deletion", Text, "Whether it is to be deleted at the provider too: asked or done; null: it is not"),
    CheckConstraint("deletion IN ('asked', 'done')", name="deletion"),
    schema=MACHINE,
    comment="One row per call that is erased, itself or because somebody erased appears in it, and stays so",
)

erasure_receipts = Table(
    "erasure_receipts",
    METADATA,
    key("receipt", "The name of the receipt: a random one"),
    required("asked", Text, "What was to be forgotten: phone, email, call, or list (etl forget --from). Never which"),
    required("asked_at", instant(), "When it was asked for"),
    optional("finished_at", instant(), "When all that was held had been gone through; null: it was not, and is to be run again"),
    required("calls", BigInteger, "Calls that were cut to ids, times, status and measures", default="0"),
    required("versions", BigInteger, "Superseded versions of calls that were cut", default="0"),
    required("rejects", BigInteger, "Rejected records whose text was cut", default="0"),
    required("others", BigInteger, "Rows of people, numbers, agents and the program's own that were cut", default="0"),
    required("deleted", BigInteger, "Calls that were deleted at their provider (--at-provider)", default="0"),
    schema=MACHINE,
    comment="One row per etl forget: what was done, without a personal datum",
)
