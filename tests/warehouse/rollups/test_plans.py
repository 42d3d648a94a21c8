"""What the reading views ask the tables for, as the planner tells: not for all calls, nor for a table beside its index."""

import re

import pytest
from sqlalchemy import text

from etl.warehouse.database import Database


def plan(database: Database, query: str) -> str:
    """Return the plan of a query where an index is taken wherever one will do."""
    with database.begin() as session:
        session.execute(text("SET LOCAL enable_seqscan TO off"))
        session.execute(text("SET LOCAL enable_bitmapscan TO off"))
        return "\n".join(session.execute(text(f"EXPLAIN (COSTS OFF) {query}")).scalars())


@pytest.mark.parametrize("view", ["calls_hourly", "lines_hourly"])
def test_calls_that_meet_a_touched_day_are_found_day_by_day(database: Database, view: str) -> None:
    """A range of days has no statistics: at a million calls the planner read them all for six touched days."""
    found = plan(database, f"SELECT max(peak_concurrent) FROM public.{view}")

    # Which side of a join stands left differs between versions of PostgreSQL.
    either_way_round = r"day = \(touched_days(_\d+)?\.day - |\(touched_days(_\d+)?\.day - [^()]+\) = (calls(_\d+)?\.)?day"
    assert re.search(either_way_round, found)
    assert "day <= " not in found


def test_talk_times_of_a_range_of_days_are_read_from_the_index_alone(database: Database) -> None:
    """The key holds the count."""
    found = plan(database, "SELECT bucket, sum(calls) FROM public.talk_time_daily WHERE day >= '2026-01-01' GROUP BY bucket")

    assert "Index Only Scan using talk_time_daily_pkey" in found


@pytest.mark.parametrize("schema", ["public", "masked"])
def test_peaks_are_computed_only_where_they_are_asked_for(database: Database, schema: str) -> None:
    """Counting the calls of a touched day costs a quarter of that."""
    counts = plan(database, f"SELECT local_hour, sum(calls) FROM {schema}.calls_hourly WHERE NOT is_test GROUP BY local_hour")
    peaks = plan(database, f"SELECT local_hour, max(peak_concurrent) FROM {schema}.calls_hourly GROUP BY local_hour")

    assert "WindowAgg" not in counts
    assert "WindowAgg" in peaks


@pytest.mark.parametrize("schema", ["public", "masked"])
def test_a_touched_week_of_pairs_is_computed_once_and_each_call_found_by_its_key(database: Database, schema: str) -> None:
    """As a join all participants were read; and `masked` joined what `public` computes with the touched weeks once more."""
    found = plan(database, f"SELECT sum(seconds_together) FROM {schema}.pair_weekly")

    assert found.count("on call_participants part") + found.count("on call_participants\n") == 1
    assert re.search(r"\(connection = calls\.connection\) AND \(call_id = calls\.call_id\)", found)
    assert "day >= " not in found


@pytest.mark.parametrize("view", ["person_daily", "pair_weekly"])
def test_nothing_is_read_of_a_connection_without_participants(database: Database, view: str) -> None:
    """Whether there are any is asked for each touched day, by one look into the index."""
    assert "on call_participants anybody" in plan(database, f"SELECT sum(calls) FROM public.{view}")


@pytest.mark.parametrize(
    "view", ["calls_daily", "agent_daily", "calls_hourly", "lines_hourly", "talk_time_daily", "person_daily", "pair_weekly"]
)
def test_few_touched_days_are_expected_before_anything_is_known_of_them(database: Database, view: str) -> None:
    """Of a table that was never vacuumed 1,850 rows were expected, and all calls were read rather than looked up so often."""
    with database.begin() as session:
        session.execute(text("TRUNCATE sync.touched_days"))
        lines = session.execute(text(f"EXPLAIN SELECT * FROM public.{view}")).scalars().all()

    expected = [int(found[1]) for line in lines if (found := re.search(r" on touched_days.* rows=(\d+) ", line))]
    assert max(expected) > 500  # of those that are compared with the stored days
    assert min(expected) <= 10
