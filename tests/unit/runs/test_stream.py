"""One stream is brought up to date: proof before claims, what is absent, what is taken back, what is settled, ranges, stop."""

from __future__ import annotations

import pytest

from etl.coverage import Span, Spans
from etl.provider import Provider
from etl.runs.terms import RunStatus
from tests.memory.acme import ACME, LOOKBACK, WINDOWED, WITHOUT_DETAIL, as_text, at, call
from tests.unit.runs.scene import DAY, HOUR, Scene, codes

ALL = pytest.mark.parametrize("provider", [ACME, WITHOUT_DETAIL, WINDOWED], ids=lambda provider: provider.name)
NO_DETAIL = pytest.mark.parametrize("provider", [WITHOUT_DETAIL, WINDOWED], ids=lambda provider: provider.name)


def scene_of(provider: Provider, *, number: int = 0, **settings: object) -> Scene:
    """Return a scene whose provider lists so many calls, each two minutes older than the one before; the first a day old."""
    scene = Scene(provider, settings=dict(settings))
    scene.api.descending = provider is not WINDOWED
    scene.add(*(call(f"c{index:03}", -24 * 60 - 2 * index, transcript="words") for index in range(number)))
    return scene


def named(*numbers: int) -> set[str]:
    """Return the ids of calls by their places in the list."""
    return {f"c{number:03}" for number in numbers}


# Proof before claims


@ALL
def test_what_is_listed_is_loaded_and_covered(provider: Provider) -> None:
    """The first sync loads every page, and claims from the oldest call, or the beginning, to the present."""
    scene = scene_of(provider, number=25)

    outcome = scene.sync()

    assert (outcome.status, codes(outcome), scene.ids) == (RunStatus.SUCCEEDED, [], named(*range(25)))
    assert (outcome.counters.inserted, outcome.counters.deleted) == (25, 0)
    (span,) = scene.covered()
    assert (span.start <= at(-24 * 60 - 48), span.end) == (True, at(0))


@ALL
def test_another_accounts_calls_are_neither_stored_nor_claimed(provider: Provider) -> None:
    """Where none of the calls held is met, the first page is not loaded: the token may be another account's."""
    scene = scene_of(provider, number=5)
    scene.sync()
    before = (scene.calls, scene.shelf.states)
    scene.api.lists = {"calls": [call(f"foreign{index}", 30 + index) for index in range(5)]}
    scene.later(HOUR)

    outcome = scene.sync()

    assert (outcome.status, codes(outcome)) == (RunStatus.FAILED, ["anchor_not_met"])
    assert (scene.calls, scene.shelf.states) == before


@NO_DETAIL
def test_an_empty_answer_over_calls_held_settles_nothing(provider: Provider) -> None:
    """An outage that answers an empty list with 200 is no proof that all was deleted."""
    scene = scene_of(provider, number=5)
    scene.sync()
    before = (scene.calls, scene.shelf.states)
    scene.api.lists = {"calls": []}
    scene.later(HOUR)

    assert codes(scene.sync()) == ["anchor_not_met"]
    assert (scene.calls, scene.shelf.states, scene.deleted) == (*before, set())


@ALL
def test_an_empty_answer_over_an_empty_warehouse_claims_nothing(provider: Provider) -> None:
    """Calls that come later in that stretch are no late ones, and are found."""
    scene = scene_of(provider)

    assert scene.sync().status is RunStatus.SUCCEEDED
    assert (scene.covered(), scene.state().settled) == (Spans(), Spans())


@ALL
def test_one_of_the_newest_calls_is_proof_enough(provider: Provider) -> None:
    """The newest four were deleted; the fifth shows that it is the same account, and the four are gone."""
    scene = scene_of(provider, number=12)
    scene.sync()
    scene.api.remove(*named(0, 1, 2, 3))
    scene.add(call("new", 30, transcript="words"))
    scene.later(HOUR)

    outcome = scene.sync(full=True)

    assert (outcome.status, codes(outcome), outcome.counters.deleted) == (RunStatus.SUCCEEDED, [], 4)
    assert (scene.ids, scene.deleted) == ({"new", *named(*range(4, 12))}, named(0, 1, 2, 3))


def test_a_list_of_recent_calls_is_proven_by_the_detail_of_an_anchor() -> None:
    """Where the list no longer reaches down to what is held, the provider's word for one of these calls is enough."""
    scene = scene_of(ACME, number=3)
    scene.sync()
    scene.api.details = {"c000": scene.api.find("c000")}
    scene.api.lists = {"calls": [call("new", 30, transcript="words")]}
    scene.later(HOUR)

    outcome = scene.sync()

    assert (outcome.status, "c000" in scene.api.asked(), "new" in scene.ids) == (RunStatus.SUCCEEDED, True, True)
    assert scene.state().lost == Spans([Span(at(0), at(30))])
    assert codes(outcome) == ["gap"]


def test_anchors_that_the_retention_has_aged_out_are_not_waited_for() -> None:
    """What the provider no longer keeps cannot be met: the stream is read without proof, and nothing is deleted."""
    scene = scene_of(WITHOUT_DETAIL, number=3, retention=DAY)
    scene.sync()
    scene.api.lists = {"calls": [call("new", 30)]}
    scene.later(HOUR)

    assert codes(scene.sync()) == ["gap"]
    assert scene.ids == {"new", *named(0, 1, 2)}


# Absent calls


@NO_DETAIL
def test_a_call_that_a_complete_reading_does_not_show_is_gone(provider: Provider) -> None:
    """Where there is no detail to ask, the reading is the proof."""
    scene = scene_of(provider, number=25)
    scene.sync()
    scene.api.remove(*named(7, 18))
    scene.later(HOUR)

    assert scene.sync(full=True).counters.deleted == 2
    assert (scene.ids, scene.deleted) == (named(*range(25)) - named(7, 18), named(7, 18))


def test_a_call_that_is_not_shown_is_asked_for_before_it_is_gone() -> None:
    """Where there is a detail, it decides: the call that answers stays, the one that answers 404 is gone."""
    scene = scene_of(ACME, number=25)
    scene.sync()
    scene.api.details = {"c007": scene.api.find("c007")}
    scene.api.remove(*named(7, 18))
    scene.later(HOUR)

    outcome = scene.sync(full=True)

    assert (set(scene.api.asked()), outcome.counters.deleted) == (named(7, 18), 1)
    assert (scene.ids, scene.deleted) == (named(*range(25)) - named(18), named(18))


@NO_DETAIL
@pytest.mark.parametrize(("number", "missing", "refused"), [(20, 10, False), (20, 11, True), (60, 12, False), (60, 13, True)])
def test_more_missing_calls_than_the_cap_allows_delete_nothing(
    provider: Provider, number: int, missing: int, refused: bool
) -> None:
    """Ten are believed whatever their share, more up to a fifth of the calls held; beyond that it may be an outage."""
    scene = scene_of(provider, number=number, per_page=100, lookback=10 * DAY)
    scene.sync()
    before = scene.state()
    scene.api.remove(*named(*range(1, missing + 1)))
    scene.later(HOUR)

    outcome = scene.sync()

    assert codes(outcome) == (["anchor_not_met"] if refused else [])
    assert (outcome.counters.deleted, len(scene.deleted)) == ((0, 0) if refused else (missing, missing))
    assert (scene.state() == before) == refused
    scene.settings["max_delete_share"] = 1
    scene.sync()
    assert len(scene.deleted) == missing


def test_claims_are_taken_back_where_too_many_calls_are_missing() -> None:
    """What the walk had claimed on earlier pages, and committed, is claimed no more."""
    scene = scene_of(ACME, number=60, lookback=10 * DAY)
    scene.sync()
    before = scene.state()
    scene.api.remove(*named(*range(22, 40)))
    scene.later(HOUR)
    seen: list[Spans] = []
    scene.watcher.then = lambda: seen.append(scene.covered() - before.coverage)

    outcome = scene.sync()

    assert (codes(outcome), seen) == (["anchor_not_met"], [Spans([(at(0), at(60))])] * 2)
    assert (scene.state(), scene.ids) == (before, named(*range(60)))


def test_claims_are_taken_back_where_the_order_is_violated() -> None:
    """A page that is out of order makes an end of what the pages before it had claimed, also if the run ends there."""
    scene = scene_of(WITHOUT_DETAIL, number=40)
    scene.api.descending = None  # as it is given
    calls = scene.api.calls
    calls[12], calls[35] = calls[35], calls[12]
    scene.api.budget = 2
    seen: list[bool] = []
    scene.watcher.then = lambda: seen.append(bool(scene.covered()))

    outcome = scene.sync()

    assert (outcome.status, seen, codes(outcome)) == (RunStatus.PARTIAL, [True, False], ["order_violated", "budget_spent"])
    assert (scene.covered(), scene.state().settled) == (Spans(), Spans())


# What is read, and what is settled of it


@ALL
def test_what_is_younger_than_the_lookback_is_read_again(provider: Provider) -> None:
    """It is covered, and not settled; what was older when it was read is not asked for again."""
    scene = scene_of(provider, number=95)
    scene.add(call("young", -30, transcript="words"))
    scene.sync()
    assert scene.state().settled.last.end == at(0) - LOOKBACK
    scene.add(call("late", -60, transcript="words"), call("too_late", -10 * 60, transcript="words"))
    scene.later(HOUR / 2)

    outcome = scene.sync()

    assert ("late" in scene.ids, "too_late" in scene.ids, len(scene.api.pages())) == (True, provider is not WINDOWED, 1)
    assert outcome.counters.late == len(scene.ids & {"late", "too_late"})
    assert outcome.counters.max_lateness == (at(0) - at(-10 * 60) if provider is not WINDOWED else at(0) - at(-60))


@ALL
def test_what_settled_by_a_shorter_lookback_is_read_again_where_it_is_made_longer(provider: Provider) -> None:
    """What came late, changed and went there is found by the next sync, and not only once it is older than the longer one."""
    scene = scene_of(provider, number=35)
    scene.sync()
    settled = scene.state().settled
    scene.api.find("c010")["seconds"] = 9
    scene.api.remove("c020")
    scene.add(call("late", -24 * 60 - 61, transcript="words"))
    scene.later(HOUR)
    assert scene.sync().counters.deleted == 0
    scene.settings = {"lookback": 3 * DAY}
    scene.later(HOUR)

    outcome = scene.sync()

    assert (outcome.counters.deleted, "late" in scene.ids, scene.calls["c010"].duration_seconds) == (1, True, 9)
    assert scene.state().settled == settled.below(at(0) + 2 * HOUR - 3 * DAY)


@ALL
def test_full_reads_everything_again(provider: Provider) -> None:
    """What was settled is read once more; what is covered stays so, also where the run ends early."""
    scene = scene_of(provider, number=35)
    scene.sync()
    scene.api.find("c030")["seconds"] = 9
    covered = scene.covered()
    scene.later(HOUR)
    assert (scene.sync().counters.updated, scene.calls["c030"].duration_seconds) == (0, None)

    scene.api.budget = 1
    assert scene.sync(full=True).status is RunStatus.PARTIAL
    assert covered - scene.covered() == Spans()
    scene.api.budget = None
    assert (scene.sync(full=True).status, scene.calls["c030"].duration_seconds) == (RunStatus.SUCCEEDED, 9)


@ALL
def test_a_range_is_read_again_and_nothing_else(provider: Provider) -> None:
    """What changed inside of `--since` and `--until` is loaded; the domain below and above stays as it was."""
    scene = scene_of(provider, number=95)
    scene.sync()
    before = scene.state()
    for call_id in ("c010", "c050", "c090"):
        scene.api.find(call_id)["seconds"] = 9
    scene.later(HOUR)
    since, until = at(-24 * 60 - 2 * 54), at(-24 * 60 - 2 * 46)

    outcome = scene.sync(since=since, until=until)

    assert (outcome.status, scene.calls["c050"].duration_seconds) == (RunStatus.SUCCEEDED, 9)
    assert [scene.calls[one].duration_seconds for one in ("c010", "c090")] == [None, None]
    # A list can only be read from its top, so that its newest page is covered as well.
    assert (scene.covered().below(at(0)), scene.state().settled.below(at(0) - LOOKBACK)) == (before.coverage, before.settled)
    assert len(scene.api.pages()) <= 4


@ALL
def test_a_range_of_an_empty_warehouse_claims_the_range(provider: Provider) -> None:
    """The next sync reads what is owed beside it."""
    scene = scene_of(provider, number=95)
    since, until = at(-24 * 60 - 2 * 54), at(-24 * 60 - 2 * 46)

    scene.sync(since=since, until=until)

    assert (since in scene.covered(), at(-24 * 60 - 2 * 70) in scene.covered()) == (True, False)
    assert (named(*range(47, 55)) <= scene.ids, "c070" in scene.ids) == (True, False)
    scene.sync()
    assert (scene.ids, scene.covered().last.end) == (named(*range(95)), at(0))


@ALL
def test_a_sync_that_is_stopped_keeps_its_pages(provider: Provider) -> None:
    """It ends after the page at hand, `partial`; the next one loads the rest."""
    scene = scene_of(provider, number=35)
    scene.watcher.then = scene.stop.set

    outcome = scene.sync()

    assert (outcome.status, codes(outcome)) == (RunStatus.PARTIAL, ["interrupted"])
    assert (len(scene.ids), outcome.counters.inserted, len(scene.covered())) == (10, 10, 1)
    scene.stop.clear()
    scene.watcher.then = lambda: None
    assert scene.sync().counters.inserted == 25
    assert (scene.ids, len(scene.covered())) == (named(*range(35)), 1)


# Where a start date cuts


@ALL
def test_what_is_older_than_the_start_date_is_neither_loaded_nor_claimed(provider: Provider) -> None:
    """The pages that are read show more of the past than is wanted; set back later, the date brings the rest, and asks for it."""
    scene = scene_of(provider, number=25)
    scene.settings["start_date"] = at(-24 * 60 - 2 * 12)

    outcome = scene.sync()

    assert (outcome.status, codes(outcome), scene.ids) == (RunStatus.SUCCEEDED, [], named(*range(13)))
    assert scene.covered() == Spans([Span(at(-24 * 60 - 2 * 12), at(0))])
    scene.settings["start_date"] = at(-24 * 60 - 2 * 18)
    scene.later(HOUR)
    scene.sync()
    assert (scene.ids, scene.deleted) == (named(*range(19)), set())
    assert scene.covered() == Spans([Span(at(-24 * 60 - 2 * 18), scene.clock.now())])


@ALL
def test_a_range_that_is_asked_for_may_begin_before_the_start_date(provider: Provider) -> None:
    """`--since` is what somebody wants now; the next sync leaves what came so as it is."""
    scene = scene_of(provider, number=25)
    scene.settings["start_date"] = at(-24 * 60 - 2 * 12)
    scene.sync()

    scene.sync(since=at(-24 * 60 - 2 * 15), until=at(-24 * 60 - 2 * 11))

    assert scene.ids == named(*range(16))
    scene.later(HOUR)
    assert (codes(scene.sync()), scene.ids, scene.deleted) == ([], named(*range(16)), set())


def test_what_lies_between_the_calls_held_and_a_later_start_date_is_read_when_the_date_is_set_back() -> None:
    """A window begins at the newest call held, however old: what it showed of the time before the date was not loaded."""
    scene = scene_of(WINDOWED, number=25)
    scene.sync(until=at(-24 * 60 - 20))
    scene.settings["start_date"] = at(-12 * 60)
    scene.sync()

    assert (scene.state().settled - scene.covered(), scene.ids) == (Spans(), named(*range(11, 25)))
    scene.settings["start_date"] = None
    scene.later(HOUR)
    scene.sync()
    assert scene.ids == named(*range(25))


@ALL
def test_a_start_date_after_all_calls_leaves_nothing_to_load(provider: Provider) -> None:
    """The list is read down to it; calls that come then are loaded."""
    scene = scene_of(provider, number=5)
    scene.settings["start_date"] = at(-60)
    assert (codes(scene.sync()), scene.ids) == ([], set())
    scene.later(HOUR)
    scene.add(call("fresh", 30))

    assert (codes(scene.sync()), scene.ids) == ([], {"fresh"})


@NO_DETAIL
def test_a_record_that_is_no_call_is_no_reject_where_it_is_older_than_the_start_date(provider: Provider) -> None:
    """One whose place cannot be read is kept: it may be younger."""
    scene = scene_of(provider, number=25)
    scene.settings["start_date"] = at(-24 * 60 - 2 * 12)
    for place in (3, 20):
        scene.api.find(f"c{place:03}")["id"] = None

    scene.sync()

    assert [reject.raw_text for reject in scene.shelf.rejects.values()] == [as_text(scene.api.calls[3]).decode()]
