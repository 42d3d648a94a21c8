"""What is told, and when: as examples, and as properties of any history of a connection and of a hook that fails at times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.alerts.changes import Alert, Change, Event, Kind, Standing, State, after_noticing, changes, is_fresh, noticed

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AFTER = 2 * HOUR


def standing(**given: object) -> Standing:
    """How a connection stands with which all is well: synced just now, with calls of an hour ago."""
    well = Standing(
        connection="voice", due_at=NOW, fresh_until=NOW, proof="complete", proved_at=NOW - DAY, newest_call=NOW - HOUR
    )
    return replace(well, **given)  # type: ignore[arg-type]


def found(given: Standing, *remembered: Alert, now: datetime = NOW) -> list[Alert]:
    """What is to be remembered, whatever was."""
    return [alert for _, alert in noticed(given, {one.kind: one for one in remembered}, now=now, alert_after=AFTER)]


def told(given: Standing, *remembered: Alert, now: datetime = NOW) -> list[tuple[Event, Kind]]:
    """What is told."""
    known = {one.kind: one for one in remembered}
    return [(one.event, one.before.kind) for one in changes(given, known, now=now, alert_after=AFTER)]


def alert(kind: Kind, state: State = State.OPEN, *, since: datetime = NOW - HOUR, told_at: datetime | None = None) -> Alert:
    return Alert(connection="voice", kind=kind, state=state, since=since, notified_at=told_at)


# ── What is wrong ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_wrong() -> None:
    """Then nothing is remembered."""
    assert found(standing()) == []


@pytest.mark.parametrize(
    ("given", "kind", "since"),
    [
        pytest.param(
            {"due_at": NOW - AFTER - timedelta(seconds=1)}, Kind.BEHIND, NOW - AFTER - timedelta(seconds=1), id="behind"
        ),
        pytest.param({"proof": "mismatch"}, Kind.PROOF_FAILED, NOW - DAY, id="the newest audit found a mismatch"),
        pytest.param({"lost_gaps": 1}, Kind.GAP_LOST, NOW, id="a gap that cannot be closed"),
        pytest.param(
            {"newest_call": NOW - 30 * HOUR, "longest_pause": 29 * HOUR}, Kind.NO_NEW_CALLS, NOW - 30 * HOUR, id="silence"
        ),
        pytest.param(
            {"newest_call": NOW - 28 * DAY, "longest_pause": HOUR}, Kind.NO_NEW_CALLS, NOW - 28 * DAY, id="silence of four weeks"
        ),
    ],
)
def test_something_is_wrong(given: dict[str, object], kind: Kind, since: datetime) -> None:
    """It is remembered as open, and told."""
    (one,) = found(standing(**given))
    assert one == Alert(connection="voice", kind=kind, state=State.OPEN, since=since, notified_at=None, number=1)
    assert told(standing(**given), one) == [(Event.OPENED, kind)]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"due_at": NOW - AFTER}, id="due for just as long as it may be"),
        pytest.param({"due_at": NOW + DAY}, id="not due yet"),
        pytest.param({"proof": "unverifiable"}, id="a provider without totals"),
        pytest.param({"proof": None, "proved_at": None}, id="never audited"),
        pytest.param({"newest_call": NOW - 30 * HOUR, "longest_pause": 30 * HOUR}, id="such a pause there was"),
        pytest.param({"newest_call": NOW - 24 * HOUR, "longest_pause": HOUR}, id="a day is no silence"),
        pytest.param({"newest_call": NOW - 3 * DAY, "longest_pause": None}, id="a single call tells nothing of pauses"),
        pytest.param({"newest_call": NOW - 29 * DAY, "longest_pause": HOUR}, id="an account that has long been dormant"),
        pytest.param({"newest_call": NOW - 3 * DAY, "longest_pause": HOUR, "fresh_until": None}, id="not read yet"),
        pytest.param(
            {"newest_call": NOW - 3 * DAY, "longest_pause": HOUR, "fresh_until": NOW - 3 * DAY},
            id="what is not read is not silent",
        ),
        pytest.param({"newest_call": None}, id="no call at all"),
    ],
)
def test_what_is_not_wrong(given: dict[str, object]) -> None:
    """Nobody is told."""
    assert found(standing(**given)) == []


def test_a_silence_that_was_noticed_lasts_until_a_call_comes() -> None:
    """Longer than four weeks too; only the first sight of a dormant account is no alert."""
    silent = alert(Kind.NO_NEW_CALLS, told_at=NOW - DAY)
    dormant = standing(newest_call=NOW - 40 * DAY, longest_pause=HOUR)
    assert told(dormant, silent) == []
    assert told(standing(), silent) == [(Event.CLOSED, Kind.NO_NEW_CALLS)]


# ── Once ────────────────────────────────────────────────────────────────────────────────────────────────────────────

BEHIND = standing(due_at=NOW - 3 * HOUR)


def test_what_was_told_is_not_told_again() -> None:
    """Neither while it lasts, nor once its end was told."""
    assert told(BEHIND, alert(Kind.BEHIND, told_at=NOW - HOUR)) == []
    assert told(standing(), alert(Kind.BEHIND, State.CLOSED, told_at=NOW)) == []


def test_what_could_not_be_told_is_told_later() -> None:
    """It stays to be told, with the instant at which it began."""
    assert found(BEHIND, alert(Kind.BEHIND, since=NOW - 9 * HOUR)) == []
    assert told(BEHIND, alert(Kind.BEHIND, since=NOW - 9 * HOUR)) == [(Event.OPENED, Kind.BEHIND)]


def test_what_passed_before_it_could_be_told() -> None:
    """It is told as past, in one message."""
    assert told(standing(), alert(Kind.BEHIND)) == [(Event.PASSED, Kind.BEHIND)]


def test_what_is_remembered_once_it_was_told() -> None:
    """An opening keeps its beginning; an end begins a state of its own."""
    opened = changes(BEHIND, {Kind.BEHIND: alert(Kind.BEHIND)}, now=NOW, alert_after=AFTER)
    assert [one.after for one in opened] == [alert(Kind.BEHIND, told_at=NOW)]
    closed = changes(standing(), {Kind.BEHIND: alert(Kind.BEHIND, told_at=NOW - HOUR)}, now=NOW, alert_after=AFTER)
    assert [one.after for one in closed] == [alert(Kind.BEHIND, State.CLOSED, since=NOW, told_at=NOW)]


def test_each_kind_is_told_by_itself() -> None:
    """One that was told does not hide another."""
    given = standing(due_at=NOW - 3 * HOUR, proof="mismatch", lost_gaps=2)
    assert [one.kind for one in found(given, alert(Kind.BEHIND, told_at=NOW))] == [Kind.PROOF_FAILED, Kind.GAP_LOST]


@pytest.mark.parametrize("told_at", [None, NOW - HOUR])
def test_one_more_gap_is_told_again(told_at: datetime | None) -> None:
    """A gap that cannot be closed stays for ever, so the next one is news; one gap fewer is none."""
    known = replace(alert(Kind.GAP_LOST, told_at=told_at), number=2)
    (more,) = found(standing(lost_gaps=3), known)
    assert (more.notified_at, more.number, more.since) == (None, 3, NOW if told_at else known.since)
    assert found(standing(lost_gaps=2), known) == []
    assert found(standing(lost_gaps=1), known) == [replace(known, number=1)]


def test_fresh_is_what_is_not_behind_for_too_long() -> None:
    """Whatever else is wrong."""
    assert is_fresh(standing(due_at=NOW - AFTER, proof="mismatch", lost_gaps=1), now=NOW, alert_after=AFTER)
    assert not is_fresh(BEHIND, now=NOW, alert_after=AFTER)


# ── Any history ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Teller:
    """A worker without its database: remembers, tells where the hook works, and keeps what was told."""

    def __init__(self) -> None:
        self.remembered: dict[Kind, Alert] = {}
        self.told: list[tuple[Event, Kind, int]] = []

    def tick(self, given: Standing, *, now: datetime, works: bool) -> list[Change]:
        found = noticed(given, self.remembered, now=now, alert_after=AFTER)
        self.remembered = dict(after_noticing(self.remembered, found))
        to_tell = changes(given, self.remembered, now=now, alert_after=AFTER)
        if works:
            self.told += [(one.event, one.before.kind, one.before.number) for one in to_tell]
            self.remembered |= {one.after.kind: one.after for one in to_tell}
        return to_tell

    def of(self, kind: Kind) -> list[Event]:
        return [event for event, about, _ in self.told if about is kind]


TROUBLES = {
    Kind.BEHIND: {"due_at": NOW - 10 * DAY},
    Kind.PROOF_FAILED: {"proof": "mismatch"},
    Kind.NO_NEW_CALLS: {"newest_call": NOW - 3 * DAY, "longest_pause": HOUR},
}
TICKS = st.lists(st.tuples(st.sets(st.sampled_from(sorted(TROUBLES))), st.integers(0, 3), st.booleans()), max_size=30)


def played(ticks: Iterable[tuple[set[Kind], int, bool]]) -> Teller:
    teller = Teller()
    for number, (troubles, gaps, works) in enumerate(ticks):
        given = standing(due_at=NOW + DAY, lost_gaps=gaps)
        for kind in troubles:
            given = replace(given, **TROUBLES[kind])  # type: ignore[arg-type]
        teller.tick(given, now=NOW + number * timedelta(seconds=15), works=works)
    return teller


@given(TICKS)
def test_with_a_hook_that_works_each_change_is_told_once(ticks: list[tuple[set[Kind], int, bool]]) -> None:
    """As many openings and ends as there were changes, in their order."""
    teller = played((troubles, 0, True) for troubles, _, _ in ticks)
    for kind in TROUBLES:
        was, expected = False, []
        for troubles, _, _ in ticks:
            if (kind in troubles) != was:
                expected.append(Event.CLOSED if was else Event.OPENED)
                was = not was
        assert teller.of(kind) == expected


@given(TICKS)
def test_a_flapping_hook_loses_nothing(ticks: list[tuple[set[Kind], int, bool]]) -> None:
    """
    Once the hook works, what was told last is how things stand, and every stretch of trouble is part of what was told.

    Nothing is told twice: an opening follows an end, and an end an opening.
    """
    teller = played(ticks)
    last = ticks[-1][0] if ticks else set()
    gaps = ticks[-1][1] if ticks else 0
    given = standing(due_at=NOW + DAY, lost_gaps=gaps)
    for kind in last:
        given = replace(given, **TROUBLES[kind])  # type: ignore[arg-type]
    teller.tick(given, now=NOW + DAY, works=True)

    assert teller.tick(given, now=NOW + DAY, works=True) == []
    for kind in TROUBLES:
        events = teller.of(kind)
        stands = False
        for event in events:
            assert stands == (event is Event.CLOSED)
            stands = event is Event.OPENED
        assert stands == (kind in last)
        assert bool(events) == any(kind in troubles for troubles, _, _ in ticks)


@given(TICKS)
def test_no_gap_more_goes_untold(ticks: list[tuple[set[Kind], int, bool]]) -> None:
    """Whenever there were more gaps than before, that many are told, unless they were gone again before the hook worked."""
    teller = Teller()
    for number, (_, gaps, works) in enumerate(ticks):
        before = max((alert.number for alert in teller.remembered.values() if alert.state is State.OPEN), default=0)
        was = len(teller.told)
        teller.tick(standing(due_at=NOW + DAY, lost_gaps=gaps), now=NOW + timedelta(minutes=number), works=works)
        if works and gaps > before:
            assert teller.told[was:] == [(Event.OPENED, Kind.GAP_LOST, gaps)]
