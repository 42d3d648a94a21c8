"""
A second look at counts that agree: by status, and by day if the provider counts days. Adds notes, never changes a verdict.

Calls change their status while both sides are counted, so a difference is reported only if it exceeds the number of calls that
may have done so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from etl.audit.counts import Counted
from etl.audit.port import AuditWarehouse
from etl.coverage import BEGINNING, Span
from etl.errors import AuthenticationFailed, ConnectionFailed
from etl.provider import Tally
from etl.records.parse import Unfit, instant
from etl.runs.context import Task

DAY = timedelta(days=1)

COMPARED_DAYS = 60
"""The number of days from which the time zone of a provider's days is inferred."""

OFFSETS = range(-12 * 60, 14 * 60 + 1, 15)
"""By how many minutes a day may begin before the UTC day, in any time zone on earth."""

ENOUGH_DAYS = 3
"""The minimum number of days from which a time zone is inferred."""


def compare_statuses(task: Task, warehouse: AuditWarehouse, stream: str, counted: Counted) -> str | None:
    """Compare the settled calls by status; return what disagrees. Skipped unless the whole list was counted."""
    counts = task.account.provider.counts
    if counts is None or counted.span.start != BEGINNING:
        return None
    theirs = _tally(task, counts.breakdown) if counts.breakdown is not None else None
    if theirs is None and counts.by_status is not None:
        theirs = {}
        for word in counts.words:
            if (number := task.source.total(stream=stream, params=counts.by_status(word))) is None:
                return None
            theirs[word] = number
    if theirs is None:
        return None
    by_word: Counter[str] = Counter()
    for word, number in theirs.items():
        by_word[_plain(word)] += number
    restless = sum(by_word.values()) - counted.provider
    ours: Counter[str] = Counter()
    for word, number in warehouse.count_by_status(connection=task.connection, stream=stream, before=counted.span.end).items():
        ours[_plain(word)] += number
    slack = max(restless, 0) + counted.rejected
    wrong = [word for word in sorted(by_word | ours) if not -slack <= by_word[word] - ours[word] <= slack]
    if not wrong:
        return None
    listed = ", ".join(f"{word or 'none'} {by_word[word]:,} there, {ours[word]:,} here" for word in wrong)
    return f"by status the counts differ: {listed}"


def compare_days(task: Task, warehouse: AuditWarehouse, stream: str, counted: Counted) -> str | None:
    """Store the provider's own daily counts, infer when its days begin, and return what disagrees."""
    counts = task.account.provider.counts
    if counts is None or counts.daily is None or not counted.held:
        return None
    last = counted.span.end.date()
    first = _first_day(task, warehouse, stream, counted)
    found = _tally(task, counts.daily, first=f"{first:%Y-%m-%d}", last=f"{last:%Y-%m-%d}")
    theirs = _dated(found)
    if not theirs:
        return None
    warehouse.save_daily_totals(task.connection, theirs, observed_at=task.clock.now())
    compared = Span(max(_midnight(first), counted.span.start, counted.span.end - COMPARED_DAYS * DAY), counted.span.end)
    quarters = warehouse.count_by_quarter(connection=task.connection, stream=stream, span=compared)
    whole = [day for day in _days_between(compared.start.date() + 2 * DAY, compared.end.date() - 2 * DAY) if day >= min(theirs)]
    differing = {offset: _differing(theirs, quarters, whole, offset) for offset in OFFSETS}
    fewest = min(len(days) for days in differing.values())
    best = [offset for offset in OFFSETS if len(differing[offset]) == fewest]
    if len(whole) < ENOUGH_DAYS or fewest > len(whole) / 2 or max(best) - min(best) >= 12 * 60:
        return None
    offset = min(best, key=lambda minutes: (abs(minutes) % 60 != 0, abs(minutes)))
    task.capabilities = replace(task.capabilities, day_offset=offset)
    if not fewest:
        return None
    days = differing[offset]
    shown = ", ".join(f"{day:%Y-%m-%d}" for day in days[:5]) + (" …" if len(days) > 5 else "")
    return f"the provider's daily counts differ on {len(days)} of {len(whole)} days ({shown})"


def _tally(task: Task, tally: Tally, **parts: str) -> Mapping[str, int] | None:
    """Ask for an optional count; None if the request is refused or the answer has an unexpected shape."""
    try:
        return task.source.tally(tally, **parts)
    except AuthenticationFailed:
        return None  # the key may lack a scope for this; it is good for the list
    except ConnectionFailed:
        return None


def _first_day(task: Task, warehouse: AuditWarehouse, stream: str, counted: Counted) -> date:
    (oldest, *_) = warehouse.oldest(connection=task.connection, stream=stream, since=counted.span.start, limit=1)
    return oldest.cursor.astimezone(UTC).date()


def _dated(found: Mapping[str, int] | None) -> dict[date, int]:
    dated: dict[date, int] = {}
    for word, number in (found or {}).items():
        try:
            at = instant(f"{word}T00:00:00Z")
        except Unfit:
            continue
        if at is not None:
            dated[at.date()] = number
    return dated


def _differing(theirs: Mapping[date, int], quarters: Mapping[datetime, int], days: list[date], offset: int) -> list[date]:
    ours: Counter[date] = Counter()
    for quarter, number in quarters.items():
        ours[(quarter.astimezone(UTC) + timedelta(minutes=offset)).date()] += number
    return [day for day in days if theirs.get(day, 0) != ours[day]]


def _days_between(first: date, last: date) -> list[date]:
    return [first + index * DAY for index in range((last - first).days + 1)]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _plain(word: str) -> str:
    return re.sub(r"[-_ ]+", "_", word.strip().lower())
