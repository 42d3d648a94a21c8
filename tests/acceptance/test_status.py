"""`etl status` shows every gap: from when to when, why it is there, and whether it can still be closed."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from etl.runs.terms import RunStatus
from tests.acceptance.process import Program
from tests.acceptance.stage import START, Stage

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def one_a_minute(stage: Stage, provider: str, count: int, *, until: datetime) -> list[str]:
    """Add so many calls, one a minute, the last one minute before `until`; return their ids, oldest first."""
    return [stage.history.add(provider, at=until - (count - index) * MINUTE)[0] for index in range(count)]


def gaps(stage: Stage, folder: Path) -> list[dict[str, Any]]:
    """Return the gaps of the only stream of the only connection as `etl status --json` tells them."""
    (connection,) = program(stage, folder).run("status", "--json").json["connections"]
    (stream,) = connection["streams"]
    found = stream["gaps"]
    assert (connection["gaps"], connection["unclosable_gaps"]) == (len(found), sum(not gap["closable"] for gap in found))
    return [dict(gap) for gap in found]


def program(stage: Stage, folder: Path) -> Program:
    """Give the program over the stage's warehouse."""
    return Program(sandbox=stage.sandbox, url=stage.url, folder=folder)


def shown(instant: datetime) -> str:
    """Return how JSON shows an instant."""
    return instant.isoformat().replace("+00:00", "Z")


def test_a_warehouse_without_gaps_shows_none(stage: Stage, tmp_path: Path) -> None:
    """Nothing is said where nothing is missing."""
    one_a_minute(stage, "krosai", 20, until=START)
    stage.sync("krosai")

    assert gaps(stage, tmp_path) == []
    assert "not read" not in program(stage, tmp_path).run("status").out


def test_connections_that_were_not_synced_yet_are_named(stage: Stage, tmp_path: Path) -> None:
    """The table has a row for each that was; the others are what is left to be done."""
    stage.sync("krosai")

    told = "Configured, and not synced yet: pairing, voice, devices. Run: etl sync pairing voice devices"
    assert program(stage, tmp_path).run("status", "--json").json["remarks"] == [told]
    assert program(stage, tmp_path).run("status").out.splitlines()[-1] == told


def test_the_embedded_server_is_named_by_its_folder(stage: Stage) -> None:
    """Nobody has written its address; before the first sync the hint is what makes the warehouse."""
    with tempfile.TemporaryDirectory(prefix="etl-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)  # root's server runs under another account
        home = Path(name).resolve() / "home"
        embedded = program(stage, Path(name))
        embedded.url, embedded.environment["ETL_WAREHOUSE__DATA_DIR"] = None, str(home)

        ended, checked = embedded.run("status"), embedded.run("check")

    assert (ended.code, ended.out, ended.lines) == (
        1,
        "",
        [
            f"The database at the embedded server in {home} holds no warehouse yet.",
            "Nothing was changed.",
            (
                "Run: etl sync, which makes it. If calls were synced before, this is another database: check warehouse.url and "
                "warehouse.data_dir."
            ),
        ],
    )
    assert f"ok      database: the embedded server in {home}, by a socket of this machine" in checked.out.splitlines()


def test_a_gap_below_the_horizon_cannot_be_closed(stage: Stage, tmp_path: Path) -> None:
    """The provider's list ends above it."""
    stage.sandbox.switches.salpre.recent_calls = 40
    one_a_minute(stage, "salpre", 40, until=START)
    stage.sync("salpre")
    mark = stage.state("salpre")[0]["high_water_mark"]
    stage.history.advance(timedelta(hours=10))
    one_a_minute(stage, "salpre", 60, until=START + timedelta(hours=10))
    stage.sync("salpre")
    horizon = START + timedelta(hours=10) - 40 * MINUTE

    assert gaps(stage, tmp_path) == [{"start": shown(mark), "end": shown(horizon), "why": "below_horizon", "closable": False}]
    expected = (
        f"devices, stream calls: not read from {mark:%Y-%m-%d %H:%M:%S} to {horizon:%Y-%m-%d %H:%M:%S}: "
        "the provider's list ends above it; it can be had no more."
    )
    said = program(stage, tmp_path).run("status").out.splitlines()
    assert expected in said
    (line,) = [line for line in said if line.startswith("devices: read from ")]
    assert line.endswith(f"; lost from {mark:%Y-%m-%d %H:%M:%S} to {horizon:%Y-%m-%d %H:%M:%S}.")


def test_a_gap_that_the_pages_do_not_reach_is_told_and_closes_once_they_do(stage: Stage, tmp_path: Path) -> None:
    """
    Salpre ignores `page`, and more calls came than one response holds.

    The sync exits 0 with a warning; the status names the gap; after the provider accepts `page` the next sync closes it.
    """
    stage.sandbox.switches.salpre.maximum = 10
    first = one_a_minute(stage, "salpre", 10, until=START)
    stage.sync("salpre")
    mark = stage.state("salpre")[0]["high_water_mark"]
    stage.history.advance(timedelta(hours=4))
    more = one_a_minute(stage, "salpre", 50, until=START + timedelta(hours=4))
    stage.sandbox.switches.salpre.page = "ignored"

    ended = program(stage, tmp_path).run("sync", "devices")

    assert ended.code == 0
    assert any("serves its first page whatever page is asked for" in line for line in ended.lines)
    assert stage.ids("salpre") == {*first, *more[-10:]}
    (gap,) = gaps(stage, tmp_path)
    assert (gap["start"], gap["why"], gap["closable"]) == (shown(mark), "not_reached", True)
    assert stage.freshness("salpre")["complete_until"] == mark
    said = program(stage, tmp_path).run("status").out
    assert "the last run could not reach it; every run tries again." in said

    stage.sandbox.switches.salpre.page = "honoured"
    outcome = stage.sync("salpre")

    assert (outcome.status, outcome.findings) == (RunStatus.SUCCEEDED, [])
    assert stage.ids("salpre") == {*first, *more}
    assert gaps(stage, tmp_path) == []


def test_what_an_interrupted_backfill_has_not_reached_is_not_read_yet(stage: Stage, tmp_path: Path) -> None:
    """It reaches down to the start date; the next sync goes on there first of all, and the gap is gone."""
    ids = one_a_minute(stage, "krosai", 60, until=START)
    stage.settings = {"krosai": {"per_page": 10, "start_date": "2026-02-01"}}
    stage.max_attempts = 1
    stage.sandbox.faults.add("status_500", provider="krosai", after=2, path="/calls")
    assert stage.sync("krosai").status is RunStatus.FAILED
    (covered,) = stage.ranges("krosai")

    assert gaps(stage, tmp_path) == [
        {"start": "2026-02-01T00:00:00Z", "end": shown(covered[0]), "why": "not_read_yet", "closable": True}
    ]

    stage.sandbox.faults.clear()
    assert stage.sync("krosai").status is RunStatus.SUCCEEDED
    assert gaps(stage, tmp_path) == []
    assert stage.ids("krosai") == set(ids)


def test_without_a_start_date_an_interrupted_backfill_is_open_to_the_past(stage: Stage, tmp_path: Path) -> None:
    """Nobody knows yet where the provider's list ends."""
    one_a_minute(stage, "krosai", 60, until=START)
    stage.settings = {"krosai": {"per_page": 10}}
    stage.max_attempts = 1
    stage.sandbox.faults.add("status_500", provider="krosai", after=2, path="/calls")
    stage.sync("krosai")
    (covered,) = stage.ranges("krosai")

    assert gaps(stage, tmp_path) == [{"start": None, "end": shown(covered[0]), "why": "not_read_yet", "closable": True}]
    assert "not read from the beginning to" in program(stage, tmp_path).run("status").out


def test_a_replay_does_not_hide_why_a_gap_is_there(stage: Stage, tmp_path: Path) -> None:
    """Only runs that read something tell what could be reached."""
    one_a_minute(stage, "krosai", 60, until=START)
    stage.settings = {"krosai": {"per_page": 10}}
    stage.max_attempts = 1
    stage.sandbox.faults.add("status_500", provider="krosai", after=2, path="/calls")
    stage.sync("krosai")
    assert program(stage, tmp_path).run("replay", "telephony").code == 0

    (gap,) = gaps(stage, tmp_path)

    assert gap["why"] == "not_read_yet"
