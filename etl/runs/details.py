"""
Knows which calls are asked for one by one, what follows from the answers, and which calls are gone. Knows no API, no SQL.

New, changed and open calls, those whose late parts are missing, and those that a complete reading did not show; newest first,
several at once within the request budget. What is left undone stays due (`calls.detail_due_at`), so that the next run goes on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

import structlog

from etl.errors import FORBIDDEN, AuthenticationFailed, ConnectionFailed, EtlError, Interrupted, NotFound
from etl.model import JSON, OPEN_STATUSES, Derived, Record
from etl.records.derive import late_parts_missing
from etl.runs.context import Task
from etl.runs.loading import load_detail
from etl.runs.port import PageTransaction
from etl.runs.terms import Counters, DueCall, Finding

log = structlog.get_logger(__name__)

AT_ONCE = 6
"""How many details are asked for at once; the limiter says how fast."""

BATCH = 50
"""So many details are written in one transaction."""

CHUNK = 5_000
"""So many due calls are held in memory at once."""

DAILY = timedelta(hours=23)
"""When a call that never ends is looked at again: an hour less, since a sync once a day begins now earlier, now later."""


REFUSALS = 3
"""So many calls of a stream are refused with 403, and none is answered, before the rest of it is not asked for any more."""


class Answered(NamedTuple):
    """What became of one question: the detail and when it was asked for, or why there is none."""

    call: DueCall
    detail: Record | None
    observed_at: datetime | None
    failure: ConnectionFailed | None


def read_details(task: Task) -> None:
    """
    Ask for every detail that is due, write what they say, and bury the calls that are proven gone.

    A detail that fails is left due. Raises AuthenticationFailed, BudgetSpent, Interrupted, FenceLost, WarehouseError.
    """
    if task.account.provider.detail is None:
        return
    now = task.provider_now()
    left: set[str] = set()  # asked for in vain, and so still due
    absent: dict[str, list[DueCall]] = defaultdict(list)
    alive: dict[str, int] = defaultdict(int)
    while calls := [call for call in _due(task, now, skip=len(left)) if call.call_id not in left]:
        for answers in _chunks(_answers(task, calls), BATCH):
            _write(task, [answer for answer in answers if answer.detail is not None], now=now)
            for answer in answers:
                alive[answer.call.stream] += answer.detail is not None
                if answer.detail is None:
                    left.add(answer.call.call_id)
                if isinstance(answer.failure, NotFound) and answer.failure.naming == "call":
                    absent[answer.call.stream].append(answer.call)
    for stream, gone in absent.items():
        _bury(task, stream, gone, alive=alive[stream])
    for stream, refusals in task.forbidden.items():
        if refusals and not alive[stream]:
            raise refusals[0]


def _due(task: Task, now: datetime, *, skip: int) -> Iterable[DueCall]:
    calls = task.warehouse.due_calls(task.connection, now=now, limit=CHUNK + skip)
    return calls if task.account.details else [call for call in calls if call.is_open and call.call_id not in task.open_seen]


def _answers(task: Task, calls: Iterable[DueCall]) -> Iterator[Answered]:
    """Ask several at once, hand the answers on in order. The first error that ends the run is raised after what was answered."""
    waiting = iter(calls)
    ended: EtlError | None = None
    with task.threads.pool("detail", AT_ONCE) as pool:
        futures: list[Future[Answered]] = [pool.submit(_ask, task, call) for call in islice(waiting, AT_ONCE)]
        try:
            while futures:
                try:
                    answer = futures.pop(0).result()
                except EtlError as error:
                    ended = ended or error
                    continue
                try:
                    task.check_stop()
                except Interrupted as stop:
                    ended = ended or stop
                if ended is None:
                    futures.extend(pool.submit(_ask, task, call) for call in islice(waiting, 1))
                yield answer
        finally:
            for future in futures:
                future.cancel()
    if ended is not None:
        raise ended


def _ask(task: Task, call: DueCall) -> Answered:
    """Ask for one call; what is forbidden (403) of one call, or of one agent's, does not end the others."""
    refusals = task.forbidden[call.stream]
    if len(refusals) >= REFUSALS:
        return Answered(call, None, None, refusals[0])
    try:
        detail, observed_at = task.source.detail(stream=call.stream, call_id=call.call_id)
    except AuthenticationFailed as failure:
        if failure.status != FORBIDDEN:
            raise
        refusals.append(failure)
        return Answered(call, None, None, failure)
    except ConnectionFailed as failure:
        log.info("detail.failed", connection=task.connection, stream=call.stream, error=failure.code)
        return Answered(call, None, None, failure)
    refusals.clear()
    return Answered(call, detail, observed_at, None)


def _write(task: Task, answers: list[Answered], *, now: datetime) -> None:
    if not answers:
        return
    zombies = 0

    def due(entry: Derived, value: JSON) -> datetime | None:
        """Tell when to ask again: next run while it goes on or late parts may still come, daily for one that never ends."""
        nonlocal zombies
        call = entry.call
        if call.status in OPEN_STATUSES:
            if now - call.cursor_at > task.account.max_open_age:
                zombies += 1
                return now + DAILY
            return now + timedelta(seconds=1)
        settles = (call.ended_at or call.cursor_at) + task.account.lookback
        missing = task.account.details and late_parts_missing(task.account.provider, call.status, value)
        return now + timedelta(seconds=1) if missing and now < settles else None

    def load(page: PageTransaction, counters: Counters) -> None:
        nonlocal zombies
        zombies = 0
        task.check_organization(tuple(answer.detail for answer in answers if answer.detail is not None), page)
        for answer in answers:
            if answer.detail is not None and answer.observed_at is not None:
                loaded = load_detail(
                    page,
                    task.account,
                    run_id=task.run_id,
                    stream=answer.call.stream,
                    call_id=answer.call.call_id,
                    detail=answer.detail,
                    observed_at=answer.observed_at,
                    due=due,
                )
                counters.add(loaded)

    task.write(load)
    if zombies:
        days = task.account.max_open_age.days
        task.find(
            Finding(
                stream=answers[0].call.stream,
                code="open_too_long",
                text=f"Calls have been open for more than {days} days; they are looked at once a day.",
            )
        )


def _bury(task: Task, stream: str, gone: list[DueCall], *, alive: int) -> None:
    """Move the calls that the provider says are gone to the history, unless that could be an outage, or is its retention."""
    if task.account.retention is not None:
        kept_since = task.provider_now() - task.account.retention
        gone = [call for call in gone if call.cursor >= kept_since]
    if not gone:
        return
    if not alive and not _still_answers(task, stream, {call.call_id for call in gone}):
        task.find(
            Finding(
                stream=stream,
                code="gone_unproven",
                text=f"The provider knows none of the {len(gone)} calls that were asked for; since it confirmed no other call "
                "either, nothing was marked as deleted.",
            )
        )
        return
    held = task.warehouse.count(connection=task.connection, stream=stream)
    if not task.account.believes_deleted(len(gone), of=held):
        task.find(
            Finding(
                stream=stream,
                code="too_many_gone",
                text=f"The provider no longer knows {len(gone)} of {held} calls, which is more than max_delete_share allows; "
                "nothing was marked as deleted.",
            )
        )
        return

    def bury(page: PageTransaction, counters: Counters) -> None:
        counters.deleted += page.bury([call.call_id for call in gone], gone_at=task.clock.now())

    task.write(bury)


def _still_answers(task: Task, stream: str, gone: set[str]) -> bool:
    """Whether the provider answers for another call held in the stream: then its 404 for a call means that call."""
    newest = task.warehouse.newest(connection=task.connection, stream=stream, before=None, limit=len(gone) + 3)
    for held in [held for held in newest if held.call_id not in gone][:3]:
        try:
            task.source.detail(stream=stream, call_id=held.call_id)
        except AuthenticationFailed:
            raise
        except ConnectionFailed:
            continue
        return True
    return False


def _chunks(items: Iterator[Answered], size: int) -> Iterator[list[Answered]]:
    """Hand on so many at once; where an error ends them, those before it come first: they were paid for out of the budget."""
    chunk: list[Answered] = []
    ended: EtlError | None = None
    try:
        for item in items:
            chunk.append(item)
            if len(chunk) == size:
                yield chunk
                chunk = []
    except EtlError as error:
        ended = error
    if chunk:
        yield chunk
    if ended is not None:
        raise ended
