"""Holds the two places that say what a gap is together: Python for the program, the view `data_freshness` for analysts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select

from etl.coverage import Spans
from etl.runs.state import StreamState
from etl.warehouse import tables
from etl.warehouse.database import Database
from etl.warehouse.loading.transaction import multirange_of
from etl.warehouse.reports.gaps import Gap, Why, gaps
from etl.warehouse.views import data_freshness

EPOCH = datetime(2026, 5, 1, tzinfo=UTC)
INSTANTS = st.integers(0, 24).map(lambda hours: EPOCH + timedelta(hours=hours))
COVERAGE = st.lists(st.tuples(INSTANTS, INSTANTS), max_size=5).map(Spans)
STATES = st.builds(StreamState, start=st.none() | INSTANTS, coverage=COVERAGE, horizon=st.none() | INSTANTS)


def keep(database: Database, states: list[StreamState]) -> None:
    """Store each state as the only stream of a connection of its own, in place of what was stored before."""
    with database.begin() as session:
        session.execute(delete(tables.state))
        session.execute(delete(tables.connections))
        session.execute(insert(tables.connections), [{"connection": f"c{n:02}", "provider": "acme"} for n in range(len(states))])
        session.execute(
            insert(tables.state),
            [
                {
                    "connection": f"c{number:02}",
                    "stream": "calls",
                    "domain_start": state.start,
                    "coverage": multirange_of(state.coverage),
                    "horizon": state.horizon,
                    "updated_at": EPOCH,
                }
                for number, state in enumerate(states)
            ],
        )


@given(st.lists(STATES, min_size=10, max_size=30))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_view_and_the_program_count_the_same_gaps(database: Database, states: list[StreamState]) -> None:
    """Whatever was read, wherever the list began to end, and wherever a start date lies."""
    keep(database, states)

    with database.begin() as session:
        columns = (data_freshness.c.gaps, data_freshness.c.unclosable_gaps)
        counted = [tuple(row) for row in session.execute(select(*columns).order_by(data_freshness.c.connection))]

    assert counted == [(len(state.gaps), len(state.lost)) for state in states]


def test_a_gap_over_the_horizon_is_reported_in_two_parts(database: Database) -> None:
    """Its lower part can be had no more, its upper part is read by a later run; without a horizon the past is open."""
    hours = [EPOCH + timedelta(hours=number) for number in range(10)]
    split = StreamState(start=None, coverage=Spans([(hours[1], hours[3]), (hours[6], hours[9])]), horizon=hours[4])
    endless = StreamState(start=None, coverage=Spans([(hours[2], hours[9])]))
    keep(database, [split, endless])

    assert gaps(database) == [
        Gap("c00", "calls", hours[3], hours[4], Why.BELOW_HORIZON),
        Gap("c00", "calls", hours[4], hours[6], Why.NOT_READ_YET),
        Gap("c01", "calls", None, hours[2], Why.NOT_READ_YET),
    ]
