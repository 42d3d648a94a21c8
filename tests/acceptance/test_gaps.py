"""What could not be read is visible as a gap, and what vanished between two pages costs nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from etl.runs.terms import RunStatus, Want
from tests.acceptance.cast import CAST, COUNTED
from tests.acceptance.stage import START, Stage

MINUTE = timedelta(minutes=1)


def one_a_minute(stage: Stage, provider: str, count: int, *, until: datetime) -> list[str]:
    """Add so many calls, one a minute, the last one minute before `until`; return their ids, oldest first."""
    return [stage.history.add(provider, at=until - (count - index) * MINUTE)[0] for index in range(count)]


@pytest.mark.parametrize("provider", COUNTED)
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_call_deleted_between_two_pages_costs_no_other_call(stage: Stage, provider: str, after: int) -> None:
    """The calls behind it move up by one, over the edge of a page; they are read all the same."""
    ids = one_a_minute(stage, provider, 50, until=START - timedelta(days=2))
    stage.settings = {provider: {"per_page": 10}}
    gone = ids[3] if CAST[provider].ascending else ids[-3]
    stage.sandbox.after(after, lambda: stage.history.delete(provider, gone), provider=provider, path=CAST[provider].page)

    assert stage.sync(provider).status is RunStatus.SUCCEEDED
    assert stage.ids(provider) - {gone} == set(ids) - {gone}


def test_a_list_of_recent_calls_that_no_longer_reaches_what_is_held_leaves_a_gap(stage: Stage) -> None:
    """The gap stands in the coverage and in `data_freshness` and is told; it cannot be closed, and the mark stays below it."""
    stage.sandbox.switches.salpre.recent_calls = 40
    held = one_a_minute(stage, "salpre", 40, until=START)
    stage.sync("salpre")
    mark = stage.state("salpre")[0]["high_water_mark"]
    stage.history.advance(timedelta(hours=10))
    missed = one_a_minute(stage, "salpre", 30, until=START + timedelta(hours=5))
    recent = one_a_minute(stage, "salpre", 40, until=START + timedelta(hours=10))

    outcome = stage.sync("salpre")

    assert outcome.status is RunStatus.SUCCEEDED
    assert stage.ids("salpre") == {*held, *recent}
    (state,) = stage.state("salpre")
    horizon = START + timedelta(hours=10) - 40 * MINUTE
    assert (state["horizon"], state["high_water_mark"]) == (horizon, START + timedelta(hours=10))
    assert stage.ranges("salpre") == [(START - 40 * MINUTE, mark), (horizon, START + timedelta(hours=10))]
    freshness = stage.freshness("salpre")
    assert (freshness["gaps"], freshness["unclosable_gaps"]) == (1, 1)
    assert [(finding.stream, finding.code) for finding in outcome.findings] == [("calls", "gap")]
    assert not set(missed) & stage.ids("salpre")


def test_a_gap_that_the_list_reaches_again_is_closed(stage: Stage) -> None:
    """When the provider's list reaches down again, the calls of the gap arrive, and the gap is gone."""
    stage.sandbox.switches.salpre.recent_calls = 40
    ids = one_a_minute(stage, "salpre", 40, until=START)
    stage.sync("salpre")
    stage.history.advance(timedelta(hours=10))
    ids += one_a_minute(stage, "salpre", 30, until=START + timedelta(hours=5))
    ids += one_a_minute(stage, "salpre", 40, until=START + timedelta(hours=10))
    stage.sync("salpre")
    stage.sandbox.switches.salpre.recent_calls = None
    stage.history.advance(timedelta(hours=1))

    stage.sync("salpre", want=Want(full=True))

    assert stage.ids("salpre") == set(ids)
    assert stage.freshness("salpre")["gaps"] == 0
