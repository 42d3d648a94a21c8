"""How late calls appear is measured by every run, and `etl status` warns before they come later than the lookback reaches."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cast import NAMES, PROVIDERS
from tests.acceptance.process import Ended, Program
from tests.acceptance.stage import START, Stage

MINUTE = timedelta(minutes=1)


def status(stage: Stage, folder: Path, *arguments: str, settings: dict[str, dict[str, Any]] | None = None) -> Ended:
    """Run `etl status`."""
    return Program(sandbox=stage.sandbox, url=stage.url, folder=folder, settings=settings or {}).run("status", *arguments)


def late_by(stage: Stage, provider: str, *minutes: int) -> None:
    """Sync up to now, then let calls appear that lie so many minutes before, and sync again."""
    stage.history.add(provider, number=3, at=START - 300 * MINUTE)
    stage.history.add(provider, at=START)
    stage.sync(provider)
    for late in minutes:
        stage.history.add(provider, at=START - late * MINUTE, visible_at=START + MINUTE)
    stage.history.advance(10 * MINUTE)
    stage.sync(provider)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_run_counts_the_late_calls_and_how_late_the_latest_was(stage: Stage, provider: str) -> None:
    """What appears below the end of what had been covered is late, by the distance to that end; new calls above are not."""
    late_by(stage, provider, 5, 20)
    stage.history.add(provider, at=START + 10 * MINUTE)
    stage.history.advance(5 * MINUTE)
    stage.sync(provider)

    rows = stage.rows("SELECT inserted, late, max_lateness FROM sync.runs ORDER BY id")

    assert rows == [
        {"inserted": 4, "late": 0, "max_lateness": None},
        {"inserted": 2, "late": 2, "max_lateness": 20 * MINUTE},
        {"inserted": 1, "late": 0, "max_lateness": None},
    ]


@pytest.mark.parametrize(("late", "warned"), [(95, False), (97, True), (110, True)])
def test_the_status_warns_when_lateness_comes_near_the_lookback(stage: Stage, tmp_path: Path, late: int, warned: bool) -> None:
    """Above four fifths of it (96 of the 120 minutes) the setting to raise is named."""
    late_by(stage, "krosai", late)

    (connection,) = status(stage, tmp_path, "--json").json["connections"]
    ended = status(stage, tmp_path)

    assert (connection["max_lateness"], connection["lookback"]) == (late * 60.0, 7200.0)
    assert connection["near_lookback"] is warned
    assert f"telephony: in the last 30 days a call appeared up to 1h {late - 60}m late." in ended.out.splitlines()
    warning = (
        "telephony: that is close to the lookback of 2h; what comes later still is missed until an audit finds it. "
        "Raise connections.telephony.lookback."
    )
    assert ended.lines == ([warning] if warned else [])
    assert ended.code == 0


def test_the_lookback_that_is_configured_counts(stage: Stage, tmp_path: Path) -> None:
    """A longer one ends the warning."""
    late_by(stage, "krosai", 110)

    (connection,) = status(stage, tmp_path, "--json", settings={"krosai": {"lookback": "4h"}}).json["connections"]

    assert (connection["lookback"], connection["near_lookback"]) == (14_400.0, False)


def test_lateness_of_more_than_thirty_days_ago_is_forgotten(stage: Stage, tmp_path: Path) -> None:
    """What counts is how the provider behaves now."""
    late_by(stage, "krosai", 110)
    with stage.database.begin() as session:
        session.exec_driver_sql("UPDATE sync.runs SET started_at = started_at - interval '31 days'")

    (connection,) = status(stage, tmp_path, "--json").json["connections"]

    assert (connection["max_lateness"], connection["near_lookback"]) == (None, False)


def test_a_connection_that_is_no_longer_configured_has_no_lookback(stage: Stage, tmp_path: Path) -> None:
    """It is shown all the same."""
    late_by(stage, "krosai", 110)
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path, providers=("tuple",))

    (connection,) = program.run("status", "--json").json["connections"]

    assert connection["connection"] == NAMES["krosai"]
    assert (connection["max_lateness"], connection["lookback"], connection["near_lookback"]) == (6600.0, None, False)
