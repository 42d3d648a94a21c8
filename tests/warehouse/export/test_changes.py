"""Holds `etl export` to what it writes again: the files of what changed, and no other."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Event

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.cli.progress import Silence
from etl.errors import Interrupted
from etl.runs.terms import RunKind, Trigger
from etl.system import SystemThreads
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.postgres import PostgresWarehouse
from etl.warehouse.rollups.rebuilding import extent, rebuild
from tests.warehouse.export.conftest import MONTHS, Life, call
from tests.warehouse.export.folders import assert_exact, changed, content, exported, files_of, written
from tests.warehouse.export.test_content import DEFAULTS
from tests.warehouse.rollups import test_batches as batches

JANUARY, FEBRUARY, MARCH = MONTHS
FOLDERS = count(1)
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
"""When the property below takes place, so that nothing in it depends on how fast it is run."""


def of_calls(*places: str) -> set[str]:
    """Return the files of facts and participants of these connections and months."""
    return {f"{relation}/connection={place}.parquet" for relation in ("call_facts", "call_participants") for place in places}


def age(database: Database) -> None:
    """Let ten minutes pass between what is written now and what was written before: more than the mark is taken back by."""
    at = EPOCH + next(FOLDERS) * timedelta(minutes=10)
    with database.begin() as session:
        for table in ("calls", "call_history"):
            session.exec_driver_sql(f"UPDATE {table} SET changed_at = '{at}' WHERE changed_at > '{EPOCH + timedelta(days=365)}'")


def names_of_calls(places: set[str]) -> set[str]:
    """Return those of these files that hold calls and participants."""
    return {place for place in places if place.startswith(("call_facts", "call_participants"))}


def take_on(database: Database, zone: str) -> None:
    """Take on a new reporting time zone, as `etl rollups rebuild` does."""
    with Locks(database, SystemThreads()) as locks:
        found = extent(database, zone)
        rebuild(database, PostgresWarehouse(database, locks), found=found, zone=zone, stop=Event())


def test_where_nothing_changed_no_file_is_written(life: Life, tmp_path: Path) -> None:
    """Also the calls that were written last, which are within five minutes of the mark; nor where roll-ups are made again."""
    first = exported(life.database, tmp_path)
    before = written(tmp_path)
    life.remake("two")
    second = exported(life.database, tmp_path)
    assert changed(before, tmp_path) == set()
    assert [(one.written, one.removed) for one in second.relations] == [(0, 0)] * len(DEFAULTS)
    assert second.manifest.mark == first.manifest.mark
    assert second.manifest.relations == first.manifest.relations


def test_a_call_that_changes_its_month_rewrites_both(life: Life, tmp_path: Path) -> None:
    """It is in the new one's files, and no more in the old one's; files of other months and connections stay."""
    exported(life.database, tmp_path)
    before = written(tmp_path)
    life.update("one", call("one", 1, MARCH, observed_at=MARCH))
    exported(life.database, tmp_path)
    assert names_of_calls(changed(before, tmp_path)) == of_calls("one/2026-01", "one/2026-03")
    assert not [place for place in changed(before, tmp_path) if "=two/" in place or "2026-02" in place]
    assert_exact(life.database, tmp_path, DEFAULTS)


REMOVALS: dict[str, Callable[[Life, str], None]] = {
    "deleted": lambda life, call_id: life.bury("one", call_id),
    "erased": lambda life, call_id: life.erase("one", call_id),
}


@pytest.mark.parametrize("how", REMOVALS)
def test_a_call_that_is_gone_rewrites_its_month(life: Life, tmp_path: Path, how: str) -> None:
    """Of the erased one nothing is left that says when it was."""
    exported(life.database, tmp_path)
    before = written(tmp_path)
    REMOVALS[how](life, "c5")
    exported(life.database, tmp_path)
    assert names_of_calls(changed(before, tmp_path)) == of_calls("one/2026-02")
    assert_exact(life.database, tmp_path, DEFAULTS)


def test_a_month_without_calls_any_more_has_no_file(life: Life, tmp_path: Path) -> None:
    """Its folder goes with the last one; a month whose calls have no participants has none of them."""
    exported(life.database, tmp_path)
    life.bury("one", *(f"c{number}" for number in range(4)))
    life.bury("two", *(f"c{number}" for number in range(12)))
    life.execute("DELETE FROM call_participants")
    life.execute("UPDATE calls SET changed_at = now()")
    ended = exported(life.database, tmp_path)
    assert [place for place in files_of(tmp_path) if place.startswith("call")] == [
        f"{relation}/connection=one/2026-{month}.parquet"
        for relation in ("call_facts", "calls_daily", "calls_hourly")
        for month in ("02", "03")
    ]
    assert sorted(path.name for path in (tmp_path / "call_facts").iterdir()) == ["connection=one"]
    assert not (tmp_path / "call_participants").exists()
    assert {one.relation: one.removed for one in ended.relations}["call_facts"] == 4
    assert_exact(life.database, tmp_path, DEFAULTS)


def test_a_new_name_of_an_agent_rewrites_the_months_of_its_calls(life: Life, tmp_path: Path) -> None:
    """A name is joined when it is read: no call is written for it."""
    life.bury("one", "c5", "c7")  # the calls of a1 in February
    exported(life.database, tmp_path)
    before = written(tmp_path)
    life.execute("UPDATE agents SET display_name = 'Reception' WHERE connection = 'one' AND agent_id = 'a1'")
    exported(life.database, tmp_path)
    assert changed(before, tmp_path) == {
        f"{relation}/connection=one/2026-{month}.parquet" for relation in ("call_facts", "agent_daily") for month in ("01", "03")
    }
    assert_exact(life.database, tmp_path, DEFAULTS)


def test_agents_that_turn_out_to_be_people_are_masked_in_all_files(life: Life, tmp_path: Path) -> None:
    """Their ids and names are in no masked file any more."""
    exported(life.database, tmp_path, masked=True)
    before = written(tmp_path)
    life.execute("UPDATE sync.connections SET agents_are_people = true WHERE connection = 'two'")
    exported(life.database, tmp_path, masked=True)
    assert changed(before, tmp_path) == {
        f"{relation}/connection=two/2026-0{month}.parquet" for relation in ("call_facts", "agent_daily") for month in (1, 2, 3)
    }
    assert_exact(life.database, tmp_path, DEFAULTS, "masked")


def test_a_new_time_zone_exports_all_again(life: Life, tmp_path: Path) -> None:
    """Local hours change also where no day does; and back again."""
    exported(life.database, tmp_path)
    before = written(tmp_path)
    for zone in ("Asia/Kolkata", "UTC"):
        take_on(life.database, zone)
        ended = exported(life.database, tmp_path)
        assert changed(before, tmp_path) == set(files_of(tmp_path)) | set(before)
        assert ended.manifest.reporting_timezone == zone
        assert_exact(life.database, tmp_path, DEFAULTS)
        before = written(tmp_path)


def test_a_zone_that_was_another_one_between_two_exports(life: Life, tmp_path: Path) -> None:
    """Calls whose day moved and came back were written twice; the export knows of neither, and is right."""
    life.insert("one", call("one", 90, JANUARY.replace(day=31, hour=22)))  # of February in Kolkata
    first = exported(life.database, tmp_path)
    for zone in ("Asia/Kolkata", "UTC"):
        take_on(life.database, zone)
    second = exported(life.database, tmp_path)
    assert (first.manifest.basis, first.manifest.mark) < (second.manifest.basis, second.manifest.mark)
    assert_exact(life.database, tmp_path, DEFAULTS)


def test_files_that_somebody_removed_or_cut_are_written_again(life: Life, tmp_path: Path) -> None:
    """The manifest says what they were; a file of the same size is believed."""
    exported(life.database, tmp_path)
    before = content(tmp_path)
    (tmp_path / "call_facts/connection=one/2026-01.parquet").unlink()
    os.truncate(tmp_path / "pair_weekly/connection=two/2026-02.parquet", 10)
    ended = exported(life.database, tmp_path)
    assert {one.relation: one.written for one in ended.relations if one.written} == {"call_facts": 1, "pair_weekly": 1}
    assert content(tmp_path) == before


def test_what_a_folder_holds_already_is_brought_along(life: Life, tmp_path: Path) -> None:
    """A folder is of one instant: relations named once stay in it, and are as new as those named now."""
    exported(life.database, tmp_path, "call_messages")
    life.bury("one", "c1")
    ended = exported(life.database, tmp_path, "calls_daily")
    assert [one.relation for one in ended.relations] == ["calls_daily", "call_messages"]
    assert_exact(life.database, tmp_path, ["calls_daily", "call_messages"])


class Writing(Silence):
    """Writes calls while an export is on its way."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.numbers = count(100)

    def stream_started(self, connection: str, stream: str) -> None:
        self.life.insert("one", call("one", next(self.numbers), FEBRUARY))
        self.life.bury("two", f"c{next(self.numbers) % 8}")


def test_all_files_are_of_one_instant(life: Life, tmp_path: Path) -> None:
    """What is written meanwhile is in none of them, and in all after the next export."""
    exported(life.database, tmp_path / "before")
    exported(life.database, tmp_path / "meanwhile", watcher=Writing(life))
    assert content(tmp_path / "meanwhile") == content(tmp_path / "before")
    exported(life.database, tmp_path / "meanwhile")
    assert_exact(life.database, tmp_path / "meanwhile", DEFAULTS)


def test_what_was_written_but_not_committed_yet_comes_with_the_next(life: Life, tmp_path: Path) -> None:
    """It holds an instant before the mark."""
    exported(life.database, tmp_path)
    with life.database.begin() as slow:
        slow.exec_driver_sql(
            "UPDATE calls SET end_reason = 'late', changed_at = now() WHERE connection = 'one' AND call_id = 'c1'"
        )
        life.insert("two", call("two", 90, MARCH))
        exported(life.database, tmp_path)
    before = written(tmp_path)
    exported(life.database, tmp_path)
    assert names_of_calls(changed(before, tmp_path)) == of_calls("one/2026-01")
    assert_exact(life.database, tmp_path, DEFAULTS)


class Stopping(Silence):
    """Stops an export in its second relation."""

    def __init__(self, stop: Event) -> None:
        self.stop = stop

    def stream_started(self, connection: str, stream: str) -> None:
        if stream == "call_participants":
            self.stop.set()


def test_an_export_that_is_stopped_leaves_the_files_as_they_were(life: Life, tmp_path: Path) -> None:
    """What was begun is removed; the next one does all of it."""
    exported(life.database, tmp_path)
    before = written(tmp_path)
    life.execute("UPDATE calls SET end_reason = 'other', changed_at = now()")
    stop = Event()
    with pytest.raises(Interrupted):
        exported(life.database, tmp_path, watcher=Stopping(stop), stop=stop)
    assert changed(before, tmp_path) == set()
    assert list(tmp_path.rglob("*.unfinished")) == []
    exported(life.database, tmp_path)
    assert_exact(life.database, tmp_path, DEFAULTS)


ZONES = ["UTC", "Europe/Berlin", "Pacific/Kiritimati"]


@settings(
    max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(data=st.data())
def test_whatever_happens_between_exports_the_files_are_those_of_a_full_one(
    database: Database, tmp_path: Path, data: st.DataObject
) -> None:
    """Calls that come, change, move and go, roll-ups made again or not, agents that are named, zones taken on."""
    with database.begin() as session:
        for table in ("calls", "call_participants", "call_history", "agents", "sync.touched_days", "sync.connections"):
            session.exec_driver_sql(f"DELETE FROM {table}")
        for relation in DEFAULTS[2:]:
            session.exec_driver_sql(f"DELETE FROM sync.{relation}")
    folder = tmp_path / str(next(FOLDERS))
    with Locks(database, SystemThreads()) as locks:
        life = batches.Life(database, locks)
        for kind, what in data.draw(batches.batches(life.account.connection)):
            life.do(kind, what)
            match data.draw(st.sampled_from(["export", "export", "name", "zone", "nothing"])):
                case "export":
                    age(database)
                    exported(database, folder / "kept")
                case "name":
                    with database.begin() as session:
                        session.exec_driver_sql(f"UPDATE agents SET display_name = 'no {next(FOLDERS)}' WHERE agent_id = 'a1'")
                case "zone":
                    take_on(database, data.draw(st.sampled_from(ZONES)))
                    life.run_id = life.warehouse.open_run(life.account, kind=RunKind.SYNC, trigger=Trigger.CLI)
                case _:
                    pass
    age(database)
    exported(database, folder / "kept")
    exported(database, folder / "full")
    assert content(folder / "kept") == content(folder / "full")
    assert_exact(database, folder / "kept", DEFAULTS)
    before = written(folder / "kept")
    exported(database, folder / "kept")
    assert changed(before, folder / "kept") == set()
