"""
What is due, worked out from the schedule and from what was tried: a pure function, the same in every worker.

Missed times count once. Nothing is remembered beside the runs: whatever a worker, a queue or a machine forgets is due again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from zoneinfo import ZoneInfo

from cronsim import CronSim

SPREAD = 0.1
"""Connections with one schedule are spread over this part of its period, or over `LONGEST_SPREAD` where that is less."""

LONGEST_SPREAD = timedelta(minutes=2)

LONGEST_PAUSE = timedelta(hours=6)
"""The longest pause after failures, unless the period is longer."""

MOST_DOUBLED = 10
"""A pause is doubled no more often: a minute, the shortest period, is longer than `LONGEST_PAUSE` by then."""

KILLED = timedelta(minutes=1)
"""The pause after a second run in a row that was killed, doubled each time; after the first there is none."""

AUDIT_AGAIN = timedelta(hours=1)
"""The pause after an audit that could not be carried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """
    What was tried for a connection, UTC instants; None: never.

    `began` is when the newest sync began, and `ended` when it ended: None while it is at work, and for ever if it was killed.
    `failures` counts the newest syncs in a row that failed or are known to have been killed. `succeeded` is when the newest one
    that got through began. `audited` is the newest audit that was carried out, `audit_tried` the newest that was begun.
    """

    began: datetime | None = None
    ended: datetime | None = None
    failures: int = 0
    succeeded: datetime | None = None
    audited: datetime | None = None
    audit_tried: datetime | None = None


def sync_due(name: str, schedule: str, zone: str, tried: Tried) -> datetime | None:
    """
    Return the instant from which on a connection's sync is due; None: it is due since ever.

    That is the next time of the schedule after the newest sync began, moved by a part of the period that depends on the
    connection's name. After several failures in a row the times within a pause are left out, which doubles with each one. A run
    that never ended was killed: it is gone on with at once. If it is at work after all, the queue lets nobody disturb it.
    """
    if tried.began is None:
        return None
    if tried.ended is None:
        return (
            tried.began
            if not tried.failures
            else tried.began + min(KILLED * 2 ** min(tried.failures - 1, MOST_DOUBLED), LONGEST_PAUSE)
        )
    first, second = _times(schedule, zone, tried.began)
    period = second - first
    if tried.failures > 1:
        pause = min(period * 2 ** min(tried.failures - 2, MOST_DOUBLED), max(LONGEST_PAUSE, period))
        first = _times(schedule, zone, max(tried.began + pause, first) - timedelta(microseconds=1))[0]
    return first + _moved(name, period)


def audit_due(name: str, schedule: str, zone: str, tried: Tried) -> datetime | None:
    """
    Return the instant from which on a connection's audit is due; None: not before it was synced.

    The first one is due once a sync got through. One that could not be carried out is tried again after `AUDIT_AGAIN`.
    """
    if tried.succeeded is None:
        return None
    at = tried.succeeded
    if tried.audited is not None:
        first, second = _times(schedule, zone, tried.audited)
        at = first + _moved(name, second - first)
    if tried.audit_tried is not None and (tried.audited is None or tried.audited < tried.audit_tried):
        at = max(at, tried.audit_tried + AUDIT_AGAIN)
    return at


def next_sync(name: str, schedule: str, zone: str, after: datetime) -> datetime:
    """Return when a connection's sync is due after one that began at an instant and got through."""
    first, second = _times(schedule, zone, after)
    return first + _moved(name, second - first)


def period_of(schedule: str, zone: str, after: datetime) -> timedelta:
    """Return how long it is from the next time of a schedule to the one after it."""
    first, second = _times(schedule, zone, after)
    return second - first


def _times(schedule: str, zone: str, after: datetime) -> tuple[datetime, datetime]:
    """
    Return the two times of a schedule that follow an instant, in UTC. A schedule that has but one has it again in a year.

    They are whole minutes, so that they are the same for all of a minute, in which many connections may have begun.
    """
    return _times_after(schedule, zone, after.replace(second=0, microsecond=0))


@lru_cache(maxsize=4096)
def _times_after(schedule: str, zone: str, after: datetime) -> tuple[datetime, datetime]:
    found: list[datetime] = []
    for time in CronSim(schedule, after.astimezone(ZoneInfo(zone))):
        instant = time.astimezone(UTC)
        # In the hour that autumn repeats, times are named that passed an hour ago; in the one that spring leaves out, one twice.
        if instant > (found[-1] if found else after):
            found.append(instant)
        if len(found) == 2:
            break
    return found[0], found[1] if len(found) == 2 else found[0] + timedelta(days=366)


def _moved(name: str, period: timedelta) -> timedelta:
    """Return by how much a connection is moved: always the same, in whole seconds."""
    room = min(period * SPREAD, LONGEST_SPREAD)
    part = int.from_bytes(sha256(name.encode()).digest()[:8]) / 2**64
    return timedelta(seconds=int(room.total_seconds() * part))
