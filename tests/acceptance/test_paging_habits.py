"""
Lists that say of themselves what is not so, over HTTP: every call is held as it is, in a bounded number of requests.

What stays contradictory is told, and is neither a horizon nor complete.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from etl.coverage import Spans
from etl.model import Verdict
from etl.runs.terms import Outcome, RunStatus
from tests.acceptance.conftest import Stand
from tests.acceptance.expected import differences, expected_calls, held_calls
from tests.acceptance.relay import Alter, Told
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


def altered(provider: str, change: Callable[[dict[str, Any], int], object]) -> Alter:
    """Return what changes the body of each page of the list; it is given the page's number too."""

    def alter(told: Told) -> None:
        if told.path.endswith(("/calls", "/list")) and "page" in told.query and "action" not in told.query:
            body = json.loads(told.body)
            change(body, int(told.query["page"]))
            told.body = json.dumps(body).encode()

    return alter


def total_of(provider: str, total: Callable[[int, int], int]) -> Alter:
    """Return what makes the total of each page out of the true one and the page's number."""

    def change(body: dict[str, Any], number: int) -> None:
        place, key = (body["meta"], "total_count") if provider == "bimpe" else (body, "total")
        place[key] = total(place[key], number)

    return altered(provider, change)


@pytest.mark.parametrize("provider", COUNTED)
@pytest.mark.parametrize(
    "total",
    [lambda true, number: true - 10 * (number - 1), lambda true, number: true - 10 * (number % 2)],
    ids=["counts what is left", "alternates"],
)
def test_a_total_that_falls_from_page_to_page_holds_no_run_up(
    stage: Stage, between: Stand, provider: str, total: Callable[[int, int], int]
) -> None:
    """All sixty are held after fewer than thirty requests; what it says is told, and is no proof of an end."""
    sixty(stage, provider)
    relay = between(provider, total_of(provider, total))
    stage.settings[provider]["details"] = False

    outcome = stage.sync(provider)

    assert (outcome.status, len(stage.ids(provider)), codes(outcome)) == (RunStatus.SUCCEEDED, 60, ["total_disagrees"])
    assert len(relay.asked) < 30
    assert ([row["horizon"] for row in stage.state(provider)], stage.freshness(provider)["complete_until"]) == ([None], None)


@pytest.mark.parametrize("provider", PLAIN)
@pytest.mark.parametrize("counted", [True, False], ids=["with a total", "without one"])
def test_a_page_in_the_midst_that_shows_only_some_of_its_calls_leaves_a_gap(
    stage: Stage, between: Stand, provider: str, *, counted: bool
) -> None:
    """Six calls of the third page are not shown: it is told, none of them is claimed, and once they are shown they are held."""
    sixty(stage, provider)
    short = True

    def change(body: dict[str, Any], number: int) -> None:
        if not counted:
            for key in ("meta", "total", "total_pages"):
                body.pop(key, None)
        (records,) = (value for value in body.values() if isinstance(value, list))
        if short and number == 3:
            del records[4:]

    between(provider, altered(provider, change))

    outcome = stage.sync(provider)

    assert (outcome.status, len(stage.ids(provider))) == (RunStatus.SUCCEEDED, 54)
    assert "page_short" in codes(outcome)
    claimed = Spans(stage.ranges(provider))
    missing = [call for call in stage.history.living(provider) if call.id not in stage.ids(provider)]
    assert [call.id for call in missing if EPOCH + timedelta(microseconds=call.cursor) in claimed] == []
    assert stage.freshness(provider)["gaps"] == 1

    short = False
    again = stage.sync(provider)

    assert (again.status, codes(again), held(stage, provider)) == (RunStatus.SUCCEEDED, [], {})
    assert stage.freshness(provider)["gaps"] == 0


@pytest.mark.parametrize("provider", COUNTED)
def test_short_pages_whose_calls_the_total_counts_leave_no_gap(stage: Stage, between: Stand, provider: str) -> None:
    """The provider leaves six calls out and does not count them either: what it lists is whole."""
    sixty(stage, provider)

    def change(body: dict[str, Any], number: int) -> None:
        place, key = (body["meta"], "total_count") if provider == "bimpe" else (body, "total")
        place[key] = 54
        if number == 3:
            del body["data"][4:]

    between(provider, altered(provider, change))

    outcome = stage.sync(provider)

    assert (outcome.status, len(stage.ids(provider)), stage.freshness(provider)["gaps"]) == (RunStatus.SUCCEEDED, 54, 0)


@pytest.mark.parametrize("provider", COUNTED)
def test_an_empty_page_in_the_midst_is_no_proof_that_all_is_held(stage: Stage, between: Stand, provider: str) -> None:
    """The sync stops there, and tells it; the audit cannot say `complete` of the twenty that are held of sixty."""
    sixty(stage, provider)
    between(provider, altered(provider, lambda body, number: body["data"].clear() if number == 3 else None))

    outcome = stage.sync(provider)

    assert (outcome.status, len(stage.ids(provider)), codes(outcome)) == (RunStatus.SUCCEEDED, 20, ["total_disagrees"])
    (one,) = audited(stage, provider).verdicts
    assert one.verdict is Verdict.UNVERIFIABLE


@pytest.mark.parametrize("size", [1, 3, 0, None])
def test_a_page_size_that_cannot_be_is_not_believed(stage: Stage, between: Stand, size: int | None) -> None:
    """A list whose pages hold ten says that they hold fewer: nothing is missing, nothing is told, and the audit is complete."""
    sixty(stage, "krosai")
    relay = between("krosai", altered("krosai", lambda body, number: body.update(limit=size)))
    stage.settings["krosai"]["details"] = False

    outcome = stage.sync("krosai")

    assert (outcome.status, codes(outcome), held(stage, "krosai")) == (RunStatus.SUCCEEDED, [], {})
    assert len(relay.asked) <= 10
    (one,) = audited(stage, "krosai").verdicts
    assert one.verdict is Verdict.COMPLETE


@pytest.mark.parametrize("provider", COUNTED)
def test_a_list_that_is_empty_while_its_calls_still_exist_is_told(stage: Stage, between: Stand, provider: str) -> None:
    """It counts no call, but knows those held by name: nothing is claimed or deleted, and the run says so."""
    sixty(stage, provider)
    stage.sync(provider)
    claimed = stage.ranges(provider)
    empty = {"data": [], "total": 0, "meta": {"total_count": 0, "has_next_page": False}}
    between(provider, altered(provider, lambda body, number: body.update(empty)))
    stage.history.advance(HOUR)

    outcome = stage.sync(provider)

    assert (outcome.status, codes(outcome), held(stage, provider)) == (RunStatus.SUCCEEDED, ["list_empty"], {})
    assert stage.ranges(provider) == claimed
