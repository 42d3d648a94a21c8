"""Knows the life of one run: lock, fence, streams, open calls, and how it ends. Knows no API, no HTTP, no SQL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from threading import Event

import structlog

from etl.errors import (
    AnchorNotMet,
    AuthenticationFailed,
    BudgetSpent,
    ConnectionFailed,
    EtlError,
    Interrupted,
    NotFound,
)
from etl.model import JSON
from etl.reading.api import Api, Clock
from etl.reading.source import Capabilities, Source
from etl.runs.account import Account
from etl.runs.context import Task
from etl.runs.details import read_details
from etl.runs.port import RunWarehouse, Watcher
from etl.runs.state import StreamState
from etl.runs.stream import sync_stream
from etl.runs.streams import close_agent, fail_alone, start_of, streams_to_read, unknown_agent
from etl.runs.terms import Outcome, RunStatus, Want

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a sync is given: the warehouse, how to reach the API (with what its limiter remembers), clock, watcher, stop."""

    warehouse: RunWarehouse
    connect: Callable[[Account, JSON], AbstractContextManager[Api]]
    clock: Clock
    watcher: Watcher
    stop: Event
    trigger: str = "cli"


def sync_connection(account: Account, *, want: Want, given: Surroundings) -> Outcome:
    """
    Bring one connection up to date and tell how that ended; no error leaves this function but a programming error.

    The outcome has no run id where another run is at work or the warehouse could not open a run.
    """
    outcome = Outcome(connection=account.connection, run_id=None, status=RunStatus.FAILED)
    try:
        given.warehouse.acquire(account.connection)
    except EtlError as error:
        outcome.error = error.of(account.connection)
        return outcome
    try:
        _run(account, want=want, given=given, outcome=outcome)
    except EtlError as error:
        outcome.error = outcome.error or error.of(account.connection)
    finally:
        given.warehouse.release(account.connection)
    return outcome


def _run(account: Account, *, want: Want, given: Surroundings, outcome: Outcome) -> None:
    warehouse = given.warehouse
    outcome.run_id = run_id = warehouse.open_run(account, trigger=given.trigger)
    log.info("run.started", connection=account.connection, run=run_id)
    request_log: JSON = None
    try:
        capabilities, request_log, pinned = warehouse.remembered(account.connection)
        organization = organization_of(account, pinned)
        with given.connect(account, request_log) as api:
            task = Task(
                account=account,
                source=Source(account.provider, api),
                warehouse=warehouse,
                run_id=run_id,
                want=want,
                clock=given.clock,
                watcher=given.watcher,
                stop=given.stop,
                counters=outcome.counters,
                capabilities=Capabilities.remembered(capabilities, now=given.clock.now()),
                organization=organization,
                pinned=pinned,
                findings=outcome.findings,
            )
            try:
                _sync_streams(task)
                read_details(task)
                outcome.status = RunStatus.SUCCEEDED
            finally:
                outcome.counters.requests, outcome.counters.retries = api.requests, api.retries
                request_log = api.request_log()
    except (BudgetSpent, Interrupted) as error:
        outcome.status, outcome.error = RunStatus.PARTIAL, error.of(account.connection)
    except EtlError as error:
        outcome.status, outcome.error = RunStatus.FAILED, error.of(account.connection)
    except BaseException:
        outcome.error = EtlError(
            "the program itself failed.",
            safe="Everything up to the last page is committed.",
            hint="Please report it with the traceback.",
        ).of(account.connection)
        raise
    finally:
        warehouse.close_run(run_id, account.connection, outcome=outcome, request_log=request_log)
        log.info(
            "run.finished",
            connection=account.connection,
            run=run_id,
            status=outcome.status.value,
            error=outcome.error.code if outcome.error else None,
            requests=outcome.counters.requests,
            inserted=outcome.counters.inserted,
            updated=outcome.counters.updated,
        )


def organization_of(account: Account, pinned: str | None) -> str | None:
    """Return the organisation that every record must belong to. Raises ConnectionFailed where setting and pin disagree."""
    if account.organization_id and pinned and account.organization_id != pinned:
        raise ConnectionFailed(
            "it holds the calls of another organisation than the one configured.",
            safe="Nothing was read or stored.",
            hint=f"Set connections.{account.connection}.organization_id back, or give the other organisation a connection "
            "of its own.",
        )
    return account.organization_id or pinned


def _sync_streams(task: Task) -> None:
    """Sync every stream; one that fails for itself does not stop the others, but the run."""
    states = task.warehouse.streams(task.connection)
    failures: list[tuple[str, ConnectionFailed]] = []
    for stream in streams_to_read(task, states):
        _sync_one(task, stream, states, failures)
    # A stream whose only calls are gone can prove its account by the streams that came after it.
    again = [stream for stream, failure in failures if isinstance(failure, AnchorNotMet) and task.account_seen]
    if again and fail_alone(task.account):
        failures = [(stream, failure) for stream, failure in failures if stream not in again]
        for stream in again:
            _sync_one(task, stream, states, failures)
    if failures:
        raise failures[0][1]


def _sync_one(task: Task, stream: str, states: dict[str, StreamState], failures: list[tuple[str, ConnectionFailed]]) -> None:
    task.watcher.stream_started(task.connection, stream)
    try:
        state = states.get(stream) or StreamState(start=None)
        sync_stream(task, stream, replace(state, start=start_of(task.account), closed_at=None))
    except NotFound as absent:
        if absent.naming != "agent":
            failures.append((stream, absent))
        elif stream in states:
            close_agent(task, stream, states[stream])
        else:
            failures.append((stream, unknown_agent(task, stream)))
    except AuthenticationFailed:
        raise
    except ConnectionFailed as failure:
        if not fail_alone(task.account):
            raise
        failures.append((stream, failure))
    finally:
        task.watcher.stream_finished(task.connection, stream)
