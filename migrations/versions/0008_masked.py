"""
The schema `masked`: views of the same names without any personal datum, and salted keys where distinct people are counted.

The salt is a row of a table that readers may not read. It stands in no function and in no view, whose text anybody may see.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _key(text: str) -> str:
    """Return the key of a text, null for none: 32 hex digits of its salted hash."""
    return f"substr(encode(sha256((SELECT salt FROM sync.salt) || convert_to({text}, 'UTF8')), 'hex'), 1, 32)"


PERSON = _key("nullif(lower(btrim(email)), '')")
CUSTOMER = _key("CASE calls.direction WHEN 'inbound' THEN calls.from_address WHEN 'outbound' THEN calls.to_address END")
AGENT = "coalesce(known.agents_are_people, true)"
AGENT_KEY = _key("{0}.connection || ':' || {0}.agent_id")


def _agent(source: str, *names: str) -> str:
    """Return an agent's columns: what names a person is null, and the key stands for it."""
    shown = [f"CASE WHEN NOT {AGENT} THEN {source}.{name} END AS {name}" for name in names]
    return ", ".join([*shown, f"{AGENT_KEY.format(source)} AS agent_key"])


def _known(source: str) -> str:
    return f"LEFT JOIN sync.connections AS known ON known.connection = {source}.connection"


COUNTED = (
    "calls, open_calls, answered, completed, missed, abandoned, busy, no_answer, failed, canceled, rejected, voicemail, unknown, "
    "short_calls, talk_seconds, duration_seconds, answer_wait_seconds, answer_wait_calls, answered_within_20s, cost"
)

PLAIN = (
    "calls_daily",
    "calls_hourly",
    "lines_hourly",
    "talk_time_daily",
    "talk_time_monthly",
    "call_changes",
    "data_freshness",
    "provider_daily_totals",
)
"""What holds nothing personal at all."""

VIEWS = {
    **{name: f"SELECT * FROM public.{name}" for name in PLAIN},
    "calls": f"""
        SELECT
            calls.connection, calls.call_id, calls.provider, calls.day, calls.occurred_at, calls.status, calls.provider_status,
            calls.direction, {_key("calls.from_address")} AS from_key, {_key("calls.to_address")} AS to_key,
            {CUSTOMER}
                AS customer_key,
            {_agent("calls", "agent_id")}, calls.created_at, calls.ringing_at, calls.started_at, calls.answered_at,
            calls.ended_at, calls.duration_seconds, calls.is_test, calls.latency_ms, calls.cost, calls.currency,
            calls.first_seen_at, calls.last_changed_at, calls.parent_call_id, calls.changed_at
        FROM public.calls
        {_known("calls")}
    """,
    "call_facts": f"""
        SELECT
            facts.connection, facts.call_id, facts.call_key, facts.provider, facts.is_leg, facts.occurred_at, facts.day,
            facts.local_hour, facts.iso_weekday, facts.direction, facts.status, facts.is_test, facts.is_open, facts.is_answered,
            facts.is_missed, facts.is_abandoned, facts.is_short_call, facts.talk_seconds, facts.speed_of_answer_seconds,
            facts.duration_seconds, {_key("facts.customer_number")} AS customer_key,
            {_agent("facts", "agent_id", "agent_name")}, facts.cost, facts.currency, facts.latency_ms, facts.has_recording,
            facts.has_transcript
        FROM public.call_facts AS facts
        {_known("facts")}
    """,
    "agent_daily": f"""
        SELECT
            daily.connection, daily.day, daily.direction, daily.is_test, daily.currency,
            CASE WHEN NOT {AGENT} THEN daily.agent_id END AS agent_id,
            CASE WHEN NOT {AGENT} THEN coalesce(agents.display_name, agents.name) END AS agent_name, daily.agent_key,
            daily.provider, {", ".join(f"daily.{name}" for name in COUNTED.split(", "))}
        FROM (
            SELECT
                connection, day, nullif(direction, '') AS direction, is_test, nullif(currency, '') AS currency,
                nullif(agent_id, '') AS agent_id, nullif(agent_key, '') AS agent_key, provider, {COUNTED}
            FROM sync.agent_daily
            WHERE (connection, day) NOT IN (SELECT connection, day FROM sync.touched_days WHERE NOT people_only)
            UNION ALL
            SELECT
                live.connection, live.day, live.direction, live.is_test, live.currency, live.agent_id,
                {AGENT_KEY.format("live")}, live.provider, {", ".join(f"live.{name}" for name in COUNTED.split(", "))}
            FROM sync.touched_days AS touched
            JOIN public.agent_daily AS live ON live.connection = touched.connection AND live.day = touched.day
            WHERE NOT touched.people_only
        ) AS daily
        LEFT JOIN public.agents ON agents.connection = daily.connection AND agents.agent_id = daily.agent_id
        {_known("daily")}
    """,
    "person_daily": f"""
        SELECT connection, day, person_key, calls, in_call_seconds, paired_seconds, solo_seconds, first_joined_at, last_left_at
        FROM sync.person_daily
        WHERE (connection, day) NOT IN (SELECT connection, day FROM sync.touched_days)
        UNION ALL
        SELECT
            live.connection, live.day, {_key("live.person")}, live.calls, live.in_call_seconds, live.paired_seconds,
            live.solo_seconds, live.first_joined_at, live.last_left_at
        FROM sync.touched_days AS touched
        JOIN public.person_daily AS live ON live.connection = touched.connection AND live.day = touched.day
    """,
    "pair_weekly": f"""
        SELECT connection, week, person_a_key, person_b_key, calls, seconds_together
        FROM sync.pair_weekly
        WHERE (connection, week) NOT IN (SELECT connection, date_trunc('week', day::timestamp)::date FROM sync.touched_days)
        UNION ALL
        SELECT live.connection, live.week, {_key("live.person_a")}, {_key("live.person_b")}, live.calls, live.seconds_together
        FROM (
            SELECT DISTINCT connection, date_trunc('week', day::timestamp)::date AS week FROM sync.touched_days
        ) AS touched
        JOIN public.pair_weekly AS live ON live.connection = touched.connection AND live.week = touched.week
    """,
    "call_participants": f"""
        SELECT
            connection, call_id, participant_id, {PERSON} AS participant_key, joined_at, left_at,
            duration_seconds
        FROM public.call_participants
    """,
    "call_messages": """
        SELECT connection, call_id, message_id, position, role, message_type, sent_at FROM public.call_messages
    """,
    "call_events": "SELECT connection, call_id, event_id, position, type, occurred_at FROM public.call_events",
    "call_history": f"""
        SELECT
            history.connection, history.call_id, history.version, history.status, history.provider_status, history.occurred_at,
            history.direction, {_agent("history", "agent_id")}, history.duration_seconds, history.cost, history.currency,
            history.valid_from, history.valid_to, history.deleted, history.first_seen_at, history.changed_at
        FROM public.call_history AS history
        {_known("history")}
    """,
    "call_versions": f"""
        SELECT
            versions.connection, versions.call_id, versions.version, versions.status, versions.provider_status,
            versions.valid_from, versions.valid_to, versions.deleted, versions.occurred_at, versions.direction,
            {_agent("versions", "agent_id")}, versions.duration_seconds, versions.cost, versions.currency
        FROM public.call_versions AS versions
        {_known("versions")}
    """,
    "deleted_calls": f"""
        SELECT
            gone.connection, gone.call_id, gone.provider, gone.status, gone.first_seen_at, gone.deleted_at, gone.occurred_at,
            gone.direction, {_agent("gone", "agent_id")}, gone.duration_seconds, gone.cost, gone.currency
        FROM public.deleted_calls AS gone
        {_known("gone")}
    """,
    "agents": f"""
        SELECT
            agents.connection, {_agent("agents", "agent_id", "name", "display_name")}, agents.status, agents.first_seen_at,
            agents.last_seen_at, agents.closed_at
        FROM public.agents
        {_known("agents")}
    """,
    "people": f"SELECT {PERSON} AS person_key, team FROM public.people",
    "numbers": f"SELECT {_key('number')} AS number_key, team, time_zone FROM public.numbers",
}

KEYS = {
    "from_key": "Stands for who called: the same number has the same key everywhere",
    "to_key": "Stands for who was called: the same number has the same key everywhere",
    "customer_key": "Stands for the customer's number: the same number has the same key everywhere",
    "number_key": "Stands for the number: the same one has the same key everywhere",
    "agent_key": "Stands for the agent; null for calls without one",
    "participant_key": "Stands for the participant's e-mail address; null for a guest without one",
    "person_key": "Stands for the person's e-mail address: the same one has the same key everywhere",
    "person_a_key": "Stands for the one's e-mail address",
    "person_b_key": "Stands for the other's e-mail address",
    "agent_id": "The id of the agent, at the provider; null where its agents are people",
    "agent_name": "The agent's name; null where its agents are people",
    "name": "The agent's name, as the provider gave it; null where its agents are people",
    "display_name": "The name that you gave the agent; null where its agents are people",
}

STORED = {"agent_daily": ("agent_key",), "person_daily": ("person_key",), "pair_weekly": ("person_a_key", "person_b_key")}
"""The stored roll-ups that keep keys beside names, so that nothing is hashed when they are read."""

SOURCES = """
SELECT attname, col_description(attrelid, attnum) AS comment FROM pg_attribute
WHERE attrelid = CAST(:relation AS regclass) AND attnum > 0 AND NOT attisdropped
"""

TOUCH = """
INSERT INTO sync.touched_days (connection, day)
SELECT connection, day FROM sync.agent_daily UNION SELECT connection, day FROM sync.person_daily
UNION SELECT connection, week FROM sync.pair_weekly
ON CONFLICT (connection, day) DO UPDATE SET people_only = false
"""


def upgrade() -> None:
    """Make the salt, the keys of the stored roll-ups, and the views."""
    op.create_table(
        "salt",
        sa.Column("one", sa.Boolean(), nullable=False, server_default="true", comment="There is one row"),
        sa.Column("salt", sa.LargeBinary(), nullable=False, comment="32 random bytes that stand in nothing else"),
        sa.PrimaryKeyConstraint("one", name="salt_pkey"),
        sa.CheckConstraint("one", name=op.f("salt_one_check")),
        schema="sync",
        comment="What the keys of the schema masked are hashed with; whoever may read it can find out whose they are",
    )
    op.get_bind().execute(sa.text("INSERT INTO sync.salt (salt) VALUES (:salt)"), {"salt": secrets.token_bytes(32)})
    op.execute(TOUCH)  # what was made before has no keys: it is made again
    for table, keys in STORED.items():
        op.execute(f"DELETE FROM sync.{table}")
        for key in keys:
            op.add_column(table, sa.Column(key, sa.Text(), nullable=False, comment=KEYS[key]), schema="sync")
    op.execute("CREATE SCHEMA masked")
    _comment("SCHEMA masked", "The same without any personal datum: keys stand for numbers, people and agents that are people")
    for name, definition in VIEWS.items():
        # A barrier: a function that somebody puts into a query sees no row or value that the view does not show.
        op.execute(f"CREATE VIEW masked.{name} WITH (security_barrier = true) AS {definition}")
        _explain(name)


def downgrade() -> None:
    """Drop the views and the salt: keys that were copied out of them cannot be made again."""
    op.execute("DROP SCHEMA masked CASCADE")
    for table, keys in STORED.items():
        for key in keys:
            op.drop_column(table, key, schema="sync")
    op.drop_table("salt", schema="sync")


def _explain(name: str) -> None:
    """Give the view and its columns the comments of what they are made of."""
    bind = op.get_bind()
    told = bind.execute(
        sa.text("SELECT obj_description(CAST(:relation AS regclass), 'pg_class')"), {"relation": f"public.{name}"}
    ).scalar_one()
    _comment(f"VIEW masked.{name}", f"{told}. Without personal data")
    known = {row.attname: row.comment for row in bind.execute(sa.text(SOURCES), {"relation": f"public.{name}"})}
    for row in bind.execute(sa.text(SOURCES), {"relation": f"masked.{name}"}):
        comment = KEYS.get(row.attname) or known[row.attname]
        _comment(f"COLUMN masked.{name}.{row.attname}", comment)


def _comment(thing: str, comment: str) -> None:
    quoted = comment.replace("'", "''").replace("%", "%%")
    op.get_bind().exec_driver_sql(f"COMMENT ON {thing} IS '{quoted}'")
