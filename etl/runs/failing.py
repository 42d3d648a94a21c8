"""What follows where a request for a detail brings nothing usable: it is counted, told, and made again less and less often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from etl.log import Logger
from etl.runs.context import Task
from etl.runs.port import PageTransaction
from etl.runs.terms import DueCall, Finding

log = Logger(__name__)

DAILY = timedelta(hours=23)
"""The longest wait until a call is asked for again; less than a day, as daily syncs do not start on the minute."""

SECOND_WAIT = timedelta(minutes=15)
"""How long to wait after the second failure in a row; each further one doubles it. After the first the next run tries again."""

DOUBLINGS = 7
"""After this many, any wait is over `DAILY`."""


def next_try(failures: int, *, now: datetime) -> datetime:
    """Return when to ask for a detail again after so many requests in a row that brought nothing usable."""
    if failures < 2:
        return now + timedelta(seconds=1)
    doublings = min(failures - 2, DOUBLINGS)
    return now + min(DAILY, SECOND_WAIT * (1 << doublings))


def note_failed(page: PageTransaction, calls: Iterable[DueCall], *, now: datetime) -> None:
    """Count one more failure for each of these calls, and let it be asked for again later than the last time."""
    due = {call.call_id: next_try(call.failures + 1, now=now) for call in calls}
    if due:
        page.detail_failed(due)


def log_failed(task: Task, failures: Iterable[tuple[DueCall, str]]) -> None:
    """Log calls whose details could not be had, with the code of each one's error: a line for each stream and code."""
    for (stream, code), number in Counter((call.stream, code) for call, code in failures).items():
        log.warning("detail.failed", connection=task.connection, stream=stream, error=code, calls=number)


def tell_failing(task: Task) -> None:
    """Add a finding for each stream that holds calls whose details cannot be had, also where this run did not ask for them."""
    for stream, number in task.warehouse.failing_details(task.connection).items():
        task.find(Finding(stream=stream, code="details_failing", text=cannot_be_had(number)))


def cannot_be_had(number: int) -> str:
    """Say that the details of so many calls are missing."""
    details, one = ("1 detail", "it") if number == 1 else (f"{number:,} details", "each")
    return (
        f"{details} cannot be had: the last request for {one} brought nothing usable. The calls are held as listed and asked for "
        "less and less often."
    )
