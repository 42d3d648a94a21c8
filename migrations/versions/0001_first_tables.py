"""
The first tables: calls, their participants, agents; the machine's connections, state, runs, rejects and drift.

The schema `sync` itself is made before the first migration, since the version is kept in it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)

COMPRESSED = ("transcript", "attributes", "raw", "detail")
"""The columns of `calls` that may be long enough to be stored compressed."""

REPORTING_TIMEZONE = """
CREATE FUNCTION sync.reporting_timezone() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'UTC'::text
"""

REPORTING_DAY = """
CREATE FUNCTION sync.reporting_day(instant timestamptz) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (instant AT TIME ZONE sync.reporting_timezone())::date
"""

DATA_FRESHNESS = """
CREATE VIEW data_freshness AS
WITH reach AS (
    SELECT
        connection,
        stream,
        high_water_mark,
        coverage,
        horizon,
        closed_at,
        -- Where holes begin to count. Below the horizon only what lies above the oldest range ever read is a hole: there was
        -- something, and it can be had no more. Without a horizon the past was not read to its end: all of it is a hole.
        CASE WHEN horizon IS NULL THEN domain_start ELSE greatest(domain_start, least(lower(coverage), horizon)) END AS beginning
    FROM sync.state
),
streams AS (
    SELECT
        reach.connection,
        high_water_mark,
        upper(coverage) AS fresh_until,
        closed_at,
        horizon,
        CASE
            WHEN isempty(coverage) OR beginning >= upper(coverage) THEN '{}'::tstzmultirange
            ELSE tstzmultirange(tstzrange(beginning, upper(coverage))) - coverage
        END AS holes
    FROM reach
),
judged AS (
    -- A range without a lower bound, up to the horizon; without a horizon nothing is lost.
    SELECT *, CASE WHEN horizon IS NULL THEN '{}' ELSE holes * tstzmultirange(tstzrange(NULL, horizon)) END AS lost FROM streams
),
-- An agent that is gone is read no further, so its stream says nothing about freshness; its holes stay holes.
summary AS (
    SELECT
        connection,
        min(fresh_until) FILTER (WHERE closed_at IS NULL) AS fresh_until,
        count(*) FILTER (WHERE closed_at IS NULL AND fresh_until IS NULL) AS unread,
        min(high_water_mark) FILTER (WHERE closed_at IS NULL) AS complete_until,
        count(*) FILTER (WHERE closed_at IS NULL AND high_water_mark IS NULL) AS incomplete,
        sum((SELECT count(*) FROM unnest(holes))) AS gaps,
        sum((SELECT count(*) FROM unnest(lost))) AS unclosable_gaps
    FROM judged
    GROUP BY connection
)
SELECT
    connections.connection,
    connections.provider,
    (
        SELECT runs.finished_at
        FROM sync.runs
        WHERE runs.connection = connections.connection AND runs.status = 'succeeded'
        ORDER BY runs.id DESC
        LIMIT 1
    ) AS last_success,
    CASE WHEN unread = 0 THEN fresh_until END AS fresh_until,
    CASE WHEN incomplete = 0 THEN complete_until END AS complete_until,
    CASE WHEN unread = 0 THEN now() - fresh_until END AS lag,
    coalesce(gaps, 0)::bigint AS gaps,
    coalesce(unclosable_gaps, 0)::bigint AS unclosable_gaps
FROM sync.connections
LEFT JOIN summary ON summary.connection = connections.connection
"""

COMMENTS = {
    "SCHEMA sync": "The call warehouse's own bookkeeping; analysts need only the schema public",
    "TABLE sync.alembic_version": "The version of this schema",
    "COLUMN sync.alembic_version.version_num": "The newest migration that was applied",
    "FUNCTION sync.reporting_timezone()": "The time zone whose midnight ends a day; this function is the one place that holds it",
    "FUNCTION sync.reporting_day(timestamptz)": "The calendar day of an instant in the reporting time zone",
    "VIEW data_freshness": "One row per connection: how far its calls can be trusted to be there",
    "COLUMN data_freshness.connection": "The configured account, by the name the configuration gives it",
    "COLUMN data_freshness.provider": "The provider that this account is at, by its short name",
    "COLUMN data_freshness.last_success": "When the last successful run ended; null before the first",
    "COLUMN data_freshness.fresh_until": "Calls were read up to this instant in every stream; null while one was never read",
    "COLUMN data_freshness.complete_until": "Everything before this instant was read without a gap; null until there is one",
    "COLUMN data_freshness.lag": "How far fresh_until lies behind now, as an interval",
    "COLUMN data_freshness.gaps": "Stretches of time before fresh_until that were not read, in all streams together",
    "COLUMN data_freshness.unclosable_gaps": "Those of the gaps that the provider no longer serves: no later run can close them",
}


def upgrade() -> None:
    """Make the functions, the tables and the view, and say in a comment what everything is."""
    op.execute(REPORTING_TIMEZONE)
    op.execute(REPORTING_DAY)
    op.create_table(
        "calls",
        sa.Column(
            "connection",
            sa.Text(),
            nullable=False,
            comment="The configured account that the call was read from, by the name the configuration gives it",
        ),
        sa.Column("call_id", sa.Text(), nullable=False, comment="The id of the call at its provider, unique within a connection"),
        sa.Column("provider", sa.Text(), nullable=False, comment="The provider that the call was read from, by its short name"),
        sa.Column(
            "day",
            sa.Date(),
            sa.Computed("sync.reporting_day(occurred_at)", persisted=True),
            nullable=False,
            comment="The calendar day of occurred_at in the reporting time zone of this warehouse",
        ),
        sa.Column(
            "occurred_at",
            INSTANT,
            nullable=False,
            comment="Where the call stands on the time line: when it was created, else started, else ended",
        ),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment=(
                "How the call stands, in the same words for every provider. Open: queued, ringing, in_progress. "
                "Ended: completed, busy, no_answer, failed, canceled, rejected, voicemail. unknown: a word that this "
                "program does not know, see provider_status"
            ),
        ),
        sa.Column(
            "provider_status", sa.Text(), comment="The status in the provider's own word; null where the provider gives none"
        ),
        sa.Column(
            "direction", sa.Text(), comment="inbound or outbound; null where the provider has no such notion or gave another word"
        ),
        sa.Column(
            "from_address",
            sa.Text(),
            comment=(
                "Who called: a phone number in E.164 form (+14155550123) where it is a valid one, else as the provider gives it"
            ),
        ),
        sa.Column(
            "to_address",
            sa.Text(),
            comment=(
                "Who was called: a phone number in E.164 form (+14155550123) where it is a valid one, else as the "
                "provider gives it"
            ),
        ),
        sa.Column("agent_id", sa.Text(), comment="The id of the voice agent or endpoint that handled the call, at the provider"),
        sa.Column("created_at", INSTANT, comment="When the provider created the call; null where the provider does not say"),
        sa.Column("ringing_at", INSTANT, comment="When the call began to ring; null where the provider does not say"),
        sa.Column("started_at", INSTANT, comment="When the call started; null where the provider does not say"),
        sa.Column(
            "answered_at",
            INSTANT,
            comment="When the call was answered; null while it was not, or where the provider does not say",
        ),
        sa.Column("ended_at", INSTANT, comment="When the call ended; null while it has not, or where the provider does not say"),
        sa.Column(
            "duration_seconds",
            sa.Integer(),
            comment="The length of the call in seconds, as the provider gives it; never computed here",
        ),
        sa.Column(
            "is_test",
            sa.Boolean(),
            nullable=False,
            comment="Whether the provider marks the call as a test; false where the provider has no such notion",
        ),
        sa.Column("end_reason", sa.Text(), comment="Why the call ended, in the provider's own words"),
        sa.Column("error_reason", sa.Text(), comment="What went wrong with the call, in the provider's own words"),
        sa.Column("latency_ms", sa.Integer(), comment="The delay that the provider measured, in milliseconds"),
        sa.Column("cost", sa.Numeric(), comment="What the call cost, exact, in whole units of currency (dollars, not cents)"),
        sa.Column("currency", sa.Text(), comment="The currency of cost, such as USD; null exactly where cost is null"),
        sa.Column(
            "recording_url",
            sa.Text(),
            comment="Where the recording was last offered for download; such an address may have expired",
        ),
        sa.Column("transcript", sa.Text(), comment="What was said, as one text, where the provider gives it so"),
        sa.Column(
            "attributes", postgresql.JSONB(), comment="What only this provider knows about the call, by the provider's own names"
        ),
        sa.Column("raw", postgresql.JSONB(), nullable=False, comment="The call exactly as the provider last listed it"),
        sa.Column(
            "detail",
            postgresql.JSONB(),
            comment=("The call exactly as the provider last gave it when asked for this call alone; null where it was not asked"),
        ),
        sa.Column("first_seen_at", INSTANT, nullable=False, comment="When this warehouse first saw the call"),
        sa.Column(
            "last_changed_at",
            INSTANT,
            nullable=False,
            comment="When this warehouse first saw the call as it stands here; select by it to follow changes",
        ),
        sa.Column(
            "stream",
            sa.Text(),
            nullable=False,
            comment="Machine's: the stream that the call was read in (calls, or the id of an agent)",
        ),
        sa.Column("cursor_at", INSTANT, nullable=False, comment="Machine's: the instant that places the call in its stream"),
        sa.Column(
            "observed_at",
            INSTANT,
            nullable=False,
            comment="Machine's: when raw was observed; an older observation never overwrites a newer one",
        ),
        sa.Column("detail_observed_at", INSTANT, comment="Machine's: when detail was observed"),
        sa.Column("detail_due_at", INSTANT, comment="Machine's: when the detail has to be asked for next; null: not any more"),
        sa.Column(
            "content_hash",
            sa.LargeBinary(),
            nullable=False,
            comment="Machine's: what tells quickly whether a record that was read again has changed",
        ),
        sa.Column(
            "last_run_id", sa.BigInteger(), nullable=False, comment="Machine's: the run that last wrote this row (sync.runs.id)"
        ),
        sa.PrimaryKeyConstraint("connection", "call_id", name="calls_pkey"),
        sa.CheckConstraint(
            "status IN ('queued', 'ringing', 'in_progress', 'completed', 'busy', 'no_answer', 'failed', 'canceled', 'rejected', "
            "'voicemail', 'unknown')",
            name=op.f("calls_status_check"),
        ),
        sa.CheckConstraint("direction IN ('inbound', 'outbound')", name=op.f("calls_direction_check")),
        sa.CheckConstraint("(cost IS NULL) = (currency IS NULL)", name=op.f("calls_cost_and_currency_check")),
        comment=(
            "One row per call that exists at its provider, the same columns for every provider. Times are "
            "instants; sum duration_seconds and cost freely"
        ),
    )
    op.create_index("calls_cursor", "calls", ["connection", "stream", "cursor_at"])
    op.create_index(
        "calls_detail_due", "calls", ["connection", "stream", "cursor_at"], postgresql_where=sa.text("detail_due_at IS NOT NULL")
    )
    op.create_index(
        "calls_open",
        "calls",
        ["connection", "stream"],
        postgresql_where=sa.text("status IN ('queued', 'ringing', 'in_progress', 'unknown')"),
    )
    op.create_index("calls_occurred_at", "calls", ["occurred_at"])
    op.create_table(
        "call_participants",
        sa.Column(
            "connection",
            sa.Text(),
            nullable=False,
            comment="The configured account that the call was read from; join to calls by connection and call_id",
        ),
        sa.Column(
            "call_id",
            sa.Text(),
            nullable=False,
            comment="The id of the call at its provider; join to calls by connection and call_id",
        ),
        sa.Column(
            "participant_id",
            sa.Text(),
            nullable=False,
            comment="The id of this participation at the provider; the position in the list where the provider gives none",
        ),
        sa.Column("email", sa.Text(), comment="The e-mail address of the participant; null for a guest without a user"),
        sa.Column("joined_at", INSTANT, comment="When the participant joined the call"),
        sa.Column("left_at", INSTANT, comment="When the participant left the call"),
        sa.Column(
            "duration_seconds",
            sa.Integer(),
            comment="How long the participant was in the call, in seconds: left_at minus joined_at",
        ),
        sa.PrimaryKeyConstraint("connection", "call_id", "participant_id", name="call_participants_pkey"),
        comment="One row per participation in a call: somebody who left and came back has two",
    )
    op.create_table(
        "agents",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account that the agent belongs to"),
        sa.Column("agent_id", sa.Text(), nullable=False, comment="The id of the agent at its provider; calls.agent_id holds it"),
        sa.Column("name", sa.Text(), comment="The name of the agent, as the provider last gave it"),
        sa.Column("status", sa.Text(), comment="The status of the agent in the provider's own word"),
        sa.Column("first_seen_at", INSTANT, nullable=False, comment="When this warehouse first saw the agent"),
        sa.Column("last_seen_at", INSTANT, nullable=False, comment="When this warehouse last saw the agent at the provider"),
        sa.Column(
            "closed_at", INSTANT, comment="When the agent was found gone at the provider; null while it is there. Its calls stay"
        ),
        sa.PrimaryKeyConstraint("connection", "agent_id", name="agents_pkey"),
        comment="One row per voice agent, where a provider keeps the calls of each agent apart",
    )
    op.create_table(
        "connections",
        sa.Column(
            "connection", sa.Text(), nullable=False, comment="The configured account, by the name the configuration gives it"
        ),
        sa.Column("provider", sa.Text(), nullable=False, comment="The provider that this account is at"),
        sa.Column(
            "owner_run",
            sa.BigInteger(),
            comment="The run that may write rows of this connection (sync.runs.id): the fence; null before the first run",
        ),
        sa.Column(
            "pinned_organization",
            sa.Text(),
            comment="The organisation whose calls this account may hold; a row of another one is refused",
        ),
        sa.Column(
            "capabilities",
            postgresql.JSONB(),
            nullable=False,
            server_default="{}",
            comment="What was found out about the provider's paging and order, and when",
        ),
        sa.Column(
            "request_log",
            postgresql.JSONB(),
            nullable=False,
            server_default="{}",
            comment="What the request limiter and the daily budget must remember across runs",
        ),
        sa.PrimaryKeyConstraint("connection", name="connections_pkey"),
        schema="sync",
        comment="One row per connection: its owner, and what was found out about its provider",
    )
    op.create_table(
        "state",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account"),
        sa.Column("stream", sa.Text(), nullable=False, comment="What is read with its own cursor: calls, or the id of an agent"),
        sa.Column(
            "high_water_mark",
            INSTANT,
            comment="The instant up to which the stream was read without a gap; null until there is one",
        ),
        sa.Column(
            "coverage",
            postgresql.TSTZMULTIRANGE(),
            nullable=False,
            server_default="{}",
            comment="The ranges of the cursor that were read at least once",
        ),
        sa.Column(
            "settled",
            postgresql.TSTZMULTIRANGE(),
            nullable=False,
            server_default="{}",
            comment="The part of coverage that was read when it was already older than the lookback",
        ),
        sa.Column(
            "horizon", INSTANT, comment="The oldest instant that the provider was seen to serve; a gap below it cannot be closed"
        ),
        sa.Column(
            "domain_start",
            INSTANT,
            comment="The start_date that the last run was configured with; null: everything that the provider has",
        ),
        sa.Column(
            "closed_at", INSTANT, comment="When the agent of this stream was found gone at the provider; null while it is read"
        ),
        sa.Column("updated_at", INSTANT, nullable=False, comment="When this row was last written"),
        sa.PrimaryKeyConstraint("connection", "stream", name="state_pkey"),
        schema="sync",
        comment="One row per stream: which ranges of time were read. Gaps are what its domain holds beyond coverage",
    )
    op.create_table(
        "runs",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(), nullable=False, comment="The number of the run; a later run has a higher one"
        ),
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account that the run synced"),
        sa.Column("trigger", sa.Text(), nullable=False, comment="Who started the run: cli, worker or library"),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="running, succeeded, partial (the day's requests are spent; the next run goes on), failed or crashed",
        ),
        sa.Column("started_at", INSTANT, nullable=False, comment="When the run started"),
        sa.Column("finished_at", INSTANT, comment="When the run ended; null while it runs"),
        sa.Column(
            "requests",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="Requests sent to the provider, repeated ones included",
        ),
        sa.Column("retries", sa.BigInteger(), nullable=False, server_default="0", comment="Requests that had to be sent again"),
        sa.Column("pages", sa.BigInteger(), nullable=False, server_default="0", comment="Pages of records that were read"),
        sa.Column(
            "records_seen", sa.BigInteger(), nullable=False, server_default="0", comment="Records that stood on those pages"
        ),
        sa.Column("inserted", sa.BigInteger(), nullable=False, server_default="0", comment="Calls that were new"),
        sa.Column("updated", sa.BigInteger(), nullable=False, server_default="0", comment="Calls that had changed"),
        sa.Column(
            "unchanged",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="Calls that were read again and had not changed: not written",
        ),
        sa.Column(
            "deleted", sa.BigInteger(), nullable=False, server_default="0", comment="Calls that were found gone at the provider"
        ),
        sa.Column(
            "rejected",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="Records that could not become a call (sync.rejected_records)",
        ),
        sa.Column(
            "late",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="Calls that appeared in a stretch of time that had been read before",
        ),
        sa.Column(
            "max_lateness", sa.Interval(), comment="The longest delay with which such a call appeared; null where none was late"
        ),
        sa.Column("error_code", sa.Text(), comment="What kind of failure ended the run, as a stable word; null where none did"),
        sa.Column(
            "error_message", sa.Text(), comment="What went wrong and what to do next; holds no secret and no personal data"
        ),
        sa.PrimaryKeyConstraint("id", name="runs_pkey"),
        sa.CheckConstraint("trigger IN ('cli', 'worker', 'library')", name=op.f("runs_trigger_check")),
        sa.CheckConstraint("status IN ('running', 'succeeded', 'partial', 'failed', 'crashed')", name=op.f("runs_status_check")),
        schema="sync",
        comment="One row per run: an attempt to sync one connection",
    )
    op.create_index("runs_of_connection", "runs", ["connection", sa.text("id DESC")], schema="sync")
    op.create_table(
        "rejected_records",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account that the record was read from"),
        sa.Column("stream", sa.Text(), nullable=False, comment="The stream that the record was read in"),
        sa.Column(
            "record_key", sa.Text(), nullable=False, comment="What tells one bad record from another: derived from its text"
        ),
        sa.Column("call_id", sa.Text(), comment="The id of the call at its provider, where the record has one that can be read"),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=False,
            comment=(
                "Why the record could not become a call: not_an_object, missing_id, bad_cursor (no usable time), "
                "id_too_long, id_in_two_streams or database_refused"
            ),
        ),
        sa.Column("raw_text", sa.Text(), nullable=False, comment="The record as the provider sent it; may hold personal data"),
        sa.Column("first_seen_at", INSTANT, nullable=False, comment="When the record was first seen"),
        sa.Column("last_seen_at", INSTANT, nullable=False, comment="When the record was last seen"),
        sa.Column("sightings", sa.Integer(), nullable=False, server_default="1", comment="How often the record was seen"),
        sa.Column("resolved_at", INSTANT, comment="When the record became a call after all; null while it has not"),
        sa.PrimaryKeyConstraint("connection", "stream", "record_key", name="rejected_records_pkey"),
        sa.CheckConstraint(
            "reason IN ('not_an_object', 'missing_id', 'bad_cursor', 'id_too_long', 'id_in_two_streams', 'database_refused')",
            name=op.f("rejected_records_reason_check"),
        ),
        schema="sync",
        comment="One row per distinct record that could not become a call; nothing is dropped silently",
    )
    op.create_table(
        "schema_drift",
        sa.Column(
            "connection",
            sa.Text(),
            nullable=False,
            comment="The configured account whose records departed from what the provider documents",
        ),
        sa.Column("path", sa.Text(), nullable=False, comment="Where in the record: the keys, joined by dots"),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment=(
                "How: new_field, wrong_type, out_of_range, new_status, end_before_start or cleaned_text (characters "
                "that cannot be stored)"
            ),
        ),
        sa.Column("sample", sa.Text(), comment="An example of what was found; holds no personal data"),
        sa.Column("count", sa.BigInteger(), nullable=False, server_default="1", comment="How often it was found"),
        sa.Column("first_seen_at", INSTANT, nullable=False, comment="When it was first found"),
        sa.Column("last_seen_at", INSTANT, nullable=False, comment="When it was last found"),
        sa.PrimaryKeyConstraint("connection", "path", "kind", name="schema_drift_pkey"),
        sa.CheckConstraint(
            "kind IN ('new_field', 'wrong_type', 'out_of_range', 'new_status', 'end_before_start', 'cleaned_text')",
            name=op.f("schema_drift_kind_check"),
        ),
        schema="sync",
        comment="One row per way in which a provider's records depart from its documentation",
    )
    _compress()
    op.execute(DATA_FRESHNESS)
    for thing, comment in COMMENTS.items():
        quoted = comment.replace("'", "''")
        op.get_bind().exec_driver_sql(f"COMMENT ON {thing} IS '{quoted}'")


def downgrade() -> None:
    """Drop everything, the rows included; the schema `sync` stays, since it holds the version."""
    op.execute("DROP VIEW data_freshness")
    for table in ("schema_drift", "rejected_records", "runs", "state", "connections"):
        op.drop_table(table, schema="sync")
    for table in ("agents", "call_participants", "calls"):
        op.drop_table(table)
    op.execute("DROP FUNCTION sync.reporting_day(timestamptz)")
    op.execute("DROP FUNCTION sync.reporting_timezone()")


def _compress() -> None:
    """Choose lz4, which unpacks several times faster than the default, where the server was built with it."""
    offered = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    if op.get_bind().execute(sa.text(offered)).scalar_one():
        for column in COMPRESSED:
            op.execute(f"ALTER TABLE calls ALTER COLUMN {column} SET COMPRESSION lz4")
