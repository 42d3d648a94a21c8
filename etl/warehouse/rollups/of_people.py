"""
Makes the roll-ups of people and pairs of many weeks over numbers, where their reading views go over texts.

Participations are read once. Each person gets a number, in the order of the addresses, and a guest without an address one below
zero; who was in a call with whom is then found once, for people and for pairs. What overlaps counts once, as in the views: parts
of time are taken together by `range_agg`. An audit compares what is stored with what the views compute, and the tests do after
every batch of writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import Connection, Date, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from etl.warehouse.tables.rollups import keyed

# Participations are looked up call by call. For a plain join the planner would, as long as it has no statistics, go through all
# participations of the connection for every call; and that is so during the first backfill.
_LISTED = """
    CREATE TEMPORARY TABLE listed_people ON COMMIT DROP AS
    SELECT
        row_number() OVER ()::integer AS part, found.number AS call, found.week, found.day, present.email,
        CASE
            WHEN present.left_at > present.joined_at AND isfinite(present.left_at) AND isfinite(present.joined_at)
            THEN tstzrange(present.joined_at, present.left_at)
        END AS stay,
        present.joined_at, present.left_at
    FROM (
        SELECT row_number() OVER ()::integer AS number, asked.week, calls.day, calls.call_id
        FROM (
            SELECT week, week + later AS day FROM unnest(CAST(:weeks AS date[])) AS week CROSS JOIN generate_series(0, 6) AS later
            OFFSET 0
        ) AS asked
        JOIN public.calls ON calls.connection = :connection AND calls.day = asked.day
        WHERE NOT calls.is_test AND calls.parent_call_id IS NULL
        OFFSET 0
    ) AS found
    CROSS JOIN LATERAL (
        SELECT email, joined_at, left_at
        FROM public.call_participants
        WHERE connection = :connection AND call_id = found.call_id
        OFFSET 0
    ) AS present
"""

_NUMBERED = """
    CREATE TEMPORARY TABLE numbered_people ON COMMIT DROP AS
    SELECT email, person, dense_rank() OVER (ORDER BY person COLLATE "C")::integer AS who
    FROM (
        SELECT email, nullif(lower(btrim(email)), '') AS person
        FROM (SELECT DISTINCT email FROM pg_temp.listed_people OFFSET 0) AS listed
        OFFSET 0
    ) AS named
    WHERE person IS NOT NULL
"""

_STAYED = """
    CREATE TEMPORARY TABLE stayed_people ON COMMIT DROP AS
    SELECT
        listed.part, listed.call, listed.week, listed.day, coalesce(numbered.who, -listed.part) AS who, listed.stay,
        listed.joined_at, listed.left_at
    FROM pg_temp.listed_people AS listed
    LEFT JOIN pg_temp.numbered_people AS numbered ON numbered.email = listed.email
"""

# Two participations of one call each; `one` is `other` where somebody is listed twice.
_MET = """
    CREATE TEMPORARY TABLE met_people ON COMMIT DROP AS
    SELECT
        before.week, before.day, least(before.who, later.who) AS one, greatest(before.who, later.who) AS other,
        before.part AS part, later.part AS later_part, before.stay * later.stay AS shared
    FROM pg_temp.stayed_people AS before
    JOIN pg_temp.stayed_people AS later ON later.call = before.call AND later.part > before.part
"""

_AGAIN = """
    CREATE TEMPORARY TABLE listed_again ON COMMIT DROP AS
    SELECT DISTINCT later_part AS part FROM pg_temp.met_people WHERE one = other
"""

_REMOVE = (
    "DELETE FROM sync.person_daily WHERE connection = :connection AND day = ANY(:days)",
    "DELETE FROM sync.pair_weekly WHERE connection = :connection AND week = ANY(:weeks)",
)


def _seconds(parts: str) -> str:
    return f"(SELECT coalesce(floor(sum(extract(epoch FROM upper(one) - lower(one)))), 0)::bigint FROM unnest({parts}) AS one)"  # noqa: S608


_STORE_PEOPLE = f"""
    INSERT INTO sync.person_daily (
        connection, day, person, calls, in_call_seconds, paired_seconds, solo_seconds, first_joined_at, last_left_at, person_key
    )
    SELECT
        CAST(:connection AS text), day, person, calls, in_call_seconds, paired_seconds, in_call_seconds - paired_seconds,
        first_joined_at, last_left_at, {keyed("person_key")}
    FROM (
        SELECT
            stayed.day, known.person, stayed.calls, stayed.first_joined_at, stayed.last_left_at,
            {_seconds("stayed.parts")} AS in_call_seconds, {_seconds("paired.parts")} AS paired_seconds
        FROM (
            SELECT
                day, who, count(*) FILTER (WHERE part NOT IN (SELECT part FROM pg_temp.listed_again)) AS calls,
                min(joined_at) AS first_joined_at, max(left_at) AS last_left_at, range_agg(stay) AS parts
            FROM pg_temp.stayed_people
            WHERE who > 0 AND day = ANY(:days)
            GROUP BY day, who
        ) AS stayed
        JOIN (SELECT DISTINCT who, person FROM pg_temp.numbered_people) AS known ON known.who = stayed.who
        LEFT JOIN (
            SELECT day, who, range_agg(shared) AS parts
            FROM (
                SELECT day, one AS who, shared FROM pg_temp.met_people WHERE one > 0 AND one < other
                UNION ALL
                SELECT day, other, shared FROM pg_temp.met_people WHERE other > 0 AND one < other
            ) AS met
            GROUP BY day, who
        ) AS paired ON paired.day = stayed.day AND paired.who = stayed.who
    ) AS timed
"""  # noqa: S608 - words of ours

_STORE_PAIRS = f"""
    INSERT INTO sync.pair_weekly (connection, week, person_a, person_b, calls, seconds_together, person_a_key, person_b_key)
    SELECT
        connection, week, person_a, person_b, calls, {_seconds("parts")}, {keyed("person_a_key")}, {keyed("person_b_key")}
    FROM (
        SELECT
            CAST(:connection AS text) AS connection, met.week, one.person AS person_a, other.person AS person_b, met.calls,
            met.parts
        FROM (
            SELECT
                week, one, other, range_agg(shared) AS parts,
                count(*) FILTER (
                    WHERE part NOT IN (SELECT part FROM pg_temp.listed_again)
                        AND later_part NOT IN (SELECT part FROM pg_temp.listed_again)
                ) AS calls
            FROM pg_temp.met_people
            WHERE one > 0 AND one < other AND week = ANY(:weeks)
            GROUP BY week, one, other
        ) AS met
        JOIN (SELECT DISTINCT who, person FROM pg_temp.numbered_people) AS one ON one.who = met.one
        JOIN (SELECT DISTINCT who, person FROM pg_temp.numbered_people) AS other ON other.who = met.other
    ) AS timed
"""  # noqa: S608 - words of ours

_LEAVE = "DROP TABLE " + ", ".join(
    f"pg_temp.{name}" for name in ("listed_people", "numbered_people", "stayed_people", "met_people", "listed_again")
)


def _prepared(statement: str) -> TextClause:
    names = [name for name in ("days", "weeks") if f":{name}" in statement]
    return text(statement).bindparams(*(bindparam(name, type_=ARRAY(Date)) for name in names))


_FIND = tuple(map(_prepared, (_LISTED, _NUMBERED, _STAYED, _MET, _AGAIN)))
_REPLACE = tuple(map(_prepared, (*_REMOVE, _STORE_PEOPLE, _STORE_PAIRS, _LEAVE)))


def find(session: Connection, name: str, weeks: Sequence[date]) -> None:
    """
    Work out who was in the calls of these weeks of a connection, given by their Mondays, and who met whom.

    It is kept in the session's temporary tables; nothing is written that others see.
    """
    for statement in _FIND:
        session.execute(statement, {"connection": name, "weeks": list(weeks)})


def store(session: Connection, name: str, *, weeks: Sequence[date], days: Sequence[date]) -> None:
    """Replace what is stored of pairs of these weeks, which are among those found, and of people of these days in them."""
    for statement in _REPLACE:
        session.execute(statement, {"connection": name, "weeks": list(weeks), "days": list(days)})
