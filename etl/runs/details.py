"""
Fetches the details that are due, call by call.

Due are new, changed and open calls, calls whose late parts are missing, and calls that a complete reading did not show. They are
fetched newest first, several at once, within the request budget. What is not fetched stays due (`calls.detail_due_at`), so the
next run continues there. What follows from failures is in `etl.runs.failing`, from calls that the provider does not know in
`etl.runs.gone`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from etl.errors import FORBIDDEN, AuthenticationFailed, BudgetSpent, ConnectionFailed, EtlError, Interrupted, NotFound
from etl.model import JSON, OPEN_STATUSES, Derived, Record, Rejection
from etl.printable import number_of
from etl.records.asking import is_worth_asking, late_parts_missing
from etl.runs.context import Task
from etl.runs.failing import DAILY, log_failed, note_failed, tell_failing
from etl.runs.gone import judge_absent
from etl.runs.loading_details import Told, load_details
from etl.runs.port import PageTransaction
from etl.runs.terms import Counters, DueCall, Finding

AT_ONCE = 6
"""The number of details requested concurrently; the limiter decides how fast."""

BATCH = 50
"""The maximum number of details written in one transaction."""

CHUNK = 5_000
"""The maximum number of due calls kept in memory."""

REFUSALS = 3
"""After this many 403 answers and no other, the remaining details of a stream are not asked for."""


class Answered(NamedTuple):
    """The result of one request: the detail and when it was requested, or why there is none; `asked`: if there was a request."""

    call: DueCall
    detail: Record | None = None
    observed_at: datetime | None = None
    failure: ConnectionFailed | None = None
    asked: bool = True

    @property
    def names_call(self) -> bool:
        """Whether the provider says that it knows no such call."""
        return isinstance(self.failure, NotFound) and self.failure.naming == "call"

    @property
    def forbidden(self) -> bool:
        """Whether the right to see the call is missing."""
        return isinstance(self.failure, AuthenticationFailed)


def read_details(task: Task) -> None:
    """
    Fetch and store every detail that is due, and move calls that are proven gone to the history.

    A detail that fails is counted, and a later run asks again. Raises AuthenticationFailed, BudgetSpent, Interrupted, FenceLost,
    WarehouseError.
    """
    if task.account.provider.detail is None:
        return
    try:
        _ask_for_all(task)
    except (AuthenticationFailed, BudgetSpent, Interrupted):
        tell_failing(task)
        raise
    tell_failing(task)


def _ask_for_all(task: Task) -> None:
    now = task.provider_now()
    left: set[str] = set()  # asked for in vain, and so still due: no call is asked for twice in a run
    absent: dict[str, list[DueCall]] = defaultdict(list)
    refused: dict[str, list[DueCall]] = defaultdict(list)
    alive: dict[str, int] = defaultdict(int)
    while calls := _due(task, now, left):
        for answers in _chunks(_answers(task, calls), BATCH):
            left |= _write(task, answers, now=now)
            for answer in answers:
                alive[answer.call.stream] += answer.detail is not None
                if answer.detail is None:
                    left.add(answer.call.call_id)
                if answer.names_call:
                    absent[answer.call.stream].append(answer.call)
                elif answer.forbidden and answer.asked:
                    refused[answer.call.stream].append(answer.call)
    for stream, gone in absent.items():
        judge_absent(task, stream, gone, alive=alive[stream], now=now)
    for stream, refusals in task.forbidden.items():
        if refusals and not alive[stream]:
            raise refusals[0]  # the right to see any is missing, which is no call's fault
    failed = [call for stream, some in refused.items() if alive[stream] for call in some]
    if failed:
        task.write(lambda page, _: note_failed(page, failed, now=now))
        log_failed(task, [(call, AuthenticationFailed.code) for call in failed])


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
        return Answered(call, failure=refusals[0], asked=False)
    try:
        detail, observed_at = task.source.detail(stream=call.stream, call_id=call.call_id)
    except AuthenticationFailed as failure:
        if failure.status != FORBIDDEN:
            raise
        refusals.append(failure)
        return Answered(call, failure=failure)
    except ConnectionFailed as failure:
        return Answered(call, failure=failure)
    refusals.clear()
    return Answered(call, detail, observed_at)


def _write(task: Task, answers: list[Answered], *, now: datetime) -> set[str]:
    """Write what was answered; return the calls of which nothing was: refused by the database, or held from later."""
    failed = [answer for answer in answers if answer.failure is not None and not answer.names_call and not answer.forbidden]
    if not failed and all(answer.detail is None for answer in answers):
        return set()
    zombies = 0
    untaken: set[str] = set()
    refused: list[DueCall] = []

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
        provider = task.account.provider
        missing = task.account.details and late_parts_missing(provider, call.status, value)
        missing = missing and is_worth_asking(provider, call.status, value)
        return now + timedelta(seconds=1) if missing and now < settles else None

    def load(page: PageTransaction, counters: Counters) -> None:
        nonlocal zombies
        zombies = 0
        untaken.clear()
        refused.clear()
        task.check_organization(tuple(answer.detail for answer in answers if answer.detail is not None), page)
        told = [
            (answer.call, Told(answer.call.stream, answer.call.call_id, answer.detail, answer.observed_at))
            for answer in answers
            if answer.detail is not None and answer.observed_at is not None
        ]
        came = load_details(page, task.account, [one for _, one in told], run_id=task.run_id, due=due)
        for (call, _), loaded in zip(told, came, strict=True):
            counters.add(loaded)
            if not loaded.updated and not loaded.unchanged:
                untaken.add(call.call_id)
            if loaded.rejected:
                refused.append(call)
            if loaded.older_by is not None:  # a clock was set back, or another's runs ahead: no answer is taken before then
                page.ask_for([call.call_id], due_at=now + loaded.older_by)
        note_failed(page, [*refused, *(answer.call for answer in failed)], now=now)

    task.write(load)
    log_failed(task, [(call, Rejection.DATABASE_REFUSED.value) for call in refused])
    log_failed(task, [(answer.call, answer.failure.code) for answer in failed if answer.failure is not None])
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
