"""Holds the view `data_freshness` to what it tells analysts of coverage, gaps and lag."""

import os
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select, text, update

from etl.warehouse import schema, tables
from etl.warehouse.database import Database
from etl.warehouse.views import data_freshness

AWAITED = ("open_calls", "details_due", "details_failing")


def at(day: int) -> datetime:
    return datetime(2026, 5, day, tzinfo=UTC)


def covering(*ranges: tuple[int, int]) -> str:
    return "{" + ",".join(f"[{at(start).isoformat()},{at(end).isoformat()})" for start, end in ranges) + "}"


PROVED = ("last_error_code", "last_error_at", "proved_at", "proof", "proved_calls", "provider_day_offset_minutes")


def store(database: Database, *streams: dict[str, object]) -> None:
    """Store one connection with these streams."""
    with database.begin() as connection:
        connection.execute(insert(tables.connections), {"connection": "voice", "provider": "acme"})
        for number, stream in enumerate(streams):
            given = {**stream, "coverage": text(f"'{stream.get('coverage', '{}')}'::tstzmultirange")}
            connection.execute(insert(tables.state).values(connection="voice", stream=f"s{number}", updated_at=at(1), **given))


def freshness(database: Database, *streams: dict[str, object]) -> dict[str, object]:
    """Store one connection with these streams and return its row of the view, without its names and what is awaited."""
    store(database, *streams)
    with database.begin() as connection:
        row = dict(connection.execute(select(data_freshness)).mappings().one())
        row = {name: value for name, value in row.items() if name not in PROVED}
        assert row.pop("connection") == "voice"
        assert row.pop("provider") == "acme"
        assert [row.pop(name) for name in AWAITED] == [0, 0, 0]
        lag = text("SELECT floor(extract(epoch FROM now() - CAST(:until AS timestamptz)))::bigint")
        assert row.pop("lag_seconds") == connection.execute(lag, {"until": row["fresh_until"]}).scalar_one()
        return row


@pytest.mark.parametrize(
    ("stream", "gaps", "unclosable"),
    [
        pytest.param({"coverage": covering((1, 9)), "domain_start": at(1)}, 0, 0, id="whole"),
        pytest.param({"coverage": covering((3, 9)), "domain_start": at(1)}, 1, 0, id="backfill not finished"),
        pytest.param({"coverage": covering((3, 9))}, 1, 0, id="backfill not finished, no start_date"),
        pytest.param({"coverage": covering((3, 9)), "horizon": at(3)}, 0, 0, id="read to the end of the list"),
        pytest.param(
            {"coverage": covering((3, 9)), "horizon": at(3), "domain_start": at(1)}, 0, 0, id="start_date before the first call"
        ),
        pytest.param({"coverage": covering((1, 3), (5, 6), (7, 9)), "domain_start": at(1)}, 2, 0, id="two holes"),
        pytest.param({"coverage": covering((1, 4), (6, 9)), "horizon": at(6)}, 1, 1, id="the list reaches down no further"),
        pytest.param({"coverage": covering((1, 3), (4, 5), (6, 9)), "horizon": at(5)}, 2, 1, id="one lost, one open"),
        pytest.param({"coverage": covering((1, 3), (6, 9)), "horizon": at(4)}, 1, 1, id="lost in its lower part"),
        pytest.param(
            {"coverage": covering((1, 3), (6, 9)), "horizon": at(1), "domain_start": at(5)}, 1, 0, id="cut by start_date"
        ),
        pytest.param(
            {"coverage": covering((1, 3), (6, 9)), "horizon": at(1), "domain_start": at(6)}, 0, 0, id="before start_date"
        ),
        pytest.param({"coverage": covering((1, 9)), "domain_start": at(20)}, 0, 0, id="start_date after what was read"),
        pytest.param({"coverage": covering((1, 9)), "horizon": at(20)}, 0, 0, id="horizon after what was read"),
    ],
)
def test_gaps_of_one_stream(database: Database, stream: dict[str, object], gaps: int, unclosable: int) -> None:
    """A gap is a hole below the end of coverage; one below the horizon cannot be closed."""
    found = freshness(database, {**stream, "high_water_mark": None})
    expected = {"last_success": None, "fresh_until": at(9), "complete_until": None, "gaps": gaps, "unclosable_gaps": unclosable}
    assert found == expected


def test_a_connection_that_never_ran_is_listed(database: Database) -> None:
    """It has a row, without an instant."""
    with database.begin() as connection:
        connection.execute(insert(tables.connections), {"connection": "voice", "provider": "acme"})
        found = tuple(connection.execute(select(data_freshness)).one())
        assert found == ("voice", "acme", None, None, None, None, 0, 0, 0, 0, 0, None, None, None, None, None, None)


def test_the_slowest_stream_counts(database: Database) -> None:
    """What a connection promises is what its least advanced stream can; gaps add up."""
    found = freshness(
        database,
        {"coverage": covering((1, 9)), "domain_start": at(1), "high_water_mark": at(9)},
        {"coverage": covering((1, 3), (4, 7)), "domain_start": at(1), "high_water_mark": at(3)},
    )
    assert found == {"last_success": None, "fresh_until": at(7), "complete_until": at(3), "gaps": 1, "unclosable_gaps": 0}


def test_a_stream_never_read_leaves_nothing_to_promise(database: Database) -> None:
    """One unread stream is enough to be not fresh at all."""
    found = freshness(database, {"coverage": covering((1, 9)), "domain_start": at(1), "high_water_mark": at(9)}, {})
    assert found == {"last_success": None, "fresh_until": None, "complete_until": None, "gaps": 0, "unclosable_gaps": 0}


def test_a_closed_stream_holds_nobody_back(database: Database) -> None:
    """An agent that is gone is read no further; its gaps stay visible."""
    found = freshness(
        database,
        {"coverage": covering((1, 9)), "domain_start": at(1), "high_water_mark": at(9)},
        {"coverage": covering((2, 4)), "domain_start": at(1), "closed_at": at(5)},
    )
    assert found == {"last_success": None, "fresh_until": at(9), "complete_until": at(9), "gaps": 1, "unclosable_gaps": 0}


def test_last_success_is_the_latest_sync_that_succeeded(database: Database) -> None:
    """Failed, partial and running ones, and those of other connections, do not count; neither does what reads nothing new."""
    ended = [
        ("voice", "succeeded", 2, "sync"),
        ("voice", "succeeded", 3, "sync"),
        ("voice", "partial", 4, "sync"),
        ("voice", "failed", 5, "sync"),
        ("voice", "succeeded", 6, "repair"),
        ("voice", "succeeded", 7, "replay"),
        ("other", "succeeded", 8, "sync"),
    ]
    with database.begin() as connection:
        connection.execute(
            insert(tables.runs),
            [
                {
                    "connection": name,
                    "trigger": "cli",
                    "status": status,
                    "kind": kind,
                    "started_at": at(1),
                    "finished_at": at(day),
                }
                for name, status, day, kind in ended
            ],
        )
    assert freshness(database)["last_success"] == at(3)


def test_earlier_replays_are_told_from_syncs_when_the_warehouse_is_migrated(database: Database) -> None:
    """A replay looked at records and asked for none; what was a sync stays one, and undoing the version lets all count again."""
    schema.downgrade(database, "0002")
    with database.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sync.runs (connection, trigger, status, started_at, finished_at, requests, pages, records_seen) VALUES "
            "('voice', 'cli', 'succeeded', now(), '2026-05-02Z', 1, 1, 0), "
            "('voice', 'cli', 'succeeded', now(), '2026-05-03Z', 0, 0, 7)"
        )
    store(database)
    with database.begin() as connection:
        assert connection.execute(select(data_freshness.c.last_success)).scalar_one() == at(3)

    schema.migrate(database)

    with database.begin() as connection:
        assert connection.exec_driver_sql("SELECT kind FROM sync.runs ORDER BY id").scalars().all() == ["sync", "replay"]
        assert connection.execute(select(data_freshness.c.last_success)).scalar_one() == at(2)


def test_the_newest_audit_and_the_last_error_stand_beside_it(database: Database) -> None:
    """The worst verdict over the streams counts, what was repaired is complete; of an older audit nothing is told."""
    freshness(database)
    with database.begin() as connection:
        audit = {"connection": "voice", "range_start": at(1), "range_end": at(5), "provider_count": 7, "rejected_count": 0}
        verdicts = [(at(8), "s0", "mismatch", 1), (at(9), "s0", "complete", 4), (at(9), "s1", "repaired", 3)]
        connection.execute(
            insert(tables.audits),
            [
                {**audit, "checked_at": checked, "stream": stream, "verdict": verdict, "warehouse_count": held}
                for checked, stream, verdict, held in verdicts
            ],
        )
        run = {"connection": "voice", "trigger": "cli", "status": "failed", "started_at": at(1)}
        ended = [(at(2), "authentication"), (at(3), "unavailable"), (at(4), None)]
        connection.execute(insert(tables.runs), [{**run, "finished_at": day, "error_code": code} for day, code in ended])
        connection.execute(update(tables.connections).values(capabilities={"day_offset": -480}))
        query = select(*(data_freshness.c[name] for name in PROVED))
        assert tuple(connection.execute(query).one()) == ("unavailable", at(3), at(9), "complete", 7, -480)

        connection.execute(
            insert(tables.audits),
            {**audit, "checked_at": at(9), "stream": "s2", "verdict": "unverifiable", "warehouse_count": None},
        )
        assert tuple(connection.execute(query).one())[2:5] == (at(9), "unverifiable", 7)


def test_the_view_keeps_who_may_read_it_when_it_is_made_anew(database: Database, server_url: str) -> None:
    """The migration takes a column out of it, which a view cannot do in place."""
    role = f"reader_{os.getpid()}"
    with Database(server_url) as server, server.autocommit() as admin:
        admin.exec_driver_sql(f"CREATE ROLE {role}")
        try:
            schema.downgrade(database, "0003")
            with database.begin() as connection:
                connection.exec_driver_sql(f"GRANT SELECT ON data_freshness TO {role}")
            schema.migrate(database)
            with database.begin() as connection:
                asked = text("SELECT has_table_privilege(:role, 'data_freshness', 'SELECT')")
                assert connection.execute(asked, {"role": role}).scalar_one()
        finally:
            with database.begin() as connection:
                connection.exec_driver_sql(f"DROP OWNED BY {role}")
            admin.exec_driver_sql(f"DROP ROLE {role}")
