"""What the contract pages leave open is found out at run time, costs no call, and is remembered."""

from __future__ import annotations

from datetime import timedelta

import pytest

from etl.errors import PagingBroken
from etl.runs.terms import Outcome, RunStatus
from tests.acceptance.cast import NAMES, PROVIDERS
from tests.acceptance.expected import differences, expected_calls, held_calls
from tests.acceptance.stage import START, Stage

HOUR = timedelta(hours=1)
WAYS = ["newest_first", "oldest_first"]


def calls_of_ten_days(stage: Stage, provider: str, number: int = 120) -> None:
    """Add so many calls, evenly over ten days, all of them over."""
    for index in range(number):
        stage.history.add(provider, at=START - timedelta(hours=3) - index * timedelta(days=10) / number)


def later(stage: Stage, provider: str) -> Outcome:
    """Let three hours pass, in which five calls come, and sync."""
    for _ in range(5):
        stage.history.advance(timedelta(minutes=36))
        stage.history.add(provider)
    return stage.sync(provider)


def whole(stage: Stage, provider: str) -> None:
    """Hold every call that lives, up to the last instant, without a gap."""
    assert differences(expected_calls(stage, provider), held_calls(stage, provider)) == {}
    assert {row["high_water_mark"] for row in stage.state(provider)} == {stage.history.now}
    assert stage.freshness(provider)["gaps"] == 0


def capabilities(stage: Stage, provider: str) -> dict[str, object]:
    """Return what is remembered of a connection, but for when it was found out."""
    (row,) = stage.rows("SELECT capabilities FROM sync.connections WHERE connection = %(name)s", {"name": NAMES[provider]})
    return {key: value for key, value in row["capabilities"].items() if key != "checked_at"}


@pytest.mark.parametrize("order", WAYS)
@pytest.mark.parametrize("sort", ["honoured", "ignored", "refused"])
def test_bimpe_in_whichever_order_it_comes(stage: Stage, order: str, sort: str) -> None:
    """`sort` honoured, ignored or refused with 400, over a list that is newest first or oldest first by itself."""
    refused = "refused" if sort == "refused" else "ignored"
    sortable = "created_on" if sort == "honoured" else "nothing"
    stage.sandbox.switches.set("bimpe", {"order": order, "unknown_sort": refused, "sortable": sortable})
    stage.settings = {"bimpe": {"per_page": 20}}
    calls_of_ten_days(stage, "bimpe")

    first = stage.sync("bimpe")

    assert (first.status, first.error) == (RunStatus.SUCCEEDED, None)
    whole(stage, "bimpe")
    assert later(stage, "bimpe").status is RunStatus.SUCCEEDED
    whole(stage, "bimpe")
    scanned = sort != "honoured" and order == "oldest_first"
    assert capabilities(stage, "bimpe")["unsorted"] is scanned
    assert [finding.code for finding in first.findings] == (["order_violated"] if scanned else [])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_list_in_no_order_is_read_whole_and_claimed_at_its_end(stage: Stage, provider: str) -> None:
    """Every page of it is loaded; coverage and mark appear with the last one, and that it is so is told and remembered."""
    stage.settings = {provider: {"per_page": 20}}
    stage.sandbox.faults.add("unsorted", provider=provider)
    calls_of_ten_days(stage, provider)
    seen: list[tuple[bool, bool]] = []

    def look(entry: object) -> None:
        held = stage.ids(provider) == stage.truth_ids(provider)
        seen.extend((held, bool(row["coverage"])) for row in stage.state(provider))

    stage.sandbox.on_request = look
    outcome = stage.sync(provider)
    stage.sandbox.on_request = None

    assert (outcome.status, outcome.error) == (RunStatus.SUCCEEDED, None)
    assert [finding.code for finding in outcome.findings] == ["order_violated"]
    assert [covered for held, covered in seen if not held and covered] == []
    whole(stage, provider)
    assert capabilities(stage, provider)["unsorted"] is True
    assert later(stage, provider).status is RunStatus.SUCCEEDED
    whole(stage, provider)


def test_salpre_ignores_page(stage: Stage) -> None:
    """Only the first page can be had, as large as it may be; the rest stands as a gap, and it is told."""
    stage.sandbox.switches.salpre.page = "ignored"
    calls_of_ten_days(stage, "salpre")

    outcome = stage.sync("salpre")

    assert (outcome.status, [one.code for one in outcome.findings]) == (RunStatus.SUCCEEDED, ["page_ignored"])
    newest = sorted(stage.history.living("salpre"), key=lambda call: call.cursor)[-100:]
    assert stage.ids("salpre") == {call.id for call in newest}
    assert stage.state("salpre")[0]["high_water_mark"] is None
    later(stage, "salpre")
    assert len(stage.ids("salpre")) == 105
    ((_, end),) = stage.ranges("salpre")
    assert end == stage.history.now


def test_salpre_refuses_a_second_page(stage: Stage) -> None:
    """An error for `page=2` ends the reading there, keeps what was read, and is told like a page that is ignored."""
    calls_of_ten_days(stage, "salpre")
    stage.settings = {"salpre": {"per_page": 100}}
    stage.sandbox.switches.salpre.page = "refused"

    outcome = stage.sync("salpre")

    assert (outcome.status, [one.code for one in outcome.findings]) == (RunStatus.SUCCEEDED, ["page_ignored"])
    assert len(stage.ids("salpre")) == 100
    assert stage.state("salpre")[0]["high_water_mark"] is None


def test_salpre_takes_the_largest_page_that_is_not_refused(stage: Stage) -> None:
    """1,000 and 500 are refused, 100 works; that is remembered, so the next sync asks once."""
    stage.settings = {"salpre": {"details": False}}
    calls_of_ten_days(stage, "salpre", 80)
    stage.sync("salpre")
    assert [entry.query["per_page"] for entry in stage.pages("salpre")] == ["1000", "500", "100"]
    assert capabilities(stage, "salpre") == {"style": "page", "size": 100, "unsorted": False}
    stage.sandbox.clear_requests()

    stage.sync("salpre")

    assert [entry.query["per_page"] for entry in stage.pages("salpre")] == ["100"]


def test_tuple_refuses_pages_over_its_maximum(stage: Stage) -> None:
    """Where 1,000 is refused with 422, 100 is asked for."""
    stage.sandbox.switches.set("tuple", {"maximum": 100, "over_maximum": "refused"})
    calls_of_ten_days(stage, "tuple", 150)

    assert stage.sync("tuple").status is RunStatus.SUCCEEDED
    whole(stage, "tuple")
    assert capabilities(stage, "tuple")["size"] == 100


@pytest.mark.parametrize("provider", PROVIDERS)
def test_pages_that_are_silently_smaller(stage: Stage, provider: str) -> None:
    """A page of seven though a hundred were asked for: no call is jumped over."""
    stage.sandbox.faults.add("clamp", provider=provider, size=7)
    calls_of_ten_days(stage, provider)

    assert stage.sync(provider).status is RunStatus.SUCCEEDED
    whole(stage, provider)
    assert later(stage, provider).status is RunStatus.SUCCEEDED
    whole(stage, provider)


@pytest.mark.parametrize("provider", ["bimpe", "krosai"])
def test_a_page_number_that_is_ignored_reads_what_can_be_had(stage: Stage, provider: str) -> None:
    """Every page is the first one: that one is held, nothing below it is claimed, and it is told."""
    stage.settings = {provider: {"per_page": 20}}
    stage.sandbox.faults.add("page_ignored", provider=provider)
    calls_of_ten_days(stage, provider)

    outcome = stage.sync(provider)

    assert outcome.status is RunStatus.SUCCEEDED
    assert [one.code for one in outcome.findings] == ["page_ignored"]
    assert len(stage.ids(provider)) == 20
    assert {row["high_water_mark"] for row in stage.state(provider)} == {None}


def test_tuple_does_not_need_page_numbers(stage: Stage) -> None:
    """Its pages follow the cursor, so an ignored page number costs nothing."""
    stage.settings = {"tuple": {"per_page": 20}}
    stage.sandbox.faults.add("page_ignored", provider="tuple")
    calls_of_ten_days(stage, "tuple")

    assert stage.sync("tuple").findings == []
    whole(stage, "tuple")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_list_that_promises_more_for_ever_ends(stage: Stage, provider: str) -> None:
    """Every page says that another follows: all calls are held, and the run ends, as done or with a clear error."""
    stage.settings = {provider: {"per_page": 20}}
    stage.sandbox.faults.add("endless_next", provider=provider)
    calls_of_ten_days(stage, provider)

    outcome = stage.sync(provider)

    assert stage.ids(provider) == stage.truth_ids(provider)
    assert outcome.error is None or isinstance(outcome.error, PagingBroken)
    assert len(stage.pages(provider)) < 20
