"""Holds `etl export` to the values: each row as the database has it, whoever reads the files."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.warehouse.export import exporting
from etl.warehouse.export.relations import DEFAULT, KNOWN
from tests.warehouse.export.conftest import AWKWARD, Life, call
from tests.warehouse.export.folders import assert_exact, content, exported, files_of

DEFAULTS = [relation.name for relation in DEFAULT]
ROLLUPS = (
    *("calls_daily", "agent_daily", "calls_hourly", "lines_hourly", "talk_time_daily", "talk_time_monthly", "person_daily"),
    "pair_weekly",
)


def test_what_is_exported_by_default_are_facts_participants_and_all_roll_ups(life: Life, tmp_path: Path) -> None:
    """Whole rows compared; one file for each connection and month that has some."""
    assert ["call_facts", "call_participants", *ROLLUPS] == DEFAULTS
    exported(life.database, tmp_path)
    assert_exact(life.database, tmp_path, DEFAULTS)
    assert [place for place in files_of(tmp_path) if place.startswith("call_facts")] == [
        f"call_facts/connection={name}/2026-{month}.parquet" for name in ("one", "two") for month in ("01", "02", "03")
    ]


@pytest.mark.parametrize("relation", sorted(KNOWN.keys() - set(DEFAULTS)))
def test_what_is_named_is_exported_alone(life: Life, tmp_path: Path, relation: str) -> None:
    """Children are in the month of their call; JSON is text."""
    exported(life.database, tmp_path, relation)
    texts = {"calls": ("raw", "detail", "attributes", "cost"), "call_events": ("data",)}.get(relation, ())
    with life.database.begin() as session:  # as the server writes them
        for name in texts:
            found = session.exec_driver_sql(f"SELECT connection, call_id, {name}::text FROM {relation}").all()
            tables = [table.select(["connection", "call_id", name]).to_pylist() for table in content(tmp_path).values()]
            assert sorted(map(str, found)) == sorted(str(tuple(row.values())) for rows in tables for row in rows)
    if not texts:
        assert_exact(life.database, tmp_path, [relation])
    assert len(files_of(tmp_path)) == 6


def test_masked_files_hold_what_the_masked_views_show(life: Life, tmp_path: Path) -> None:
    """No address, name or text is in any file; where agents are people, neither are they."""
    exported(life.database, tmp_path / "exact", *(KNOWN.keys() - {"calls"}), masked=True)
    assert_exact(life.database, tmp_path / "exact", KNOWN.keys() - {"calls"}, "masked")
    exported(life.database, tmp_path / "all", *KNOWN, masked=True)
    found = content(tmp_path / "all")
    everything = "".join(str(table.to_pylist()) for table in found.values())
    assert [part for part in ("+1415", "@example.com", "quoted") if part in everything] == []
    assert {"from_key", "to_key"} <= set(found["calls/connection=one/2026-01.parquet"].column_names)


def test_types_are_exact(life: Life, tmp_path: Path) -> None:
    """Costs are decimals, instants microseconds in UTC, counts whole numbers, days dates; the machine's columns are left out."""
    exported(life.database, tmp_path, *KNOWN)
    facts = pq.read_schema(tmp_path / "call_facts/connection=one/2026-01.parquet")
    kinds = {
        "cost": pa.decimal128(18, 6), "occurred_at": pa.timestamp("us", tz="UTC"), "talk_seconds": pa.int64(),
        "duration_seconds": pa.int32(), "day": pa.date32(), "is_answered": pa.bool_(), "call_id": pa.string(),
    }  # fmt: skip
    assert {name: facts.field(name).type for name in kinds} == kinds
    daily = pq.read_schema(tmp_path / "calls_daily/connection=one/2026-01.parquet")
    assert (daily.field("cost").type, daily.field("calls").type) == (pa.decimal128(38, 6), pa.int64())
    calls = pq.read_schema(tmp_path / "calls/connection=one/2026-01.parquet")
    assert (calls.field("raw").type, calls.field("cost").type) == (pa.string(), pa.string())
    assert calls.names[-2:] == ["parent_call_id", "changed_at"] and "content_hash" not in calls.names


QUESTION = """
SELECT connection, call_id, cost, epoch_us(occurred_at) AS at, end_reason, error_reason, direction
FROM read_parquet('{}/call_facts/**/*.parquet')
WHERE cost IS NOT NULL OR call_id = 'c0' ORDER BY connection, day, call_id LIMIT 2
"""


def test_duckdb_reads_a_folder_as_one_table(life: Life, tmp_path: Path) -> None:
    """The connection is that of the file, costs are exact, null and the empty text are told apart."""
    exported(life.database, tmp_path)
    at = int(datetime(2026, 1, 10, 9, tzinfo=UTC).timestamp()) * 10**6 + 123456
    assert duckdb.sql(QUESTION.format(tmp_path)).fetchall() == [
        ("one", "c0", None, at, AWKWARD, None, None),
        ("one", "c1", Decimal("0.123457"), at + 7 * 3600 * 10**6, AWKWARD, "", "inbound"),
    ]
    total = f"SELECT sum(cost), count(*), typeof(any_value(cost)) FROM read_parquet('{tmp_path}/call_facts/*/*.parquet')"
    (found,) = duckdb.sql(total).fetchall()
    with life.database.begin() as session:
        assert found[:2] == session.exec_driver_sql("SELECT sum(cost), count(*) FROM call_facts").one()
    assert found[2] == "DECIMAL(18,6)"
    for relation in DEFAULTS:
        count = duckdb.sql(f"SELECT count(*) FROM read_parquet('{tmp_path}/{relation}/**/*.parquet')").fetchall()
        with life.database.begin() as session:
            assert count[0] == session.exec_driver_sql(f"SELECT count(*) FROM {relation}").one(), relation


def test_pandas_reads_a_folder_as_one_frame(life: Life, tmp_path: Path) -> None:
    """Also one file alone, and one connection alone."""
    exported(life.database, tmp_path)
    for relation in DEFAULTS:
        frame = pd.read_parquet(tmp_path / relation)
        with life.database.begin() as session:
            assert len(frame) == session.exec_driver_sql(f"SELECT count(*) FROM {relation}").scalar_one(), relation
    facts = pd.read_parquet(tmp_path / "call_facts", filters=[("connection", "=", "two")])
    assert set(facts["connection"]) == {"two"}
    alone: Any = pd.read_parquet(tmp_path / "call_facts" / "connection=one" / "2026-01.parquet")
    row = alone[alone["call_id"] == "c1"].iloc[0]
    assert (row["cost"], row["occurred_at"], row["day"], row["connection"]) == (
        Decimal("0.123457"),
        pd.Timestamp("2026-01-10T16:00:00.123456Z"),
        date(2026, 1, 10),
        "one",
    )


def test_a_file_of_many_row_groups_holds_the_same(life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows go out a row group at a time, by number or by size; a row that is larger than that is whole."""
    exported(life.database, tmp_path / "one")
    for name, value in (("GROUP_ROWS", 3), ("GROUP_BYTES", 10)):
        monkeypatch.setattr(exporting, name, value)
        exported(life.database, tmp_path / name)
        assert content(tmp_path / name) == content(tmp_path / "one")
    place = "call_facts/connection=one/2026-01.parquet"
    groups = [pq.read_metadata(tmp_path / name / place).num_row_groups for name in ("one", "GROUP_ROWS", "GROUP_BYTES")]
    assert groups == [1, 2, 4]


def test_connections_of_any_name_have_a_folder_of_their_own(life: Life, tmp_path: Path) -> None:
    """What has a meaning in a path or to a shell is escaped, as readers of such folders expect it."""
    strange = "../ä=b *"
    life.execute(f"UPDATE calls SET connection = '{strange}' WHERE connection = 'two'")
    exported(life.database, tmp_path, "call_facts")
    assert sorted(path.name for path in (tmp_path / "call_facts").iterdir()) == [
        "connection=..%2F%C3%A4%3Db%20%2A",
        "connection=one",
    ]
    assert set(pd.read_parquet(tmp_path / "call_facts")["connection"]) == {"one", strange}
    found = duckdb.sql(f"SELECT DISTINCT connection FROM read_parquet('{tmp_path}/call_facts/*/*.parquet') ORDER BY 1")
    assert found.fetchall() == [(strange,), ("one",)]


def test_a_warehouse_without_calls_makes_a_folder_without_files(database: Any, tmp_path: Path) -> None:
    """The first calls come with the next export."""
    ended = exported(database, tmp_path)
    assert (files_of(tmp_path), ended.manifest.mark, [one.files for one in ended.relations]) == ([], None, [0] * len(DEFAULTS))


def test_rows_stand_in_an_order_that_stays(life: Life, tmp_path: Path) -> None:
    """Facts by time: so a reader that looks for a day skips row groups."""
    exported(life.database, tmp_path, "call_facts")
    times = pq.read_table(tmp_path / "call_facts/connection=one/2026-02.parquet", partitioning=None)["occurred_at"].to_pylist()
    assert times == sorted(times)
    life.insert("one", call("one", 90, datetime(2026, 2, 1, tzinfo=UTC)))
    exported(life.database, tmp_path, "call_facts")
    again = pq.read_table(tmp_path / "call_facts/connection=one/2026-02.parquet", partitioning=None)["occurred_at"].to_pylist()
    assert again == [datetime(2026, 2, 1, tzinfo=UTC), *times]
