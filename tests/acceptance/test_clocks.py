"""A clock that is wrong, the provider's or ours, or that is not told at all, loses no call and moves no mark into the future."""

from __future__ import annotations

import json
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from etl import providers
from etl.model import Verdict
from etl.runs.terms import Outcome, RunStatus
from tests.acceptance.cast import COUNTED, NAMES, PROVIDERS
from tests.acceptance.conftest import Stand
from tests.acceptance.expected import differences, expected_calls, held_calls
from tests.acceptance.process import Program
from tests.acceptance.relay import Alter, Told
from tests.acceptance.stage import START, Row, Stage
from tests.acceptance.test_audit import audited

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TEN_YEARS = timedelta(days=3652)
AHEAD = {
    "ten years ahead": format_datetime(START + TEN_YEARS, usegmt=True),
    "in the last second there is": "Fri, 31 Dec 9999 23:59:59 GMT",
}
USELESS = {"of 1970": "Thu, 01 Jan 1970 00:00:00 GMT", "no date at all": "soon", "missing": None}


def dated(date: str | None) -> Alter:
    """Return what dates every answer so."""

    def alter(told: Told) -> None:
        told.headers = {name: value for name, value in told.headers.items() if name.lower() != "date"}
        if date is not None:
            told.headers["Date"] = date

    return alter


def calls(stage: Stage, provider: str, count: int = 50) -> None:
    """Let calls happen, an hour apart, the last an hour ago; they are over."""
    if provider == "twilio":  # whose three days would reach below them all
        stage.settings[provider] = {"lookback": "24h"}
    for hour in range(count):
        stage.history.add(provider, at=START - timedelta(hours=hour + 1))


def held(stage: Stage, provider: str) -> bool:
    """Say whether every call is held as it stands at the provider."""
    return not differences(expected_calls(stage, provider), held_calls(stage, provider))


def codes(outcome: Outcome) -> list[str]:
    return [finding.code for finding in outcome.findings]


def state(stage: Stage, provider: str) -> Row:
    (row,) = stage.state(provider)
    return row


def clocks(stage: Stage, provider: str) -> object:
    """Return the two clocks that are kept with the connection."""
    (row,) = stage.rows(
        "SELECT capabilities -> 'clocks' AS clocks FROM sync.connections WHERE connection = %(name)s", {"name": NAMES[provider]}
    )
    return row["clocks"]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("date", AHEAD.values(), ids=AHEAD)
def test_a_date_years_ahead_moves_no_mark_past_our_clock(stage: Stage, between: Stand, provider: str, date: str) -> None:
    """Every call is held and claimed up to now, by our clock, which is told; when the date is right again, all is as ever."""
    calls(stage, provider)
    between(provider, dated(date))

    wrong = stage.sync(provider)

    assert (wrong.status, codes(wrong), held(stage, provider)) == (RunStatus.SUCCEEDED, ["clocks_apart"], True)
    mark = state(stage, provider)["high_water_mark"]
    assert START <= mark < START + timedelta(seconds=2)
    assert [one.upper for one in state(stage, provider)["settled"]] == pytest.approx(
        [mark - min(providers.get(provider).lookback, DAY)], abs=timedelta(seconds=1)
    )
    assert "where our clock says 2026-03-01 12:00:01 UTC" in wrong.findings[0].text
    assert clocks(stage, provider) is not None

    stage.settings[provider].pop("base_url")
    stage.history.advance(HOUR)
    stage.history.add(provider)
    right = stage.sync(provider)

    assert (right.status, codes(right), held(stage, provider), clocks(stage, provider)) == (RunStatus.SUCCEEDED, [], True, None)
    assert state(stage, provider)["high_water_mark"] == START + HOUR


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("date", USELESS.values(), ids=USELESS)
def test_a_date_that_tells_nothing_costs_no_request_more(stage: Stage, between: Stand, provider: str, date: str | None) -> None:
    """
    Of 1970, in no form known, or missing: what is claimed ends with the newest call. The first run reads 50 calls in pages of
    ten, the next one a single page, as with a right date; only that of 1970 is a finding.
    """
    calls(stage, provider)
    stage.settings = {provider: {"per_page": 10, "lookback": "5h"}}
    between(provider, dated(date))

    first = stage.sync(provider)

    found = ["clocks_apart"] if date and "1970" in date else []
    assert (first.status, codes(first), held(stage, provider)) == (RunStatus.SUCCEEDED, found, True)
    assert state(stage, provider)["high_water_mark"] == START - HOUR
    assert [one.upper for one in state(stage, provider)["settled"]] == pytest.approx([START - 6 * HOUR], abs=timedelta(seconds=1))
    stage.sandbox.clear_requests()

    second = stage.sync(provider)

    assert (second.status, len(stage.pages(provider)), held(stage, provider)) == (RunStatus.SUCCEEDED, 1, True)
    assert (second.counters.inserted, second.counters.updated) == (0, 0)


def test_without_a_date_tuple_settles_what_it_has_read(stage: Stage, between: Stand) -> None:
    """Of 50 pages of the first run (and two totals that prove its end) the next one reads three, as many as with a date."""
    asked = {}
    for step in range(450):
        stage.history.add("tuple", at=START - timedelta(hours=1, minutes=60 * step))
    stage.settings = {"tuple": {"per_page": 10}}
    between("tuple", dated(None))
    for run in ("first", "second"):
        stage.sandbox.clear_requests()
        assert stage.sync("tuple").status is RunStatus.SUCCEEDED
        asked[run] = len(stage.pages("tuple"))
    stage.settings["tuple"].pop("base_url")
    stage.sandbox.clear_requests()
    assert stage.sync("tuple").status is RunStatus.SUCCEEDED

    assert (asked, len(stage.pages("tuple"))) == ({"first": 52, "second": 3}, 3)
    assert held(stage, "tuple")


def test_without_a_date_a_dense_second_is_claimed_with_what_follows_it(stage: Stage, between: Stand) -> None:
    """A second with more calls than a page: nothing is left out of the coverage, and the next run reads none of it again."""
    calls(stage, "tuple", 20)
    stage.history.add("tuple", number=25, at=START - 10 * HOUR)
    stage.settings = {"tuple": {"per_page": 10, "lookback": "5h"}}
    between("tuple", dated(None))

    assert stage.sync("tuple").status is RunStatus.SUCCEEDED

    assert (len(stage.ranges("tuple")), stage.freshness("tuple")["gaps"], held(stage, "tuple")) == (1, 0, True)
    stage.sandbox.clear_requests()
    stage.sync("tuple")
    assert len(stage.pages("tuple")) == 1


@pytest.mark.parametrize("provider", COUNTED)
@pytest.mark.parametrize("date", [*AHEAD.values(), *USELESS.values()], ids=[*AHEAD, *USELESS])
def test_an_audit_counts_what_is_older_than_the_lookback_whatever_the_date(
    stage: Stage, between: Stand, provider: str, date: str | None
) -> None:
    """Of 40 calls, an hour apart, all but those of the lookback are counted: none is left out, and nothing is complete at 0."""
    calls(stage, provider, 40)
    stage.settings = {provider: {"lookback": "270m"}}
    between(provider, dated(date))
    stage.sync(provider)

    (one,) = audited(stage, provider).verdicts

    unsure = 1 if date is None or "soon" in date or "1970" in date else 0  # the newest call is an hour old
    assert (one.verdict, one.provider_count) == (Verdict.COMPLETE, one.warehouse_count)
    assert one.warehouse_count in range(36 - unsure, 37)


def test_without_a_date_a_repair_buries_what_is_gone(stage: Stage, between: Stand) -> None:
    """Tuple has no detail to ask for; what is held shows that the range is past, so that its reading is proof."""
    calls(stage, "tuple", 40)
    stage.settings = {"tuple": {"per_page": 10, "lookback": "5h"}}
    between("tuple", dated(None))
    stage.sync("tuple")
    gone = sorted(stage.calls("tuple").items(), key=lambda item: item[1]["cursor_at"])[20][0]
    stage.history.delete("tuple", gone)

    (one,) = audited(stage, "tuple", repair=True).verdicts

    assert (one.verdict, one.provider_count, one.warehouse_count) == (Verdict.REPAIRED, one.provider_count, one.provider_count)
    assert (gone in stage.ids("tuple"), held(stage, "tuple")) == (False, True)
    assert [row["call_id"] for row in stage.rows("SELECT call_id FROM deleted_calls")] == [gone]


def test_our_clock_ten_years_behind_claims_nothing_and_loses_nothing(stage: Stage) -> None:
    """What the list shows is loaded; once the clock is right, all of it is claimed."""
    calls(stage, "krosai")
    stage.clock.off = -TEN_YEARS

    wrong = stage.sync("krosai")

    assert (wrong.status, codes(wrong), held(stage, "krosai")) == (RunStatus.SUCCEEDED, ["clocks_apart"], True)
    assert state(stage, "krosai")["high_water_mark"] is None
    stage.clock.off = timedelta()
    right = stage.sync("krosai")
    assert (right.status, codes(right), held(stage, "krosai")) == (RunStatus.SUCCEEDED, [], True)
    assert state(stage, "krosai")["high_water_mark"] == START


def test_our_clock_ten_years_ahead_claims_by_the_providers(stage: Stage) -> None:
    """The earlier one is believed, so that the mark is where it should be."""
    calls(stage, "krosai")
    stage.clock.off = TEN_YEARS

    wrong = stage.sync("krosai")

    assert (wrong.status, codes(wrong), held(stage, "krosai")) == (RunStatus.SUCCEEDED, ["clocks_apart"], True)
    assert state(stage, "krosai")["high_water_mark"] == START


def test_two_clocks_that_differ_are_told_by_every_command_that_asks(stage: Stage, between: Stand, tmp_path: Path) -> None:
    """`sync`, `check`, `audit` and `status` name both instants, in words and as JSON, and the log has a warning with both."""
    calls(stage, "krosai")
    relay = between("krosai", dated(USELESS["of 1970"]))
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path)
    program.settings = {"krosai": {"base_url": relay.url}}
    told = "The provider's answers are dated 1970-01-01 00:00:00 UTC where our clock says "

    synced = program.run("sync", "telephony")
    status = program.run("status")
    document = json.loads(program.run("status", "--json").out)
    checked = program.run("check")
    audited = program.run("audit", "telephony")

    assert told in " ".join(synced.err.split())
    assert told in " ".join(status.err.split())
    assert told in " ".join(checked.err.split())
    assert told in " ".join(audited.err.split())
    (connection,) = document["connections"]
    assert connection["clocks"]["theirs"] == "1970-01-01T00:00:00+00:00"
    assert (synced.code, audited.code) == (0, 0)
