"""Holds what is stored of people and pairs of many weeks at once to what the reading views compute of the same weeks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event

from etl.model import Derived, ParticipantRow
from etl.system import SystemThreads
from etl.warehouse import schema
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.rollups.comparing import differing
from tests.warehouse.rollups.looking import assert_exact, rows
from tests.warehouse.rollups.test_batches import Life
from tests.warehouse.rollups.test_in_passes import call

MINUTE = timedelta(minutes=1)
START = datetime(2026, 3, 27, 9, tzinfo=UTC)
PEOPLE = ("ada@example.com", " Ada@Example.com ", "bea@example.com", "cyd@example.com", None, "", "Zoë@example.com")


def meeting(life: Life, number: int, at: datetime) -> Derived:
    """Return a call of one to seven participations: people, guests, and people who are listed twice, some of whom never left."""
    row = call(life, number, at, 40 * MINUTE, None, is_test=number % 11 == 0).call
    parts = []
    for place in range(1 + number % 7):
        joined = at + place % 3 * 7 * MINUTE
        left = (joined + (number % 5 + place) * 6 * MINUTE, joined - MINUTE, None)[0 if place < 5 else place - 4]
        email = PEOPLE[(number * 3 + place * 5) % len(PEOPLE)]
        parts.append(ParticipantRow(life.account.connection, row.call_id, f"p{place}", email, joined, left, None))
    return Derived(row, tuple(parts), ())


def test_what_is_stored_of_people_is_what_the_views_compute(database: Database) -> None:
    """Over three weeks, in a zone whose clocks change on one of the days; also where only some days are made again."""
    schema.set_reporting_timezone(database, "Europe/Berlin")
    with Locks(database, SystemThreads()) as locks:
        life = Life(database, locks)
        calls = [meeting(life, number, START + number * 131 * MINUTE) for number in range(160)]
        life.do("insert", calls)
        life.do("all", ())
        assert list(differing(database, life.account.connection)) == []
        assert_exact(database, life.where)
        life.do("update", [meeting(life, number, START + number * 97 * MINUTE) for number in (20, 21, 90)])
        life.do("all", ())
        assert list(differing(database, life.account.connection)) == []
        assert_exact(database, life.where)


def test_two_people_who_meet_twice_at_once_are_together_once(database: Database) -> None:
    """In two calls that overlap by ten minutes, each of them in the first one twice."""
    with Locks(database, SystemThreads()) as locks:
        life = Life(database, locks)
        ada, bea = "ada@example.com", "bea@example.com"
        first, second = (call(life, number, START + number * 20 * MINUTE, 30 * MINUTE, None) for number in (0, 1))
        stays = {
            0: ((ada, 0, 20), (ada, 10, 30), (bea, 0, 30), (bea, 5, 6)),
            1: ((ada, 20, 50), (bea, 20, 50)),
        }
        for number, one in enumerate((first, second)):
            parts = tuple(
                ParticipantRow(*one.call[:2], f"p{place}", who, START + since * MINUTE, START + until * MINUTE, None)
                for place, (who, since, until) in enumerate(stays[number])
            )
            life.do("insert", [Derived(one.call, parts, ())])
        life.do("all", ())
        stored = rows(
            database,
            "SELECT person, calls, in_call_seconds, paired_seconds, solo_seconds, first_joined_at, last_left_at "
            f"FROM sync.person_daily WHERE {life.where} ORDER BY person",
        )
        assert [tuple(row.values()) for row in stored] == [
            (who, 2, 3000, 3000, 0, START, START + 50 * MINUTE) for who in (ada, bea)
        ]
        pairs = rows(database, f"SELECT person_a, person_b, calls, seconds_together FROM sync.pair_weekly WHERE {life.where}")
        assert [tuple(row.values()) for row in pairs] == [(ada, bea, 2, 3000)]


def test_nothing_of_people_is_left_behind_in_the_session(database: Database) -> None:
    """Weeks are made again by the same session, one chunk after the other."""
    with Locks(database, SystemThreads()) as locks:
        life = Life(database, locks)
        for number in range(1, 4):
            life.do("insert", [meeting(life, number, START + number * timedelta(days=7))])
            life.warehouse.remake(life.account, run_id=life.run_id, stop=Event())
        assert rows(database, "SELECT relname FROM pg_class WHERE relname ~ '(_people|listed_again)$'") == []
