"""
Knows made-up calls that the server makes by itself: ten million in minutes, in the shape of life, without a provider.

Six connections of four providers over two years, busier from day to day: the newest day holds twice the average. Nothing is drawn
at random: what looks so is a hash of the call's number. People are at example.com, numbers begin with +1415555.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.postgres import Lane

DAYS = 730
CHUNK = 250_000
SESSIONS = 2
"""How many connections are filled at once: as many as there are cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One connection: its share of the calls, its agents, its people (for Tuple), and how a call of its provider looks."""

    name: str
    provider: str
    share: float
    agents: int = 0
    people: int = 0
    minutes: int = 10


CONNECTIONS = (
    Made(name="krosai-main", provider="krosai", share=0.30, agents=12),
    Made(name="bimpe", provider="bimpe", share=0.20, agents=25),
    Made(name="salpre", provider="salpre", share=0.20, agents=20),
    Made(name="krosai-support", provider="krosai", share=0.15, agents=6),
    Made(name="tuple-main", provider="tuple", share=0.10, people=200, minutes=90),
    Made(name="tuple-lab", provider="tuple", share=0.05, people=100, minutes=90),
)

_DIRECTION = {
    "tuple": "NULL::text",
    "salpre": "'outbound'",
    "bimpe": "CASE WHEN h % 5 < 2 THEN 'inbound' ELSE 'outbound' END",
    "krosai": "CASE WHEN h % 5 < 3 THEN 'inbound' ELSE 'outbound' END",
}
_STATUS = {
    "tuple": "'completed'",
    "salpre": "CASE WHEN h % 12 = 0 THEN 'failed' ELSE 'completed' END",
    "bimpe": "CASE h % 16 WHEN 0 THEN 'busy' WHEN 1 THEN 'failed' WHEN 2 THEN 'canceled' ELSE 'completed' END",
    "krosai": "CASE h % 16 WHEN 0 THEN 'busy' WHEN 1 THEN 'failed' WHEN 2 THEN 'no_answer' WHEN 3 THEN 'no_answer'"
    " ELSE 'completed' END",
}
# Four of five calls lie between 8 and 18 o'clock, and few on weekends.
_PLACED = """
    SELECT
        k, abs(hashint8(k::bigint)) AS h, abs(hashint8(k::bigint + 7919)) AS g,
        (CURRENT_DATE + 1)::timestamp AT TIME ZONE 'UTC' - interval '1 day' * {days} AS beginning,
        {days} * sqrt((k - 1) / {calls}::float8) AS placed
    FROM generate_series({first}::int, {last}::int) AS k
"""
_TIMED = """
    SELECT
        k, h, g,
        beginning + interval '1 second' * (
            86400 * (
                floor(placed) - CASE WHEN extract(isodow FROM beginning + interval '1 day' * floor(placed)) > 5 AND h % 4 > 0
                THEN 2 ELSE 0 END
            )
            + CASE WHEN g % 5 = 0 THEN 86399 * (placed - floor(placed)) ELSE 28800 + 36000 * (placed - floor(placed)) END
        ) AS at
    FROM ({placed}) AS placed
"""
_CALLS = """
INSERT INTO calls (
    connection, call_id, provider, occurred_at, status, provider_status, direction, from_address, to_address, agent_id,
    created_at, ringing_at, started_at, answered_at, ended_at, duration_seconds, is_test, end_reason, latency_ms, cost, currency,
    recording_url, raw, first_seen_at, last_changed_at, stream, cursor_at, observed_at, content_hash, last_run_id, changed_at
)
SELECT
    '{name}', lpad(k::text, 10, '0'), '{provider}', at, status, status, direction, {from_address}, {to_address}, {agent},
    {created}, {ringing}, {started}, CASE WHEN status = 'completed' THEN {answered} END,
    CASE WHEN status <> 'in_progress'
        THEN at + interval '1 second' * (6 + g % 40 + CASE status WHEN 'completed' THEN length ELSE 0 END) END,
    CASE WHEN status = 'completed' THEN length ELSE {unanswered} END,
    {test}, {reason}, {latency}, {cost}, {currency}, {recording},
    '{{"id": "made up", "note": "as long as a short record is, so that a page of the table holds no more rows than in life"}}',
    at + interval '5 minutes', at + interval '5 minutes', 'calls', at, at + interval '5 minutes', '\\x00', 1,
    at + interval '5 minutes'
FROM (
    SELECT
        k, h, g, at, {direction} AS direction, CASE WHEN k > {calls} - 3 THEN 'in_progress' ELSE {status} END AS status,
        (3 + power(1.0007, g % 10000) * {minutes} / 16)::int AS length
    FROM ({timed}) AS timed
) AS shaped
"""
_PARTICIPANTS = """
INSERT INTO call_participants (connection, call_id, participant_id, email, joined_at, left_at, duration_seconds)
SELECT
    connection, call_id, place::text, CASE WHEN (h + place) % 40 > 0 THEN 'person.' || who || '@example.com' END,
    joined_at, left_at, extract(epoch FROM left_at - joined_at)::int
FROM (
    SELECT
        calls.connection, calls.call_id, place, h,
        -- Three of four sit in the team of ten of the first.
        CASE WHEN place > 1 AND h % 4 > 0 THEN h % {people} / 10 * 10 + (h / 97 + place * 3) % 10
            ELSE (h + place * place * 31) % {people} END AS who,
        started_at + interval '1 second' * ((place - 1) * (h % 60)) AS joined_at,
        greatest(ended_at - interval '1 second' * (place * (h % 20)), started_at + interval '1 second' * ((place - 1) * (h % 60)))
            AS left_at
    FROM (
        SELECT connection, call_id, started_at, ended_at, abs(hashint8(call_id::bigint + 104729)) AS h
        FROM calls WHERE connection = '{name}' AND ended_at IS NOT NULL
    ) AS calls
    CROSS JOIN LATERAL generate_series(1, CASE WHEN h % 10 = 0 THEN 1 WHEN h % 10 < 6 THEN 2 WHEN h % 10 < 9 THEN 3 ELSE 4 END)
        AS place
) AS parts
"""
_MESSAGES = """
INSERT INTO call_messages (connection, call_id, message_id, position, role, text, message_type, sent_at)
SELECT connection, call_id, place::text, place, CASE place % 2 WHEN 0 THEN 'user' ELSE 'assistant' END,
    'Made up: nothing was said', 'text', occurred_at + interval '5 seconds' * place
FROM calls CROSS JOIN generate_series(1, 4) AS place
WHERE connection = '{name}' AND abs(hashtext(call_id)) % 50 = 0
"""
_HISTORY = """
INSERT INTO call_history (
    connection, call_id, version, status, provider_status, raw, valid_from, valid_to, deleted, first_seen_at, occurred_at,
    direction, agent_id, duration_seconds, cost, currency, changed_at, stream, cursor_at, observed_at, content_hash
)
SELECT
    connection, CASE WHEN gone THEN 'gone-' || call_id ELSE call_id END, 1, 'in_progress', 'in_progress', '{{"id": "earlier"}}',
    first_seen_at, first_seen_at + interval '1 minute', gone, first_seen_at, occurred_at, direction, agent_id,
    duration_seconds, cost, currency, changed_at, stream, cursor_at,
    observed_at, content_hash
FROM (SELECT *, abs(hashtext(call_id)) % 2000 = 0 AS gone FROM calls WHERE connection = '{name}') AS calls
WHERE abs(hashtext(call_id)) % 200 = 0
"""
_KNOWN = """
INSERT INTO sync.connections (connection, provider) VALUES ('{name}', '{provider}');
INSERT INTO agents (connection, agent_id, name, first_seen_at, last_seen_at)
SELECT '{name}', 'agent-' || number, 'Agent ' || number, now(), now() FROM generate_series(0, {agents} - 1) AS number;
INSERT INTO sync.state (connection, stream, high_water_mark, coverage, horizon, updated_at)
SELECT '{name}', 'calls', now(), tstzmultirange(tstzrange(beginning, now())), beginning, now()
FROM (SELECT now() - interval '3 years' AS beginning) AS read;
INSERT INTO sync.runs (connection, trigger, status, started_at, finished_at)
SELECT '{name}', 'worker', 'succeeded', now() - interval '1 minute' * number, now() - interval '1 minute' * number
FROM generate_series(1000, 1, -1) AS number
"""


_DIMENSIONS = """
INSERT INTO people (email, name, team)
SELECT 'person.' || number || '@example.com', 'Person ' || number, 'team ' || number / 10 FROM generate_series(0, 199) AS number
ON CONFLICT DO NOTHING;
INSERT INTO numbers (number, name, team, time_zone)
SELECT
    '+1415555' || lpad(number::text, 4, '0'), 'Line ' || number, 'team ' || number / 10,
    (ARRAY['Europe/Berlin', 'America/New_York', 'UTC'])[number % 3 + 1]
FROM generate_series(0, 39) AS number
ON CONFLICT DO NOTHING;
INSERT INTO provider_daily_totals (connection, day, calls, observed_at)
SELECT connection, day, sum(calls), now() FROM sync.calls_daily GROUP BY connection, day
ON CONFLICT DO NOTHING
"""


def dimensions(lane: Lane) -> None:
    """Fill, once roll-ups are made, what the analyst and the provider say: names, teams, zones, and the calls of each day."""
    for statement in _DIMENSIONS.split(";\n"):
        lane.execute(statement)


def caller(lane: Lane) -> str:
    """Return a number that called, the same whatever the number of calls is."""
    query = "SELECT from_address FROM calls WHERE connection = 'krosai-main' AND direction = 'inbound' ORDER BY call_id LIMIT 1"
    return str(lane.ask(query)[0][0])


def fill(lane: Lane, *, calls: int, say: Callable[[str], object]) -> None:
    """Fill a migrated, empty warehouse with so many calls and what belongs to them. `call_participants` are 0.36 a call."""
    with ThreadPoolExecutor(SESSIONS) as pool:
        for one in pool.map(lambda made: _fill_one(lane, made, round(calls * made.share)), CONNECTIONS):
            say(f"  {one.name}")
    for table in ("calls", "call_participants", "call_messages", "call_history", "sync.runs"):
        lane.execute(f"VACUUM ANALYZE {table}")


def _fill_one(lane: Lane, made: Made, calls: int) -> Made:
    given: dict[str, str | int] = {
        "name": made.name,
        "provider": made.provider,
        "calls": calls,
        "minutes": made.minutes,
        "days": DAYS,
    }
    for statement in _KNOWN.format(**given, agents=made.agents).split(";\n"):
        lane.execute(statement)
    for first in range(1, calls + 1, CHUNK):
        lane.execute(_calls(made, given, first, min(first + CHUNK - 1, calls)))
    if made.people:
        lane.execute(_PARTICIPANTS.format(**given, people=made.people))
    if made.provider == "bimpe":
        lane.execute(_MESSAGES.format(**given))
    lane.execute(_HISTORY.format(**given))
    return made


def _calls(made: Made, given: dict[str, str | int], first: int, last: int) -> str:
    spoken, paid = made.provider != "tuple", made.provider == "krosai"
    placed = _PLACED.format(**given, first=first, last=last)
    number = "'+1415555' || lpad(({0} % 1000000)::text, 6, '0')"
    ours = "'+1415555' || lpad((h % 40)::text, 4, '0')"
    theirs = number.format("g / 7")
    answers = made.provider in ("bimpe", "krosai")
    return _CALLS.format(
        **given,
        timed=_TIMED.format(days=DAYS, placed=placed),
        direction=_DIRECTION[made.provider],
        status=_STATUS[made.provider],
        from_address=f"CASE direction WHEN 'inbound' THEN {theirs} ELSE {ours} END" if spoken else "NULL::text",
        to_address=f"CASE direction WHEN 'inbound' THEN {ours} ELSE {theirs} END" if spoken else "NULL::text",
        agent=f"CASE WHEN h % 50 > 0 THEN 'agent-' || g % {made.agents} END" if made.agents else "NULL::text",
        created="at" if answers else "NULL::timestamptz",
        ringing="at + interval '2 seconds'" if made.provider == "bimpe" else "NULL::timestamptz",
        started="at" if made.provider != "krosai" else "NULL::timestamptz",
        answered="at + interval '1 second' * (6 + g % 40)" if answers else "NULL::timestamptz",
        unanswered="NULL::int" if made.provider == "bimpe" else "0",
        test="h % 50 = 1" if made.provider == "bimpe" else "false",
        reason="CASE WHEN status = 'completed' THEN 'user_hangup' ELSE 'no_answer' END" if answers else "NULL::text",
        latency="20 + g % 180" if paid else "NULL::int",
        cost="length * 0.0021" if paid else "NULL::numeric",
        currency="'USD'" if paid else "NULL::text",
        recording="'https://recordings.example.com/' || k" if paid else "NULL::text",
    )
