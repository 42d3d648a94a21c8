"""
Fetches the details that are due, call by call, and moves calls to the history that the provider says are gone.

Due are new, changed and open calls, calls whose late parts are missing, and calls that a complete reading did not show. They are
fetched newest first, several at once, within the request budget. What is not fetched stays due (`calls.detail_due_at`), so the
next run continues there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

import structlog

from etl.errors import FORBIDDEN, AuthenticationFailed, ConnectionFailed, EtlError, Interrupted, NotFound
from etl.model import JSON, OPEN_STATUSES, Derived, Record
from etl.printable import number_of
from etl.records.derive import late_parts_missing
from etl.runs.context import Task
from etl.runs.loading import load_detail
from etl.runs.port import PageTransaction
from etl.runs.terms import Counters, DueCall, Finding

log = structlog.get_logger(__name__)

AT_ONCE = 6
"""The number of details requested concurrently; the limiter decides how fast."""

BATCH = 50
"""The maximum number of details written in one transaction."""

CHUNK = 5_000
"""The maximum number of due calls kept in memory."""

DAILY = timedelta(hours=23)
"""After how long a call that never ends is looked at again; less than a day, as daily syncs do not start on the minute."""


REFUSALS = 3
"""After this many 403 answers and no other, the remaining details of a stream are not asked for."""


class Answered(NamedTuple):
    """The result of one request: the detail and when it was requested, or why there is none."""

    call: DueCall
    detail: Record | None
    observed_at: datetime | None
    failure: ConnectionFailed | None


def read_details(task: Task) -> None:
    """
    Fetch and store every detail that is due, and move calls that are proven gone to the history.

    A detail that fails is left due. Raises AuthenticationFailed, BudgetSpent, Interrupted, FenceLost, WarehouseError.
    """
    if task.account.provider.detail is None:
        return
    now = task.provider_now()
    left: set[str] = set()  # asked for in vain, and so still due: no call is asked for twice in a run
    absent: dict[str, list[DueCall]] = defaultdict(list)
    alive: dict[str, int] = defaultdict(int)
    while calls := _due(task, now, left):
        for answers in _chunks(_answers(task, calls), BATCH):
            left |= _write(task, [answer for answer in answers if answer.detail is not None], now=now)
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


def _due(task: Task, now: datetime, left: set[str]) -> Sequence[DueCall]:
    """Return calls to ask for; with `details = false` the open ones that no list of this run has shown, and no others."""
    only_open = not task.account.details
    skipped = left | task.open_seen if only_open else left
    due = task.warehouse.due_calls(task.connection, now=now, limit=CHUNK + len(skipped), only_open=only_open)
    return [call for call in due if call.call_id not in skipped]


def _answers(task: Task, calls: Iterable[DueCall]) -> Iterator[Answered]:
    """Request several concurrently, yield the answers in order. An error that ends the run is raised after them."""
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


def _write(task: Task, answers: list[Answered], *, now: datetime) -> set[str]:
    """Write what was answered; return the calls of which nothing was: refused by the warehouse, or held from later."""
    if not answers:
        return set()
    zombies = 0
    untaken: set[str] = set()

    def due(entry: Derived, value: JSON) -> datetime | None:
        """Decide when to ask again: in the next run while the call is open or incomplete, daily if it seems never to end."""
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
        untaken.clear()
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
                if not loaded.updated and not loaded.unchanged:
                    untaken.add(answer.call.call_id)
                if loaded.older_by is not None:  # a clock was set back, or another's runs ahead: no answer is taken before then
                    page.ask_for([answer.call.call_id], due_at=now + loaded.older_by)

    task.write(load)
    if zombies:
        days = task.account.max_open_age.days
        task.find(
            Finding(
                stream=answers[0].call.stream,
                code="open_too_long",
                text=f"Calls have been open for more than {number_of(days, 'day')}; they are looked at once a day.",
            )
        )
    return untaken


def _bury(task: Task, stream: str, gone: list[DueCall], *, alive: int) -> None:
    """Move calls that the provider reports gone to the history, unless an outage or its retention could be the reason."""
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
                text=f"Of {number_of(len(gone), 'call')} asked for the provider knows none; since it confirmed no other call "
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
    """Whether the provider still knows another held call of the stream; only then does a 404 mean that the call is gone."""
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
    """Yield lists of up to `size` items; those before an error are yielded first, as their requests were already spent."""
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
