"""
Lists that say of themselves what is not so, over HTTP: every call is held as it is, in a bounded number of requests.

What stays contradictory is told, and is neither a horizon nor complete.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from etl.coverage import Spans
from etl.model import Verdict
from etl.runs.terms import Outcome, RunStatus
from tests.acceptance.expected import differences, expected_calls, held_calls
from tests.acceptance.stage import START, Stage
from tests.acceptance.test_audit import audited

PLAIN = ("bimpe", "salpre", "krosai")
COUNTED = ("bimpe", "krosai")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def sixty(stage: Stage, provider: str) -> None:
    """Let sixty calls happen, an hour apart, read ten a page; they are over, and older than the lookback."""
    for hour in range(60):
        stage.history.add(provider, at=START - (4 + hour) * HOUR)
    stage.settings = {provider: {"per_page": 10}}


def habit(stage: Stage, kind: str, provider: str, **options: Any) -> None:
    """Let the provider's lists have a habit; an agents' list has none."""
    stage.sandbox.faults.add(kind, provider=provider, path="/call", **options)


def held(stage: Stage, provider: str) -> dict[str, object]:
    """Return what of the calls at the provider is not held as it is there."""
    return differences(expected_calls(stage, provider), held_calls(stage, provider))


def codes(outcome: Outcome) -> list[str]:
    return [finding.code for finding in outcome.findings]


WRONG_TOTALS: dict[str, tuple[str, dict[str, int]]] = {
    "stops at 40": ("total_capped", {"at": 40}),
    "stops at a page": ("total_capped", {"at": 10}),
    "counts the page": ("total_of_page", {}),
    "is 55 of 60": ("total_off", {"by": -5}),
    "is one too low": ("total_off", {"by": -1}),
    "is one too high": ("total_off", {"by": 1}),
}


@pytest.mark.parametrize("provider", COUNTED)
@pytest.mark.parametrize(("kind", "options"), WRONG_TOTALS.values(), ids=WRONG_TOTALS)
def test_a_total_that_is_wrong_loses_no_call_and_is_told(stage: Stage, provider: str, kind: str, options: dict[str, int]) -> None:
    """All sixty are read, the oldest too, in nine pages at most; no end of the list is believed, and no audit is complete."""
    sixty(stage, provider)
    habit(stage, kind, provider, **options)

    outcome = stage.sync(provider)

    assert (outcome.status, outcome.error, held(stage, provider)) == (RunStatus.SUCCEEDED, None, {})
    assert codes(outcome) == ["total_disagrees"]
    assert len(stage.pages(provider)) <= 9
    assert [row["horizon"] for row in stage.state(provider)] == [None]
    assert stage.freshness(provider)["complete_until"] is None
    (one,) = audited(stage, provider).verdicts
    assert one.verdict in (Verdict.MISMATCH, Verdict.UNVERIFIABLE)


@pytest.mark.parametrize("total", [True, False], ids=["with a total", "without one"])
def test_a_server_that_pages_by_offset_and_echoes_the_page_is_asked_by_offset(stage: Stage, *, total: bool) -> None:
    """The second page brings no new call: the other way of asking is tried, and kept. Nothing is missing, nothing is told."""
    sixty(stage, "krosai")
    habit(stage, "offset_only", "krosai")
    if not total:
        habit(stage, "total_missing", "krosai")

    outcome = stage.sync("krosai")

    assert (outcome.status, outcome.error, held(stage, "krosai")) == (RunStatus.SUCCEEDED, None, {})
    assert codes(outcome) == []
    assert len(stage.pages("krosai")) <= 10
    assert stage.freshness("krosai")["gaps"] == 0
    stage.sandbox.clear_requests()
    stage.sync("krosai")
    assert [entry.query.get("offset") for entry in stage.pages("krosai")] == ["0"]


@pytest.mark.parametrize("provider", ["bimpe", "salpre"])
@pytest.mark.parametrize("total", [True, False], ids=["with a total", "without one"])
def test_a_server_that_echoes_the_page_and_has_no_other_way_comes_to_an_end(stage: Stage, provider: str, *, total: bool) -> None:
    """What can be reached is held; the rest is a gap that is told, and the number of requests has a bound."""
    sixty(stage, provider)
    habit(stage, "offset_only", provider)
    if not total:
        habit(stage, "total_missing", provider)

    outcome = stage.sync(provider)

    assert (outcome.status, len(stage.ids(provider))) == (RunStatus.SUCCEEDED, 10)
    assert codes(outcome) == ["page_ignored"]
    assert len(stage.pages(provider)) <= 12
    assert (stage.freshness(provider)["complete_until"], [row["horizon"] for row in stage.state(provider)]) == (None, [None])
    (one,) = audited(stage, provider).verdicts
    assert one.verdict in (Verdict.MISMATCH, Verdict.UNVERIFIABLE)


@pytest.mark.parametrize("provider", PLAIN)
def test_a_page_served_in_the_place_of_another_leaves_its_place_as_a_gap(stage: Stage, provider: str) -> None:
    """Fifty of sixty calls are held, and it is told; once the page is served as it should be, the next run brings the rest."""
    sixty(stage, provider)
    habit(stage, "page_repeated", provider, page=3)

    outcome = stage.sync(provider)

    assert (outcome.status, len(stage.ids(provider)), codes(outcome)) == (RunStatus.SUCCEEDED, 50, ["page_repeated"])
    assert len(stage.pages(provider)) <= 12
    assert (len(held(stage, provider)), stage.freshness(provider)["gaps"]) == (10, 1)

    stage.sandbox.faults.clear()
    stage.sandbox.clear_requests()
    again = stage.sync(provider)

    assert (again.status, codes(again), held(stage, provider)) == (RunStatus.SUCCEEDED, [], {})
    assert (again.counters.inserted, stage.freshness(provider)["gaps"]) == (10, 0)
    assert len(stage.pages(provider)) <= 5


@pytest.mark.parametrize("page", [2, 6, 7])
@pytest.mark.parametrize("provider", PLAIN)
def test_wherever_a_page_is_served_twice_nothing_that_was_not_shown_is_claimed(stage: Stage, provider: str, page: int) -> None:
    """The second page, the last, and the one behind it: what is not held lies in no range that was read."""
    sixty(stage, provider)
    habit(stage, "page_repeated", provider, page=page)

    outcome = stage.sync(provider)

    assert outcome.status is RunStatus.SUCCEEDED
    assert len(stage.pages(provider)) <= 12
    missing = [call for call in stage.history.living(provider) if call.id not in stage.ids(provider)]
    claimed = Spans(stage.ranges(provider))
    assert [call.id for call in missing if EPOCH + timedelta(microseconds=call.cursor) in claimed] == []
    stage.sandbox.faults.clear()
    assert stage.sync(provider).status is RunStatus.SUCCEEDED
    assert held(stage, provider) == {}
