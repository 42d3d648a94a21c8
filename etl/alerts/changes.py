"""
What is to be told: pure functions of how a connection stands, what is remembered of it, and the time.

An alert is remembered as open as soon as it is noticed (`noticed`), and told afterwards (`changes`); it is remembered as closed
once that was told too. So what cannot be told stays to be told, over restarts, and what was told is not told again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

SHORTEST_SILENCE = timedelta(hours=24)
"""A shorter time without a new call is told of no connection."""

REMEMBERED_PAUSES = timedelta(days=28)
"""How far back pauses between calls are compared. An account that has been silent for longer at first sight is not judged."""


class Kind(StrEnum):
    """What somebody is told of, each by itself."""

    BEHIND = "behind"  # no sync got through for longer than `alert_after` after one was due
    PROOF_FAILED = "proof_failed"  # the newest audit found what does not agree
    GAP_LOST = "gap_lost"  # a stretch of time can be read no more
    NO_NEW_CALLS = "no_new_calls"  # longer than the longest pause of the 28 days before


class State(StrEnum):
    """Whether an alert stands. It is closed once its end was told."""

    OPEN = "open"
    CLOSED = "closed"


class Event(StrEnum):
    """What is told of an alert."""

    OPENED = "opened"
    CLOSED = "closed"
    PASSED = "passed"  # it opened, could not be told, and is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """
    What is remembered of a connection and a kind (a row of `sync.alerts`); UTC instants.

    `since` is when the state began. `notified_at` is when it was told; None while it has not been. `number` is how many there
    are: gaps; 1 for the other kinds.
    """

    connection: str
    kind: Kind
    state: State
    since: datetime
    notified_at: datetime | None
    number: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    How a configured connection stands; UTC instants.

    `due_at` is when, after everything that is read, the next sync was due. `last_error` is the code of the newest sync that
    ended; None if it has none. `proof` is the verdict of the newest audit, None where there was none. `newest_call` is where the
    newest call stands on the time line, `longest_pause` the longest time between two calls in the 28 days before it; None where
    that is not known.
    """

    connection: str
    due_at: datetime
    fresh_until: datetime | None = None
    last_error: str | None = None
    proof: str | None = None
    proved_at: datetime | None = None
    lost_gaps: int = 0
    newest_call: datetime | None = None
    longest_pause: timedelta | None = None

    @property
    def silence(self) -> timedelta:
        """For how long there was no new call, as far as the calls are read: what was not read is not silent."""
        if self.newest_call is None or self.fresh_until is None:
            return timedelta()
        return self.fresh_until - self.newest_call


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something to tell, and what is remembered before and after that."""

    event: Event
    before: Alert
    after: Alert
    standing: Standing


Remembered = Mapping[Kind, Alert]
"""What is remembered of one connection."""


def is_fresh(standing: Standing, *, now: datetime, alert_after: timedelta) -> bool:
    """Return whether a connection is not behind for longer than `alert_after`."""
    return now - standing.due_at <= alert_after


def noticed(
    standing: Standing, remembered: Remembered, *, now: datetime, alert_after: timedelta
) -> list[tuple[Alert | None, Alert]]:
    """Return what is to be remembered before anything is told: each alert as it was (None: not at all) and as it is to be."""
    found = []
    for kind, (since, number) in _troubles(standing, remembered, now=now, alert_after=alert_after).items():
        known = remembered.get(kind)
        fresh = Alert(connection=standing.connection, kind=kind, state=State.OPEN, since=since, notified_at=None, number=number)
        if known is None or known.state is State.CLOSED:
            found.append((known, fresh))
        elif number > known.number:  # one more, which nobody knows of
            found.append((known, replace(fresh, since=known.since if known.notified_at is None else since)))
        elif number < known.number:
            found.append((known, replace(known, number=number)))
    return found


def changes(standing: Standing, remembered: Remembered, *, now: datetime, alert_after: timedelta) -> list[Change]:
    """Return what is to be told of a connection, given that what `noticed` returns is remembered."""
    troubles = _troubles(standing, remembered, now=now, alert_after=alert_after)
    told = []
    for kind in Kind:
        known = remembered.get(kind)
        if known is None or known.state is State.CLOSED:
            continue
        if kind not in troubles:
            event = Event.PASSED if known.notified_at is None else Event.CLOSED
            after = replace(known, state=State.CLOSED, since=now, notified_at=now)
        elif known.notified_at is None:
            event, after = Event.OPENED, replace(known, notified_at=now)
        else:
            continue
        told.append(Change(event=event, before=known, after=after, standing=standing))
    return told


def after_noticing(remembered: Remembered, found: Iterable[tuple[Alert | None, Alert]]) -> Remembered:
    """Return what is remembered once all of that is."""
    return {**remembered, **{alert.kind: alert for _, alert in found}}


def _troubles(
    standing: Standing, remembered: Remembered, *, now: datetime, alert_after: timedelta
) -> dict[Kind, tuple[datetime, int]]:
    """Return what is wrong: since when, and how many there are."""
    troubles = {}
    if not is_fresh(standing, now=now, alert_after=alert_after):
        troubles[Kind.BEHIND] = (standing.due_at, 1)
    if standing.proof == "mismatch":
        troubles[Kind.PROOF_FAILED] = (standing.proved_at or now, 1)
    if standing.lost_gaps:
        troubles[Kind.GAP_LOST] = (now, standing.lost_gaps)
    known = remembered.get(Kind.NO_NEW_CALLS)
    if standing.newest_call is not None and _is_silent(standing, was=known is not None and known.state is State.OPEN):
        troubles[Kind.NO_NEW_CALLS] = (standing.newest_call, 1)
    return troubles


def _is_silent(standing: Standing, *, was: bool) -> bool:
    """Whether no call came for too long. A silence that was noticed lasts until a call comes, however long."""
    silence, pause = standing.silence, standing.longest_pause
    if silence <= SHORTEST_SILENCE:
        return False
    return was or (pause is not None and pause < silence <= REMEMBERED_PAUSES)
