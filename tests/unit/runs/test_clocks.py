"""The provider's clock is wrong, or ours, or it tells no time: what is claimed, what settles, and who is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from etl.coverage import Span, Spans
from etl.model import JSON
from etl.provider import Provider
from etl.runs.terms import RunStatus
from tests.memory.acme import ACME, LOOKBACK, WINDOWED, WITHOUT_DETAIL, at, call
from tests.unit.runs.scene import DAY, HOUR, Scene, codes

ALL = pytest.mark.parametrize("provider", [ACME, WITHOUT_DETAIL, WINDOWED], ids=lambda provider: provider.name)
TEN_YEARS = timedelta(days=3652)
LAST_DAY = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def scene_of(provider: Provider, *, number: int = 25) -> Scene:
    """Return a scene whose provider lists so many calls, each two hours older than the one before; the first of an hour ago."""
    scene = Scene(provider)
    scene.api.descending = provider is not WINDOWED
    scene.add(*(call(f"c{index:03}", -60 - 120 * index, transcript="words") for index in range(number)))
    return scene


def apart(scene: Scene) -> JSON:
    """Return the two clocks as they are kept with the connection."""
    return scene.shelf.about["capabilities"].get("clocks")


@ALL
@pytest.mark.parametrize("theirs", [at(0) + TEN_YEARS, LAST_DAY, at(61)], ids=["ten years", "the last day", "an hour"])
def test_a_providers_clock_that_is_ahead_moves_no_mark_past_ours(provider: Provider, theirs: datetime) -> None:
    """All calls are held, and are read up to now by our clock; both clocks are told and kept."""
    scene = scene_of(provider)
    scene.api.date = lambda _: theirs

    outcome = scene.sync()

    assert (outcome.status, len(scene.ids), codes(outcome)) == (RunStatus.SUCCEEDED, 25, ["clocks_apart"])
    assert scene.covered().last.end == at(0)
    assert scene.state().settled.last.end == at(0) - LOOKBACK
    assert f"dated {theirs:%Y-%m-%d %H:%M:%S} UTC where our clock says 2026-03-01 12:00:00 UTC" in outcome.findings[0].text
    assert apart(scene) == {"theirs": theirs.isoformat(), "ours": at(0).isoformat()}


@ALL
def test_clocks_that_agree_again_are_a_finding_no_more(provider: Provider) -> None:
    """What was kept of them is gone with the next page that was dated right."""
    scene = scene_of(provider)
    scene.api.skew = TEN_YEARS
    scene.sync()
    scene.api.skew = timedelta()
    scene.later(HOUR)

    outcome = scene.sync()

    assert (outcome.status, codes(outcome), apart(scene)) == (RunStatus.SUCCEEDED, [], None)
    assert scene.covered().last.end == at(60)


@ALL
def test_a_providers_clock_that_is_behind_its_calls_is_not_believed(provider: Provider) -> None:
    """Of 1970: the newest call shows that it is later than that, so that all is claimed and settled up to it."""
    scene = scene_of(provider)
    scene.api.date = lambda _: datetime(1970, 1, 1, tzinfo=UTC)

    outcome = scene.sync()

    assert (outcome.status, len(scene.ids), codes(outcome)) == (RunStatus.SUCCEEDED, 25, ["clocks_apart"])
    assert scene.covered().last.end == at(-60)
    assert scene.state().settled.last.end == at(-60) - LOOKBACK


@ALL
@pytest.mark.parametrize("skew", [timedelta(minutes=59), -timedelta(minutes=59)], ids=["ahead", "behind"])
def test_clocks_less_than_an_hour_apart_are_no_finding(provider: Provider, skew: timedelta) -> None:
    """What is claimed ends with the provider's clock, and what is settled with the earlier one."""
    scene = scene_of(provider)
    scene.api.skew = skew

    outcome = scene.sync()

    assert (codes(outcome), apart(scene)) == ([], None)
    assert scene.covered().last.end == (at(0) + skew if provider is not WINDOWED else at(min(0, skew / timedelta(minutes=1))))
    assert scene.state().settled.last.end == min(at(0), at(0) + skew) - LOOKBACK


@ALL
def test_a_clock_that_is_behind_ours_and_not_behind_its_calls_is_believed(provider: Provider) -> None:
    """Either may be wrong; by the earlier one too little is claimed at worst."""
    scene = scene_of(provider)
    scene.api.remove("c000")  # an hour old
    scene.api.skew = -HOUR - timedelta(seconds=1)

    outcome = scene.sync()

    assert codes(outcome) == ["clocks_apart"]
    assert scene.covered().last.end == at(-60) - timedelta(seconds=1)


def test_our_clock_ten_years_behind_claims_nothing_and_loses_nothing() -> None:
    """The calls are loaded all the same, and once it is set right all is claimed as ever."""
    scene = scene_of(ACME)
    scene.clock.instant, scene.api.skew = at(0) - TEN_YEARS, TEN_YEARS

    outcome = scene.sync()
    wrong = (outcome.status, len(scene.ids), codes(outcome), scene.covered())
    scene.clock.instant, scene.api.skew = at(0), timedelta()
    outcome = scene.sync()

    assert wrong == (RunStatus.SUCCEEDED, 25, ["clocks_apart"], Spans())
    assert (outcome.status, len(scene.ids), codes(outcome)) == (RunStatus.SUCCEEDED, 25, [])
    assert scene.covered() == Spans([Span(at(-60 - 120 * 24), at(0))])


def test_without_a_date_calls_of_the_future_show_that_our_clock_is_behind() -> None:
    """No call can be from the future: two of them are a finding, and one is a mistake of its own."""
    scene = scene_of(ACME, number=3)
    scene.api.date = lambda _: None
    scene.clock.instant = at(-60) - DAY
    assert codes(scene.sync()) == ["clocks_apart"]

    scene.clock.instant = at(-120)
    assert codes(scene.sync()) == []


def test_the_details_of_calls_do_not_wait_for_a_clock_that_runs_ahead() -> None:
    """A clock ten years ahead, for one run, lets an open call wait for the lookback and an hour, not for ten years."""
    scene = Scene(ACME)
    scene.add(call("open", -10, status="talking"))
    scene.api.skew = TEN_YEARS
    scene.sync()
    scene.api.skew = timedelta()
    scene.later(LOOKBACK + HOUR + timedelta(seconds=2))

    scene.sync()

    assert scene.api.asked() == ["open"]


def test_how_long_a_call_is_open_is_told_by_the_providers_clock() -> None:
    """Ours may be months ahead of it, from the first request of a run on."""
    scene = Scene(ACME)
    scene.add(call("open", -10, status="talking"), call("ended", -30, transcript="words"))
    scene.api.skew = -100 * DAY
    scene.clock.instant = at(0) + 100 * DAY

    first, again = scene.sync(), scene.sync()

    assert [finding.text for one in (first, again) for finding in one.findings if "open for more than" in finding.text] == []


@ALL
def test_without_a_date_a_run_with_nothing_new_asks_as_often_as_with_one(provider: Provider) -> None:
    """The first run reads all pages; the newest call seen on any of them settles what is older than the lookback."""
    asked = {}
    for dated in (True, False):
        scene = scene_of(provider)
        scene.api.date = None if dated else lambda _: None
        scene.sync()
        first = len(scene.api.pages())
        scene.later(HOUR)
        outcome = scene.sync()
        asked[dated] = (first, len(scene.api.pages()), codes(outcome), scene.state().settled.first.start)

    assert asked[False] == asked[True]
    assert asked[True][1] == 1


@ALL
def test_without_a_date_a_call_that_is_gone_is_buried(provider: Provider) -> None:
    """What is held shows how late it is: a call below the newest one held is missing from what was read, and gone."""
    scene = scene_of(provider)
    scene.api.date = lambda _: None
    scene.sync()
    scene.api.remove("c003")

    scene.sync(since=at(-60 - 120 * 4), until=at(-60 - 120 * 2))

    assert scene.deleted == {"c003"}
